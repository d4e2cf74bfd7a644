//! Many tenants in one process: what each gets, what becomes of it when its folder changes, and that no other
//! notices.

use std::os::unix::fs::symlink;
use std::process::Command;

use nix::sys::signal::Signal;
use sandbox::PATIENCE;
use sandbox::collector::Collector;
use sandbox::hosting::{Hosting, begins, wait_for_begin, wait_for_more_cycles};
use sandbox::stage::Stage;

/// The lines of the log that are a tenant's.
fn of<'a>(lines: &'a [String], name: &str) -> Vec<&'a String> {
    lines.iter().filter(|line| line.contains(&format!(" {name}/"))).collect()
}

/// Everything that arrived and is no alert: the collector's own messages.
fn messages(stage: &Stage) -> String {
    let frames = stage.receiver.frames_from(0);
    let lines = frames.iter().map(|frame| String::from_utf8_lossy(&frame.line));
    lines.filter(|line| line.contains(" devo.collector")).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_tenant_delivers_its_own_alerts_to_its_own_receiver() {
    let hosting = Hosting::new("hosting").unwrap();
    let stages = ["acme", "globex", "initech"].map(|name| (name, hosting.add(name, 150).unwrap()));
    for (name, stage) in &stages {
        let mut settings = stage.settings.clone();
        settings.input += &format!("key_of_{name}: 1\n");
        stage.installation.configure(&settings).unwrap();
    }
    let collector = hosting.start().unwrap();
    for (name, stage) in &stages {
        stage.wait_for_all(&collector).unwrap();
        wait_for_more_cycles(&collector, name, 1).unwrap();
    }
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
    for (name, stage) in &stages {
        stage.compare().exactly_once().unwrap();
        // The warning of the key is in the log under the tenant's name, and in its own messages alone.
        let warned = format!("The key inputs.cloudsek.key_of_{name} is not known");
        assert_eq!(of(&collector.lines_with(&[&warned]), name).len(), 1);
        let messages = messages(stage);
        assert!(messages.contains(&warned), "{messages}");
        assert_eq!(messages.matches(".key_of_").count(), 1, "another's line: {messages}");
        for of_the_process in ["Hosting 3 tenants", "is started", "[GC]", "host_status", "All tenants have stopped"] {
            assert!(!messages.contains(of_the_process), "{messages}");
        }
        assert!(!hosting.log().contains(&stage.simulator.token()), "the token of {name} is in the log");
    }
    assert_eq!(collector.lines_with(&["[GC] global"]).len(), 1, "memory is the process's affair");
    assert!(collector.lines_with(&["global_status"]).is_empty());
    assert_eq!(collector.lines_with(&["Standard - Total number of messages sent: 150,"]).len(), 3);
}

#[test]
fn tenants_come_change_and_go_while_their_neighbour_goes_on() {
    let hosting = Hosting::new("coming-and-going").unwrap();
    let steady = hosting.add("steady", 50).unwrap();
    let collector = hosting.start().unwrap();
    steady.wait_for_all(&collector).unwrap();

    let mut acme = hosting.add("acme", 50).unwrap();
    acme.wait_for_all(&collector).unwrap();
    wait_for_more_cycles(&collector, "acme", 1).unwrap();

    acme.settings.service += "override_devo_tag: my.app.acme.alerts\n";
    acme.configure().unwrap();
    wait_for_begin(&collector, "acme", 2, PATIENCE).unwrap();
    acme.add_newer(10);
    acme.receiver.wait_for("my.app.acme.alerts", 10, PATIENCE).unwrap();
    acme.compare().exactly_once().unwrap_err();
    assert_eq!(acme.arrived().len(), 50, "what was delivered before is not delivered again");

    // Arrived is not yet recorded.
    wait_for_more_cycles(&collector, "acme", 1).unwrap();
    let away = hosting.tenants().join(".acme");
    std::fs::rename(hosting.product("acme"), &away).unwrap();
    collector.wait_for_line(&["The tenant acme is gone, and is stopped"], PATIENCE).unwrap();
    collector.wait_for_line(&[" acme/", "Standard - Total number of messages sent: 10,"], PATIENCE).unwrap();
    let requests = acme.simulator.request_count();
    wait_for_more_cycles(&collector, "steady", 3).unwrap();
    assert_eq!(acme.simulator.request_count(), requests, "it is still asking");

    acme.add_newer(5);
    std::fs::rename(&away, hosting.product("acme")).unwrap();
    acme.receiver.wait_for("my.app.acme.alerts", 15, PATIENCE).unwrap();
    wait_for_more_cycles(&collector, "acme", 1).unwrap();
    assert_eq!(acme.receiver.count("my.app.acme.alerts"), 15, "its state is its own wherever its folder was");

    assert_eq!(begins(&collector, "steady"), 1);
    steady.compare().exactly_once().unwrap();
}

#[test]
fn a_broken_configuration_leaves_the_last_good_one_running_until_it_is_mended() {
    let hosting = Hosting::new("breaking").unwrap();
    let mut acme = hosting.add("acme", 20).unwrap();
    let steady = hosting.add("steady", 20).unwrap();
    let collector = hosting.start().unwrap();
    acme.wait_for_all(&collector).unwrap();
    steady.wait_for_all(&collector).unwrap();
    let good = std::fs::read_to_string(acme.installation.config()).unwrap();

    acme.installation.write_config(&good.replace("allow_private", "allow_http: [1]\n    allow_private")).unwrap();
    let broken =
        ["The tenant acme: ", "[CODE:0005]", "inputs.cloudsek.allow_http", "It runs on with the configuration before"];
    collector.wait_for_complaint(&broken).unwrap();
    acme.add_newer(5);
    acme.wait_for_all(&collector).unwrap();
    wait_for_more_cycles(&collector, "steady", 2).unwrap();
    assert_eq!(collector.lines_with(&broken).len(), 1, "it is said once");

    acme.installation.write_config(&good).unwrap();
    collector.wait_for_line(&["The tenant acme has the configuration again"], PATIENCE).unwrap();
    assert_eq!(begins(&collector, "acme"), 1);

    acme.installation.write_config(&good.replace("in_seconds: 2", "in_seconds: 1")).unwrap();
    wait_for_begin(&collector, "acme", 2, PATIENCE).unwrap();
    acme.add_newer(5);
    acme.wait_for_all(&collector).unwrap();
    acme.compare().exactly_once().unwrap();
    assert_eq!(begins(&collector, "steady"), 1);
}

#[test]
fn a_tenant_that_is_broken_from_the_start_is_taken_up_when_it_is_mended() {
    let hosting = Hosting::new("mending").unwrap();
    let acme = hosting.add("acme", 20).unwrap();
    let certificate = acme.installation.certs().join("chain.crt");
    let aside = hosting.tenants().join("chain.crt");
    std::fs::rename(&certificate, &aside).unwrap();
    std::fs::create_dir(hosting.product("empty")).unwrap();
    let collector = hosting.start().unwrap();
    let missing = ["The tenant acme: ", "[CODE:0006]", "chain.crt does not exist", "started when that is mended"];
    collector.wait_for_complaint(&missing).unwrap();
    collector.wait_for_complaint(&["The tenant empty: ", "[CODE:0001]", "empty/config/config.yaml"]).unwrap();
    std::fs::rename(&aside, &certificate).unwrap();
    acme.wait_for_all(&collector).unwrap();
    assert_eq!(collector.lines_with(&missing).len(), 1);
}

#[test]
fn a_token_and_a_certificate_that_are_replaced_are_taken() {
    let hosting = Hosting::new("renewing").unwrap();
    let mut acme = hosting.add("acme", 20).unwrap();
    let token = hosting.product("acme").join("token");
    std::fs::write(&token, "outdated").unwrap();
    let good = std::mem::replace(&mut acme.settings.token, "\"\"".into());
    acme.settings.input += "token_file: token\n";
    acme.configure().unwrap();
    let collector = hosting.start().unwrap();
    collector.wait_for_complaint(&[" acme/", "ApiError [CODE:0401]"]).unwrap();
    std::fs::write(&token, good).unwrap();
    acme.wait_for_all(&collector).unwrap();
    wait_for_begin(&collector, "acme", 1, PATIENCE).unwrap();
    // The same certificate, written anew: nothing changes. Another one: the tenant is started with it.
    let key = acme.installation.certs().join("example-domain.key");
    let same = std::fs::read(&key).unwrap();
    std::fs::write(&key, same).unwrap();
    wait_for_more_cycles(&collector, "acme", 2).unwrap();
    assert_eq!(begins(&collector, "acme"), 1);
    std::fs::copy(&acme.certificates.expired_client.key, &key).unwrap();
    collector.wait_for_complaint(&["The tenant acme: ", "do not belong together", "It runs on"]).unwrap();
    let cert = acme.installation.certs().join("example-domain.crt");
    std::fs::copy(&acme.certificates.client.key, &key).unwrap();
    collector.wait_for_line(&["The tenant acme has the configuration again"], PATIENCE).unwrap();
    let renewed = std::fs::read_to_string(&cert).unwrap() + "\n";
    std::fs::write(&cert, renewed).unwrap();
    wait_for_begin(&collector, "acme", 2, PATIENCE).unwrap();
}

#[test]
fn hangup_has_all_tenants_looked_at_and_none_restarted_that_has_not_changed() {
    let hosting = Hosting::new("hangup").unwrap();
    let stages = ["acme", "globex"].map(|name| hosting.add(name, 20).unwrap());
    let collector = hosting.start().unwrap();
    stages.iter().for_each(|stage| stage.wait_for_all(&collector).unwrap());
    collector.signal(Signal::SIGHUP).unwrap();
    collector.wait_for_line(&["\"Hangup\" system signal"], PATIENCE).unwrap();
    for name in ["acme", "globex"] {
        wait_for_more_cycles(&collector, name, 2).unwrap();
        assert_eq!(begins(&collector, name), 1, "{name}");
    }
}

#[test]
fn what_the_operator_keeps_from_tenants_is_refused_with_the_key_and_its_remedy() {
    let hosting = Hosting::new("policy").unwrap();
    hosting.decide("egress: {allow_private_addresses: true}\nlimits: {memory_in_bytes: 100000000}\n").unwrap();
    let steady = hosting.add("steady", 20).unwrap();
    let refused = |name: &str, key: &str, edit: &dyn Fn(&mut Stage)| {
        let mut stage = hosting.add(name, 1).unwrap();
        edit(&mut stage);
        stage.configure().unwrap();
        (stage, name.to_owned(), key.to_owned())
    };
    let tenants = [
        refused("variables", "inputs.cloudsek.environment", &|stage| stage.settings.input += "environment: ${PATH}\n"),
        refused("neighbours-token", "inputs.cloudsek.token_file", &|stage| {
            stage.settings.input += "token_file: ../steady/config/config.yaml\n";
        }),
        refused("linked", "inputs.cloudsek.token_file", &|stage| {
            symlink("../steady/config/config.yaml", stage.installation.product().join("link")).unwrap();
            stage.settings.input += "token_file: link\n";
        }),
        refused("elsewhere", "globals.persistence.config.directory_name", &|stage| {
            std::fs::remove_dir(stage.installation.state()).unwrap();
            symlink("../steady/state", stage.installation.state()).unwrap();
        }),
        refused("console", "outputs.screen.type", &|stage| {
            stage.settings.more_outputs = "screen: {type: console}\n".into()
        }),
        refused("greedy", "inputs.cloudsek.limits.memory_in_bytes", &|stage| {
            stage.settings.input += "limits: {memory_in_bytes: 100000001}\n";
        }),
        refused("proxied", "inputs.cloudsek.proxy_url", &|stage| stage.settings.input += "proxy_url: http://a:1\n"),
        refused("unencrypted", "inputs.cloudsek.allow_http", &|stage| stage.settings.input += "allow_http: true\n"),
    ];
    let collector = hosting.start().unwrap();
    steady.wait_for_all(&collector).unwrap();
    for (stage, name, key) in &tenants {
        let parts = [&*format!("The tenant {name}: "), "[CODE:0008]", key, "policy of this host's operator"];
        collector.wait_for_complaint(&parts).unwrap();
        assert_eq!(stage.simulator.request_count(), 0, "{name}");
    }
    assert!(collector.lines_with(&["started when that is mended"]).len() >= tenants.len());
}

#[test]
fn an_output_may_not_lead_into_the_operators_network() {
    let hosting = Hosting::new("inward").unwrap();
    let mut acme = hosting.add("acme", 5).unwrap();
    hosting.decide("egress: {allow_private_addresses: false}\n").unwrap();
    acme.settings.address = "127.0.0.1".into();
    // The API is out of the question too, but is looked up only when it is asked.
    let text = acme.settings.yaml().replace("allow_private_addresses: true", "allow_private_addresses: false");
    acme.installation.write_config(&text).unwrap();
    let collector = hosting.start().unwrap();
    collector.wait_for_complaint(&["The tenant acme: ", "[CODE:0008]", "outputs.devo_us_1.config.address"]).unwrap();
    acme.installation.write_config(&text.replace("127.0.0.1", "localhost")).unwrap();
    collector.wait_for_complaint(&[" acme/", "loopback", "localhost"]).unwrap();
    assert_eq!((acme.simulator.request_count(), acme.receiver.connections().len()), (0, 0));
}

#[test]
fn what_a_tenants_folder_holds_hurts_nobody_else() {
    let hosting = Hosting::new("hostile").unwrap();
    let steady = hosting.add("steady", 20).unwrap();
    let config = |name: &str| {
        let folder = hosting.product(name).join("config");
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("config.yaml")
    };
    std::fs::write(config("large"), vec![b'#'; 50_000_000]).unwrap();
    std::fs::write(config("deep"), "[".repeat(500_000)).unwrap();
    std::fs::write(config("deep-map"), (0..900).map(|depth| format!("{:depth$}a:\n", "")).collect::<String>()).unwrap();
    let bomb = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1)
    });
    std::fs::write(config("bomb"), bomb).unwrap();
    assert!(Command::new("mkfifo").arg(config("pipe")).status().unwrap().success());
    symlink("/dev/zero", config("endless")).unwrap();
    std::fs::write(config("binary"), [0xff, 0xfe, 0, 1]).unwrap();
    std::fs::create_dir_all(config("folder")).unwrap();
    symlink("steady", hosting.product("twin")).unwrap();
    std::fs::create_dir(hosting.tenants().join("no name")).unwrap();
    let damaged = hosting.add("damaged", 5).unwrap();
    std::fs::remove_dir(damaged.installation.state()).unwrap();
    std::fs::write(damaged.installation.state(), "no folder").unwrap();
    let collector = hosting.start().unwrap();
    for name in ["large", "deep", "deep-map", "bomb", "pipe", "endless", "binary", "folder"] {
        collector.wait_for_complaint(&[&format!("The tenant {name}: ")]).unwrap();
    }
    collector
        .wait_for_complaint(&["The tenant damaged has failed", "[CODE:0007]", "started again in 5 seconds"])
        .unwrap();
    collector.wait_for_complaint(&["twin is a symbolic link"]).unwrap();
    collector.wait_for_complaint(&["no name", "rename the folder"]).unwrap();
    steady.wait_for_all(&collector).unwrap();
    wait_for_more_cycles(&collector, "steady", 2).unwrap();
    steady.compare().exactly_once().unwrap();
    assert_eq!(begins(&collector, "steady"), 1);
    assert!(collector.memory().unwrap().peak < 300_000, "{:?}", collector.memory());
}

#[test]
fn a_killed_process_loses_nothing_of_any_tenant() {
    let hosting = Hosting::new("killed").unwrap();
    let mut stages = ["acme", "globex", "initech"].map(|name| hosting.add(name, 3000).unwrap());
    for round in 0..4 {
        let collector = hosting.start().unwrap();
        let all = stages[round % 3].source.len();
        let known = stages[round % 3].arrived().len();
        stages[round % 3].receiver.wait_for(sandbox::ALERTS_TABLE, (known + 200).min(all), PATIENCE).unwrap();
        collector.kill().unwrap();
        stages.iter_mut().for_each(|stage| stage.add_newer(50));
    }
    let collector: Collector = hosting.start().unwrap();
    for stage in &stages {
        stage.wait_for_all(&collector).unwrap();
        stage.compare().at_least_once().unwrap();
    }
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
    assert!(collector.lines_with(&["PrePullError"]).is_empty());
}

#[test]
fn without_its_folder_or_with_a_wrong_host_yaml_nothing_is_started() {
    let hosting = Hosting::new("refusing").unwrap();
    hosting.add("acme", 1).unwrap();
    let folder = hosting.tenants();
    let folder = folder.parent().unwrap();
    let fails = |arguments: &[&str], parts: &[&str]| {
        let collector = Collector::start_in(folder, arguments).unwrap();
        assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
        assert!(!collector.lines_with(parts).is_empty(), "{:?}", collector.lines());
    };
    fails(&["--tenants", "nowhere"], &["ERROR", "nowhere", "can't be read"]);
    fails(&["--tenants", "tenants", "--host-config", "none.yaml"], &["ERROR", "none.yaml", "can't be read"]);
    hosting.decide("egres: {}\n").unwrap();
    fails(&["--tenants", "tenants"], &["ERROR", "host.yaml", "egres"]);
}

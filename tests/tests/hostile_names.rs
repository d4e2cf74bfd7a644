//! Names, paths and texts of others that would forge a line of the log, colour a terminal or turn text
//! around: in the log, in both of its forms, on the status page and in the messages to Devo.

use std::os::unix::fs::symlink;

use bytes::Bytes;
use sandbox::PATIENCE;
use sandbox::admin::Admin;
use sandbox::collector::Collector;
use sandbox::hosting::Hosting;
use sandbox::simulator::Fault;
use sandbox::stage::Stage;

/// A line as the collector itself writes it, of another tenant.
const FORGED: &str = "2024-01-01T00:00:00.000    INFO neighbour/InputProcess::MainThread -> All is well";

/// Ends a line, colours a terminal in two ways, and turns around what follows in two ways.
const HARM: &str = "\n\r\u{1b}[31m\u{9b}32m\u{2028}\u{202e}\u{2066}\u{200b}\u{e0041}";

/// A text as YAML writes it in ASCII alone, so that nothing in it is refused before it is understood.
fn quoted(text: &str) -> String {
    let escaped: String = text.chars().map(|character| format!("\\U{:08x}", u32::from(character))).collect();
    format!("\"{escaped}\"")
}

/// What no text may hold that is shown to somebody: it ends lines, moves the cursor, or is not seen.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(character, '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn assert_harmless(collector: &Collector) {
    for line in collector.lines() {
        assert!(!line.contains(is_harmful), "{line:?}");
        assert!(!line.starts_with(FORGED), "{line:?}");
    }
}

#[test]
fn a_name_with_which_lines_could_be_forged_is_refused_with_its_key_and_the_rule() {
    let hosting = Hosting::new("hostile-names").unwrap();
    let neighbour = hosting.add("neighbour", 10).unwrap();
    let mut attackers = Vec::new();
    let long = "a".repeat(65);
    for (tenant, key, usual) in [
        ("of-output", "outputs", "devo_us_1"),
        ("of-input", "inputs", "cloudsek"),
        ("of-service", "services", "alerts"),
    ] {
        for (number, name) in [&*format!("x{HARM}\n{FORGED}"), "a b", "a;b", &long].into_iter().enumerate() {
            let stage = hosting.add_prepared(&format!("{tenant}-{number}"), 1, |stage| {
                let yaml = stage.settings.yaml();
                let (usual, name) = (format!("  {usual}:\n"), format!("  {}:\n", quoted(name)));
                stage.installation.write_config(&yaml.replace(&usual, &name))
            });
            attackers.push((format!("{tenant}-{number}"), key, stage.unwrap()));
        }
    }
    let collector = hosting.start().unwrap();
    neighbour.wait_for_all(&collector).unwrap();
    for (tenant, key, stage) in &attackers {
        let told = [&format!("The tenant {tenant}: "), "[CODE:0005]", key, "letters, digits, '.', '_' and '-'", "64"];
        let line = collector.wait_for_complaint(&told).unwrap();
        assert!(line.len() < 1000, "{line}");
        assert_eq!(stage.simulator.request_count(), 0);
    }
    assert_harmless(&collector);
}

#[test]
fn a_path_that_would_forge_a_line_does_not() {
    let hosting = Hosting::new("hostile-paths").unwrap();
    let neighbour = hosting.add("neighbour", 10).unwrap();
    symlink("neighbour", hosting.tenants().join(format!("link\n{}", FORGED.replace('/', " ")))).unwrap();
    let attacker = hosting.add_prepared("attacker", 1, |stage| {
        let chain = quoted(&format!("{HARM}\n{FORGED}"));
        stage.installation.write_config(&stage.settings.yaml().replace("chain: chain.crt", &format!("chain: {chain}")))
    });
    let _attacker = attacker.unwrap();
    let collector = hosting.start().unwrap();
    neighbour.wait_for_all(&collector).unwrap();
    collector.wait_for_line(&["is a symbolic link and no tenant"], PATIENCE).unwrap();
    collector.wait_for_complaint(&["The tenant attacker: "]).unwrap();
    for line in collector.lines() {
        assert!(!line.starts_with("2024-01-01"), "{line:?}");
    }
    assert_harmless(&collector);
}

#[test]
fn whatever_an_api_says_is_one_harmless_line() {
    for format in ["text", "json"] {
        let stage = Stage::new("hostile-answers", 10).unwrap();
        let message = serde_json::to_string(&format!("said{HARM}\n{FORGED}")).unwrap();
        let body = format!(r#"{{"success":false,"error":{{"code":"X","message":{message},"details":null}}}}"#);
        stage.simulator.fail(20, Fault::Answer { status: 400, headers: Vec::new(), body: Bytes::from(body) });
        let arguments = ["--config", "config.yaml", "--admin", "127.0.0.1:0", "--log-format", format];
        let collector = Collector::start_with(&stage.installation, &arguments).unwrap();
        collector.wait_for_line(&["Error [CODE:", "said"], PATIENCE).unwrap();
        assert_harmless(&collector);
        let page = Admin::of(&collector).unwrap().get("/").unwrap();
        let failure = page.lines().find(|line| line.contains("said")).unwrap();
        assert!(!failure.contains(is_harmful), "{failure:?}");
        collector.stop(PATIENCE).unwrap();
        assert!(collector.lines().iter().all(|line| format == "text" || line.starts_with('{')), "{format}");
        let messages = stage.receiver.frames_from(0);
        let told: Vec<_> = messages.iter().map(|frame| String::from_utf8_lossy(&frame.line)).collect();
        assert!(told.iter().any(|line| line.contains("said")), "the messages have the failure too");
        assert!(told.iter().all(|line| !line.contains(is_harmful)), "{told:?}");
    }
}

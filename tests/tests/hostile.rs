//! Tenants with components that misbehave in every way there is a word for, beside twenty that do their work:
//! each is contained, and nobody else notices.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use hostile::Behaviour;
use sandbox::collector::workspace;
use sandbox::hosting::{Hosting, begins};
use sandbox::simulator::{self, Simulator};
use sandbox::stage::Stage;
use sandbox::{ALERTS_TABLE, PATIENCE};

const NEIGHBOURS: usize = 20;

/// Where a hostile component may send its events.
const TABLE: &str = "my.app.hostile";

/// What a hostile tenant asks for itself, so that it need not be waited for.
const LIMITS: &str =
    "{cpu_in_milliseconds: 500, wall_in_seconds: 20, memory_in_bytes: 250000000, handles: 100, log_lines: 100}";

/// What the log says of a way to misbehave: the limit that ended the call, or what the component was told.
fn verdict(behaviour: Behaviour) -> &'static [&'static str] {
    match behaviour {
        Behaviour::EndlessLoop => &["[CODE:0310]", "computed for more than 500ms (limits.cpu_in_milliseconds)"],
        Behaviour::EndlessRecursion => &["[CODE:0311]", "call stack exhausted"],
        Behaviour::MemoryBomb => &["[CODE:0310]", "more than 250000000 bytes of memory (limits.memory_in_bytes)"],
        Behaviour::HandleFlood => &["[CODE:0310]", "more than 100 handles open (limits.handles)"],
        Behaviour::LogFlood => &["[CODE:0310]", "more than 100 lines to the log (limits.log_lines)"],
        Behaviour::GiantDebugLines => &["[CODE:0310]", "computed for more than 500ms (limits.cpu_in_milliseconds)"],
        Behaviour::GiantState => &["[CODE:0399]", "a value of 100000000 bytes", "(limits.state_in_bytes)"],
        Behaviour::ManyKeys => &["[CODE:0399]", "there are 64 keys, and no more are allowed"],
        Behaviour::FillStore => &["[CODE:0399]", "the values of all services", "(quota.stored_in_bytes)"],
        Behaviour::GiantEvent => &["[CODE:0310]", "bytes at once (limits.host_call_in_bytes)"],
        Behaviour::ThousandRequests => &["[CODE:0310]", "more than 8 requests at once (limits.concurrent_requests)"],
        Behaviour::OtherHost => &["[CODE:0399]", "HttpRequestDenied"],
        Behaviour::OtherStores => &["[CODE:0399]", "no other store could be opened"],
        Behaviour::OtherTable => &["[CODE:0399]", "TableRefused"],
        Behaviour::GiantDeadLetter => &["[CODE:0310]", "bytes at once (limits.host_call_in_bytes)"],
        Behaviour::ManyDeadLetters => &["[CODE:0399]", "100 dead letters are kept"],
        Behaviour::EndlessDeadLetters => &["[CODE:0399]", "could not be written", "(quota.disk_in_bytes)"],
        Behaviour::DeadLettersOfOthers => &["[CODE:0399]", "TableRefused"],
        Behaviour::TrapWhileSending => &["[CODE:0311]", "unreachable"],
        Behaviour::NeverReturns | Behaviour::HoardMemory => {
            &["[CODE:0310]", "took longer than 20s (limits.wall_in_seconds)"]
        }
        Behaviour::NothingButMore => &["Data collection completed"],
    }
}

/// Adds a tenant that runs this component; `settings` is what its service is told, in YAML's flow style.
fn add_hostile(hosting: &Hosting, name: &str, component: &[u8], settings: &str) -> Result<Stage> {
    hosting.add_prepared(name, 20, |stage| {
        let product = stage.installation.product();
        std::fs::write(product.join("hostile.wasm"), component)?;
        let yaml = stage.settings.yaml();
        let (before, after) = yaml.split_once("    services:\n").context("services")?;
        ensure!(after.starts_with("      alerts:"), "another service than alerts: {after}");
        let input = format!("    component: hostile.wasm\n    limits: {LIMITS}\n");
        let service = format!("{{request_period_in_seconds: 1, override_devo_tag: {TABLE}, {settings}}}");
        stage.installation.write_config(&format!("{before}{input}    services:\n      misbehave: {service}\n"))
    })
}

fn size_of(folder: &Path) -> Result<u64> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

#[test]
fn whatever_a_component_does_it_is_contained_and_its_neighbours_go_on() {
    let hosting = Hosting::new("hostile").unwrap();
    hosting
        .decide(
            "egress: {allow_private_addresses: true}\nallow_components: true\n\
             quota: {stored_in_bytes: 400000, disk_in_bytes: 20000000}\n",
        )
        .unwrap();
    let names: Vec<String> = (0..NEIGHBOURS).map(|number| format!("good-{number}")).collect();
    let mut neighbours: Vec<Stage> = names.iter().map(|name| hosting.add(name, 60).unwrap()).collect();
    let collector = hosting.start().unwrap();
    neighbours.iter().for_each(|stage| stage.wait_for_all(&collector).unwrap());

    let elsewhere = Simulator::start(simulator::Settings::default(), &[]).unwrap();
    let (target, stores) = (elsewhere.base_url(), names.join(","));
    let hostile = workspace().join("target/guest/hostile.wasm");
    let hostile = std::fs::read(&hostile).expect("there is no hostile.wasm: run `just guest`");
    let mut hosted = Vec::new();
    for behaviour in Behaviour::ALL {
        let target = if *behaviour == Behaviour::OtherStores { &stores } else { &target };
        let settings = format!("behaviour: {}, target: '{target}'", behaviour.name());
        let stage = add_hostile(&hosting, behaviour.name(), &hostile, &settings).unwrap();
        hosted.push((behaviour.name().to_owned(), verdict(*behaviour), stage));
    }
    // More of them than there are processors.
    for number in 1..=8 {
        let name = format!("endless-loop-{number}");
        let stage = add_hostile(&hosting, &name, &hostile, "behaviour: endless-loop").unwrap();
        hosted.push((name, verdict(Behaviour::EndlessLoop), stage));
    }
    let bomb = wat::parse_file(workspace().join("tests/collectors/table-bomb.wat")).unwrap();
    let stage = add_hostile(&hosting, "table-bomb", &bomb, "behaviour: none").unwrap();
    hosted.push(("table-bomb".to_owned(), &["[CODE:0310]", "elements of tables (limits.table_elements)"], stage));

    for (name, verdict, _) in &hosted {
        let tenant = format!(" {name}/");
        let parts: Vec<&str> = std::iter::once(&*tenant).chain(verdict.iter().copied()).collect();
        collector.wait_for_line(&parts, PATIENCE).unwrap();
    }
    for stage in &mut neighbours {
        stage.add_newer(10);
    }
    neighbours.iter().for_each(|stage| stage.wait_for_all(&collector).unwrap());

    for (name, stage) in names.iter().zip(&neighbours) {
        stage.compare().exactly_once().unwrap();
        assert_eq!(begins(&collector, name), 1, "{name} was started again");
        let own = format!(" {name}/");
        assert!(collector.lines_with(&[&own, " ERROR "]).is_empty(), "{name} has noticed something");
    }
    for (name, _, stage) in &hosted {
        assert!(collector.lines_with(&[&format!(" {name}/"), "GOT"]).is_empty(), "{name}{}", collector.tail());
        // Whole events of its own table, or none.
        let events = stage.receiver.events(TABLE);
        let is_whole = |line: &[u8]| line.ends_with(b"}");
        assert!(events.iter().all(|event| is_whole(&event.line)), "{name} has sent a part of an event");
        assert!(*name == Behaviour::TrapWhileSending.name() || events.is_empty(), "{name} has sent something");
        assert_eq!(stage.receiver.count(ALERTS_TABLE), 0, "{name} has sent to another table");
        assert!(size_of(&stage.installation.state()).unwrap() < 1_000_000, "{name} has filled its state");
    }
    let letters = Behaviour::ManyDeadLetters.name();
    let folder = std::fs::read_dir(hosting.product(letters).join("dead_letters")).unwrap();
    let files: Vec<_> = folder.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(files.len() == 1 && files[0].lines().count() >= 100, "{files:?}");
    assert!(files[0].lines().all(|line| line.ends_with(r#""content_base64":"e/8K"}"#)));
    let own = format!(" {letters}/");
    let calls = collector.lines_with(&[&own, "100 dead letters are kept"]).len();
    let told = collector.lines_with(&[&own, "records can't become events; they are kept in"]).len();
    assert!((1..=calls + 1).contains(&told), "{told} lines of {calls} calls");
    assert_eq!(elsewhere.request_count(), 0, "another host was asked");
    // A line of the log is one line, whatever is in it.
    assert!(!collector.lines().iter().any(|line| line.starts_with("PullError")));
    assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
}

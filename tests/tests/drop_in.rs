//! In the place of the original: its folder is taken as it is, its state goes on where it stood, and what
//! operators set or watch there works the same way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Timelike, Utc};
use sandbox::alerts::{Alert, Batch};
use sandbox::check::{Report, compare};
use sandbox::collector::{Collector, workspace};
use sandbox::installation::ORIGINAL;
use sandbox::receiver::Frame;
use sandbox::simulator::{self, Fault, Simulator};
use sandbox::stage::Stage;
use sandbox::{ALERTS_TABLE, PATIENCE};
use serde_json::{Value, json};

/// An operator who stops the collector does not expect to wait longer.
const SOON: Duration = Duration::from_secs(20);

/// The MD5 of `cloudsek;cloudsek_1;alerts;None`: what the original calls the state of this input.
const STATE_FILE: &str = "95fbbcf4d968bee50b610e76801bc2f3";

/// What the collector says when it has found that file.
const TAKEN_OVER: &str = "The state of the original collector has been taken over; it is left as it is where it was";

/// Runs the script that writes states with Python's own pickle module.
fn original_state(what: &str, file: &Path, arguments: &[&str]) -> Result<()> {
    let script = workspace().join("tests/peers/original_state.py");
    let output = Command::new("python3").arg(script).arg(what).arg(file).args(arguments).output().context("python3")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A source of which the original has delivered a part.
struct Upgrade {
    stage: Stage,
    /// The newest time that the original delivered.
    last_time: DateTime<Utc>,
    /// The ids that it delivered with that time, as JSON text.
    last_ids: Vec<String>,
}

impl Upgrade {
    /// Sixty alerts over eight days, and the original stopped two days ago, within a second that has four
    /// more. Of these it had delivered two. Another appeared late, a day before that, where it would never
    /// have looked.
    fn new(name: &str) -> Result<Self> {
        let mut stage = Stage::new(name, 60)?;
        let age = TimeDelta::days(2);
        let last_time = stage.source[59].incident_time - age;
        for _ in 0..4 {
            stage.add_late(1, age);
        }
        stage.add_late(1, TimeDelta::days(3));
        let last_ids = stage.source[60..62].iter().map(|alert| alert.id.clone()).collect();
        Ok(Self { stage, last_time, last_ids })
    }

    fn file(&self) -> PathBuf {
        self.stage.installation.state().join(STATE_FILE)
    }

    /// What the original remembers.
    fn state(&self) -> Value {
        let last_ids: Value = serde_json::from_str(&format!("[{}]", self.last_ids.join(","))).unwrap_or_default();
        json!({
            "initial_start_time_in_utc": "2022-01-01T00:00:00Z",
            "last_event_time_in_utc": self.last_time.to_rfc3339_opts(SecondsFormat::Secs, true),
            "last_ids": last_ids,
            "@persistence_version": 1,
        })
    }

    /// Lets Python write it.
    fn pickle(&self, protocol: u8, times: &str) -> Result<()> {
        original_state("state", &self.file(), &[&protocol.to_string(), times, &self.state().to_string()])
    }

    /// What the original had not delivered and would have: everything newer, and the rest of its last second.
    /// Of what is older nobody can say what was delivered; as in the original, none of it comes.
    fn to_come(&self) -> Vec<Alert> {
        let alerts = self.stage.source.iter().filter(|alert| alert.incident_time >= self.last_time);
        alerts.filter(|alert| !self.last_ids.contains(&alert.id)).cloned().collect()
    }

    /// Compares what has arrived with what had to come, and nothing else.
    fn compare(&self) -> Report {
        compare(&self.to_come(), &self.stage.receiver.frames_from(0))
    }

    /// Starts the collector where the original stood, adds alerts, stops it and starts it again: what is to
    /// come comes once.
    fn goes_on_where_it_stood(mut self) -> Result<()> {
        let state = std::fs::read(self.file())?;
        let to_come = self.to_come();
        ensure!((5..30).contains(&to_come.len()), "{} alerts are to come: this would prove nothing", to_come.len());
        let collector = self.stage.start()?;
        collector.wait_until_sent(to_come.len() as u64)?;
        self.compare().exactly_once()?;
        ensure!(collector.lines_with(&[TAKEN_OVER]).len() == 1, "{}", collector.tail());

        // From there on late alerts are looked for, as far back as to where the original stood.
        self.stage.add_late(2, TimeDelta::hours(12));
        self.stage.add_newer(3);
        collector.wait_until_sent(self.to_come().len() as u64)?;
        ensure!(collector.stop(SOON)?.success());

        self.stage.add_newer(5);
        let collector = self.stage.start()?;
        collector.wait_until_sent(5)?;
        let cycles = collector.statistics()?.len();
        collector.wait_for_cycles(cycles + 1)?;
        self.compare().exactly_once()?;
        ensure!(collector.lines_with(&[TAKEN_OVER]).is_empty(), "{}", collector.tail());
        ensure!(std::fs::read(self.file())? == state, "the original's file is left as it is");
        Ok(())
    }
}

#[test]
fn an_originals_folder_is_taken_as_it_is() {
    let upgrade = Upgrade::new("as-it-is").unwrap();
    upgrade.pickle(4, "text").unwrap();
    let stage = &upgrade.stage;
    let config = ORIGINAL
        .replace("PORT", &stage.receiver.port().to_string())
        .replace("BASE_URL", &stage.simulator.base_url())
        .replace("TOKEN", &stage.simulator.token());
    stage.installation.write_config(&config).unwrap();
    let collector = Collector::start_with(&stage.installation, &["--config", "config.yaml", "--prod-mode"]).unwrap();
    collector.wait_until_sent(upgrade.to_come().len() as u64).unwrap();
    upgrade.compare().exactly_once().unwrap();
    for complaint in [" ERROR ", "is not known", "Illegal global setting", "No persistence"] {
        assert!(collector.lines_with(&[complaint]).is_empty(), "{complaint}: {:#?}", collector.lines());
    }
}

#[test]
fn the_originals_pickle_goes_on_where_it_stood_whatever_python_wrote_it() {
    for protocol in 0..=5 {
        let upgrade = Upgrade::new("pickle").unwrap();
        upgrade.pickle(protocol, "text").unwrap();
        upgrade.goes_on_where_it_stood().with_context(|| format!("protocol {protocol}")).unwrap();
    }
}

#[test]
fn a_pickle_with_dates_in_place_of_texts_goes_on_where_it_stood() {
    for protocol in 0..=5 {
        let upgrade = Upgrade::new("pickle-of-dates").unwrap();
        upgrade.pickle(protocol, "datetime").unwrap();
        upgrade.goes_on_where_it_stood().with_context(|| format!("protocol {protocol}")).unwrap();
    }
}

#[test]
fn the_way_back_and_forth_loses_nothing() {
    let mut upgrade = Upgrade::new("back-and-forth").unwrap();
    upgrade.pickle(4, "text").unwrap();
    let collector = upgrade.stage.start().unwrap();
    collector.wait_until_sent(upgrade.to_come().len() as u64).unwrap();
    upgrade.compare().exactly_once().unwrap();
    assert!(collector.stop(SOON).unwrap().success());

    // The original takes its place again, for as long as it takes to deliver two new alerts.
    upgrade.stage.add_newer(2);
    let here = upgrade.to_come().len() - 2;
    let newest = upgrade.stage.source.last().unwrap();
    upgrade.last_time = newest.incident_time.with_nanosecond(0).unwrap();
    upgrade.last_ids = vec![newest.id.clone()];
    upgrade.pickle(4, "text").unwrap();
    upgrade.stage.add_newer(5);

    // With a state of its own, this one knows nothing of what the original has delivered: rather twice than
    // never.
    let collector = upgrade.stage.start().unwrap();
    collector.wait_until_sent(7).unwrap();
    assert!(collector.stop(SOON).unwrap().success());
    assert_eq!(upgrade.stage.receiver.count(ALERTS_TABLE), here + 7);

    // Without it, it goes on where the original stood.
    for name in upgrade.stage.installation.state_files().unwrap().into_keys().filter(|name| name != STATE_FILE) {
        std::fs::remove_file(upgrade.stage.installation.state().join(name)).unwrap();
    }
    let to_come = upgrade.to_come().len();
    assert_eq!(to_come, 5);
    let collector = upgrade.stage.start().unwrap();
    collector.wait_until_sent(5).unwrap();
    collector.wait_for_cycles(2).unwrap();
    collector.wait_for_line(&[TAKEN_OVER], PATIENCE).unwrap();
    assert_eq!(upgrade.stage.receiver.count(ALERTS_TABLE), here + 7 + 5);
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let mut stage = Stage::new("no-effect", 5).unwrap();
    stage.settings.globals = "colour: blue\n".into();
    stage.settings.service += "types: [predefined, historic]\noverride_everything: true\n";
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(5).unwrap();
    for complaint in [
        "Illegal global setting has been ignored -> colour",
        "there is no type historic; the service has predefined alone",
        "The key inputs.cloudsek.services.alerts.override_everything is not known and has no effect",
    ] {
        let line = collector.wait_for_complaint(&[complaint]).unwrap();
        assert!(line.contains(" WARNING ") && !line.contains("blue"), "{line}");
    }
}

#[test]
fn the_originals_json_state_goes_on_where_it_stood() {
    for name in [STATE_FILE, "cloudsek;cloudsek_1;alerts;None"] {
        let mut upgrade = Upgrade::new("json-state").unwrap();
        let yaml = upgrade.stage.settings.yaml().replace("type: filesystem", "type: json");
        upgrade.stage.installation.write_config(&yaml).unwrap();
        std::fs::write(upgrade.stage.installation.state().join(name), upgrade.state().to_string()).unwrap();
        let collector = upgrade.stage.start().unwrap();
        collector.wait_until_sent(upgrade.to_come().len() as u64).unwrap();
        assert!(collector.stop(SOON).unwrap().success());
        upgrade.stage.add_newer(5);
        let collector = upgrade.stage.start().unwrap();
        collector.wait_until_sent(5).unwrap();
        upgrade.compare().exactly_once().unwrap();
    }
}

/// Starts the collector with a state that it can't take over, checks that it does nothing but say so, and
/// mends it by moving the file away.
fn is_refused_until_it_is_moved_away(stage: &Stage, file: &Path, why: &str) -> Result<()> {
    let content = std::fs::read(file)?;
    let collector = stage.start()?;
    ensure!(collector.wait_for_exit(PATIENCE)?.code() == Some(1), "it went on{}", collector.tail());
    let line = collector.wait_for_complaint(&["PrePullError [CODE:0204] reason: ", why])?;
    let name = file.file_name().context("a name")?.to_string_lossy();
    ensure!(line.contains(&*name) && line.contains("move it elsewhere"), "{line}");
    ensure!(stage.simulator.request_count() == 0 && stage.receiver.count(ALERTS_TABLE) == 0, "it went on");
    ensure!(std::fs::read(file)? == content, "the file was changed");
    ensure!(stage.installation.state_files()?.len() == 1, "{:?}", stage.installation.state_files()?.keys());

    std::fs::rename(file, stage.folder.path().join("moved-away"))?;
    let collector = stage.start()?;
    collector.wait_until_sent(stage.source.len() as u64)?;
    stage.compare().exactly_once()
}

#[test]
fn a_pickle_that_runs_a_command_is_refused_and_not_run() {
    for protocol in ["0", "2", "4"] {
        let stage = Stage::new("hostile-pickle", 10).unwrap();
        let file = stage.installation.state().join(STATE_FILE);
        let executed = stage.folder.path().join("executed");
        original_state("command", &file, &[protocol, &format!("touch {}", executed.display())]).unwrap();
        // It is hostile indeed: Python does what it says.
        let load = format!("import pickle; pickle.load(open({:?}, 'rb'))", file.display().to_string());
        assert!(Command::new("python3").args(["-c", &load]).status().unwrap().success());
        std::fs::remove_file(&executed).unwrap();

        is_refused_until_it_is_moved_away(&stage, &file, "posix.system").unwrap();
        assert!(!executed.exists());
    }
}

#[test]
fn a_damaged_state_of_the_original_is_refused_and_not_taken_for_none() {
    for why in ["ends too early", "after its end", "0x00", "last_event_time_in_utc"] {
        let upgrade = Upgrade::new("damaged-pickle").unwrap();
        upgrade.pickle(4, "text").unwrap();
        let file = upgrade.file();
        let good = std::fs::read(&file).unwrap();
        let damaged = match why {
            "ends too early" => good[..good.len() / 2].to_vec(),
            "after its end" => [&good[..], b"more"].concat(),
            "0x00" => vec![0; good.len()],
            _ => br#"{"last_ids":[]}"#.to_vec(),
        };
        std::fs::write(&file, damaged).unwrap();
        is_refused_until_it_is_moved_away(&upgrade.stage, &file, why).unwrap();
    }
}

#[test]
fn a_new_value_of_reset_persistence_auth_starts_anew_once() {
    let mut stage = Stage::new("reset", 60).unwrap();
    let usual = stage.settings.service.clone();
    stage.settings.service = format!("{usual}reset_persistence_auth: first\n");
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(60).unwrap();
    assert!(collector.stop(SOON).unwrap().success());
    stage.compare().exactly_once().unwrap();

    // Anew with what is configured now.
    let start = stage.source[40].incident_time;
    let again: Vec<_> = stage.source.iter().filter(|alert| alert.incident_time >= start).cloned().collect();
    stage.settings.service = format!(
        "initial_start_time_in_utc: \"{}\"\nreset_persistence_auth: second\n",
        start.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    );
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(again.len() as u64).unwrap();
    collector.wait_for_complaint(&["Persistence will be restarted: reset_persistence_auth has changed"]).unwrap();
    assert!(collector.stop(SOON).unwrap().success());
    let came_again = |stage: &Stage| {
        let report = stage.compare();
        report.at_least_once().unwrap();
        assert_eq!(report.arrived, 60 + again.len(), "once more and not oftener: {report}");
        let ids: Vec<_> = again.iter().map(|alert| alert.id.clone()).collect();
        assert_eq!(report.doubled, ids);
    };
    came_again(&stage);

    let collector = stage.start().unwrap();
    collector.wait_for_cycles(2).unwrap();
    assert!(collector.lines_with(&["reset_persistence_auth"]).is_empty(), "{}", collector.tail());
    came_again(&stage);
}

#[test]
fn without_a_state_on_disk_nothing_is_written_and_a_restart_begins_anew() {
    let persistence = "  persistence:\n    type: filesystem\n    config:\n      directory_name: state\n";
    for (kind, instead, arguments) in [
        ("memory", "  persistence:\n    type: memory\n", &["--config", "config.yaml"][..]),
        ("none", "", &["--config", "config.yaml"]),
        ("--no-save-state", persistence, &["--config", "config.yaml", "--no-save-state"]),
    ] {
        let stage = Stage::new("no-state", 20).unwrap();
        let yaml = stage.settings.yaml();
        assert!(yaml.contains(persistence));
        stage.installation.write_config(&yaml.replace(persistence, instead)).unwrap();
        for arrived in [20, 40] {
            let collector = Collector::start_with(&stage.installation, arguments).unwrap();
            collector.wait_until_sent(20).unwrap();
            collector.wait_for_cycles(2).unwrap();
            if kind == "none" {
                collector.wait_for_complaint(&["No persistence is set", "globals.persistence"]).unwrap();
            }
            assert!(collector.stop(SOON).unwrap().success());
            assert_eq!(stage.receiver.count(ALERTS_TABLE), arrived, "{kind}");
        }
        let files: Vec<_> = std::fs::read_dir(stage.installation.state()).unwrap().collect();
        assert!(files.is_empty(), "{kind}: {files:?}");
    }
}

#[test]
fn a_service_can_override_the_address_and_the_table() {
    let mut stage = Stage::new("override", 20).unwrap();
    let real = std::mem::replace(&mut stage.settings.base_url, "https://localhost:1/nowhere".into());
    stage.settings.service += &format!("override_base_url: {real}\noverride_devo_tag: my.app.cloudsek.alerts\n");
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    for (rule, key) in [(1, "override_base_url"), (2, "override_devo_tag")] {
        let line = format!("InputProcess::MainThread -> Overriding rule #{rule} - service key {key} ");
        assert_eq!(collector.lines_with(&["INFO", &line]).len(), 1, "{line}");
    }
    assert_eq!(stage.receiver.count(ALERTS_TABLE), 0);
    let events = stage.receiver.events("my.app.cloudsek.alerts");
    let renamed = replaced(&events, " my.app.cloudsek.alerts: ", &format!(" {ALERTS_TABLE}: "));
    compare(&stage.source, &renamed).exactly_once().unwrap();
}

/// The events with `old`, which each must have, replaced.
fn replaced(events: &[Frame], old: &str, new: &str) -> Vec<Frame> {
    let replace = |frame: &Frame| {
        let line = String::from_utf8_lossy(&frame.line);
        assert_eq!(line.matches(old).count(), 1, "{old} in {line}");
        Frame { connection: frame.connection, line: line.replace(old, new).into() }
    };
    events.iter().map(replace).collect()
}

#[test]
fn an_environment_is_in_every_event() {
    let mut stage = Stage::new("environment", 60).unwrap();
    stage.settings.input += "environment: pre \"production\"\n";
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(60).unwrap();
    // As in the original it stands before the pulling id, which the comparison expects at the end.
    let member = r#","@devo_environment":"pre \"production\"","@devo_pulling_id":"#;
    let without = replaced(&stage.arrived(), member, r#","@devo_pulling_id":"#);
    compare(&stage.source, &without).exactly_once().unwrap();
}

#[test]
fn the_log_says_what_becomes_of_the_state() {
    const CREATED: [&str; 4] = [
        "WARNING InputProcess::CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> Persistence will be overridden due to \
         the retrieved state is empty",
        "WARNING InputProcess::CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> Some changes have been detected and the \
         persistence needs to be updated. Previous content: None. New content: {",
        "INFO InputProcess::CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> Updating the persistence",
        "WARNING InputProcess::CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> Persistence has been updated \
         successfully",
    ];
    // The id of the last one is a number, which Python shows as one.
    let stage = Stage::new("state-lines", 13).unwrap();
    let newest_id: Value = serde_json::from_str(&stage.source[12].id).unwrap();
    assert!(newest_id.is_number());
    let first = stage.start().unwrap();
    first.wait_until_sent(13).unwrap();
    assert!(first.stop(SOON).unwrap().success());
    assert_eq!(first.lines_with(&["Data retrieved from the persistence: None"]).len(), 1);
    let lines = first.lines();
    let places: Vec<_> = CREATED.iter().map(|text| lines.iter().position(|line| line.contains(text))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {lines:#?}");
    assert!(first.lines_with(&["No changes were detected in the persistence"]).is_empty());

    let second = stage.start().unwrap();
    second.wait_for_cycles(1).unwrap();
    assert_eq!(second.lines_with(&["INFO", "-> No changes were detected in the persistence"]).len(), 1);
    for text in CREATED {
        assert!(second.lines_with(&[text]).is_empty(), "{text}");
    }

    let written = "New content: ";
    let read = "Data retrieved from the persistence: ";
    for (collector, before, last_ids) in [(&first, written, json!([])), (&second, read, json!([newest_id]))] {
        let line = collector.lines_with(&[before]).swap_remove(0);
        let dict = as_python_reads_it(line.split_once(before).unwrap().1).unwrap();
        let keys: Vec<_> = dict.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["@persistence_version", "initial_start_time_in_utc", "last_event_time_in_utc", "last_ids"]);
        assert_eq!(dict["last_ids"], last_ids, "{line}");
        assert!(dict["@persistence_version"].is_u64(), "{line}");
    }
}

/// What Python makes of the text of a dict.
fn as_python_reads_it(text: &str) -> Result<Value> {
    let read = "import ast, json, sys; print(json.dumps(ast.literal_eval(sys.argv[1])))";
    let output = Command::new("python3").args(["-c", read, text]).output().context("python3")?;
    ensure!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn the_setup_is_repeated_and_takes_a_token_that_was_replaced_meanwhile() {
    let mut stage = Stage::new("refresh", 20).unwrap();
    let file = stage.installation.product().join("token");
    std::fs::write(&file, stage.simulator.token()).unwrap();
    stage.settings.token = "\"\"".into();
    stage.settings.input += "token_file: token\nautoconfig: {refresh_interval_in_seconds: 1}\n";
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    let again = |count| {
        let setup = "WARNING InputProcess::CloudSekPullerSetup(cloudsek,cloudsek#cloudsek_1,alerts#predefined) -> The \
                     token/header/authentication is expired and it needs to be refreshed";
        collector.wait_for_lines(count, &[setup], PATIENCE).unwrap();
        let done = "Setup for module <CloudSekPuller> has been successfully executed";
        collector.wait_for_lines(count + 1, &["INFO", done], PATIENCE).unwrap();
    };
    again(2);

    stage.simulator.change(|settings| settings.token = "the-token-of-the-next-month".into());
    std::fs::write(&file, "the-token-of-the-next-month").unwrap();
    stage.add_newer(10);
    collector.wait_until_sent(30).unwrap();
    stage.compare().exactly_once().unwrap();
    again(collector.lines_with(&["needs to be refreshed"]).len() + 2);
    assert!(stage.simulator.requests().last().unwrap().authorized);
}

#[test]
fn a_pull_error_wakes_the_setup_and_is_got_over_without_a_restart() {
    let mut stage = Stage::new("woken", 20).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    let waiting = "WARNING InputProcess::CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> Waiting until setup will be \
                   executed";
    assert_eq!(collector.lines_with(&[waiting]).len(), 1, "at the start");

    let good = stage.simulator.token();
    stage.simulator.change(|settings| settings.token = "another-token-for-a-while".into());
    let pull = "CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined) -> ApiError [CODE:0401]";
    let setup = "CloudSekPullerSetup(cloudsek,cloudsek#cloudsek_1,alerts#predefined) -> ApiError [CODE:0401]";
    collector.wait_for_line(&["ERROR", pull], PATIENCE).unwrap();
    collector.wait_for_line(&["ERROR", setup], PATIENCE).unwrap();
    collector.wait_for_lines(2, &[waiting], PATIENCE).unwrap();

    stage.simulator.change(|settings| settings.token = good);
    stage.add_newer(10);
    collector.wait_until_sent(30).unwrap();
    collector
        .wait_for_lines(2, &["Setup for module <CloudSekPuller> has been successfully executed"], PATIENCE)
        .unwrap();
    stage.compare().exactly_once().unwrap();
    assert!(collector.is_running());
}

#[test]
fn two_inputs_are_pulled_side_by_side_and_remember_for_themselves() {
    let stage = Stage::new("two-inputs", 130).unwrap();
    let newest = stage.source[129].incident_time;
    let others = Batch { count: 70, first: 10_000, seed: 2, newest, spread: TimeDelta::days(2) }.make();
    let settings = simulator::Settings {
        certificate: Some(stage.certificates.server.clone()),
        token: "the-token-of-another-tenant".into(),
        ..simulator::Settings::default()
    };
    let other = Simulator::start(settings, &others).unwrap();
    let input = format!(
        "  subsidiary:\n    id: 7\n    base_url: {}\n    allow_private_addresses: true\n    ca_file: chain.crt\n    \
         credentials: {{token: {}}}\n    services: {{alerts: {{request_period_in_seconds: 2}}}}\n",
        other.base_url(),
        other.token()
    );
    stage.installation.write_config(&(stage.settings.yaml() + &input)).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(200).unwrap();
    assert!(collector.stop(SOON).unwrap().success());
    // Each has a state of its own: the other's alerts are neither repeated nor left out.
    let collector = stage.start().unwrap();
    collector.wait_for_cycles(4).unwrap();
    let all: Vec<_> = stage.source.iter().chain(&others).cloned().collect();
    compare(&all, &stage.receiver.frames_from(0)).exactly_once().unwrap();
    for thread in ["CloudSekPuller(cloudsek,cloudsek_1,alerts,", "CloudSekPuller(subsidiary,7,alerts,"] {
        collector.wait_for_line(&[thread, "The data is up to date!"], PATIENCE).unwrap();
    }
    for requests in [stage.simulator.requests(), other.requests()] {
        assert!(requests.iter().all(|request| request.authorized), "a token went to the other tenant: {requests:?}");
    }
}

#[test]
fn limits_of_the_operator_are_waited_for_in_the_originals_words() {
    let mut stage = Stage::new("requests-limits", 450).unwrap();
    stage.settings.input = "requests_limits: [{period: 3s, number_of_requests: 4}]\n".into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(450).unwrap();
    stage.compare().exactly_once().unwrap();
    let line = collector.wait_for_line(&["INFO", "Local rate limit is blocking new calls for "], PATIENCE).unwrap();
    let seconds = line.split_once("new calls for ").unwrap().1.strip_suffix(" seconds").unwrap();
    assert_eq!(seconds.split_once('.').unwrap().1.len(), 5, "{line}");
    assert!(collector.lines_with(&["The generic settings will be used instead"]).is_empty());
}

#[test]
fn limits_that_are_no_list_are_the_originals_error() {
    let mut stage = Stage::new("wrong-limits", 5).unwrap();
    stage.settings.input = "requests_limits: 20\n".into();
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    let error = "InitVariablesError [CODE:0002] reason: <requests_limits> setting has been defined with wrong type. ";
    collector.wait_for_complaint(&["ERROR", error]).unwrap();
    assert_eq!(stage.simulator.request_count(), 0);
}

#[test]
fn a_pull_that_takes_longer_than_its_period_is_followed_by_the_next_at_once() {
    let mut stage = Stage::new("long-pull", 20).unwrap();
    stage.settings.period = 1;
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    // The next attempt comes after a second and a bit.
    stage.simulator.fail(1, Fault::Status(503));
    let late = "Last retrieval took too much time, no wait will be applied in this loop";
    let line = collector.wait_for_line(&["INFO", "-> Elapsed time: ", " seconds. ", late], PATIENCE).unwrap();
    let lines = collector.lines();
    let at = lines.iter().position(|other| *other == line).unwrap();
    let cycles = collector.statistics().unwrap().len();
    collector.wait_for_cycles(cycles + 1).unwrap();
    assert!(collector.lines()[at + 1..].iter().any(|line| line.ends_with("-> Pull Started")), "{}", collector.tail());
    stage.compare().exactly_once().unwrap();
}

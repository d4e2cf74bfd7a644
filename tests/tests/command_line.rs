//! The original's command line, and the ways of giving the configuration and its secrets.

use anyhow::Result;
use sandbox::PATIENCE;
use sandbox::collector::Collector;
use sandbox::stage::Stage;

#[test]
fn it_starts_as_the_originals_entry_point() {
    let stage = Stage::new("entry-point", 20).unwrap();
    let collector = Collector::start_with(&stage.installation, &["--config", "config.yaml", "--prod-mode"]).unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn validate_checks_the_credentials_and_leaves() {
    let stage = Stage::new("validate", 20).unwrap();
    let collector = Collector::start_with(&stage.installation, &["--config", "config.yaml", "--validate"]).unwrap();
    assert!(collector.wait_for_exit(PATIENCE).unwrap().success());
    assert!(stage.arrived().is_empty());
}

#[test]
fn validate_fails_with_the_originals_error_when_the_token_is_refused() {
    let mut stage = Stage::new("validate-refused", 20).unwrap();
    stage.settings.token = "another".into();
    stage.configure().unwrap();
    let collector = Collector::start_with(&stage.installation, &["--config", "config.yaml", "--validate"]).unwrap();
    assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    collector.wait_for_complaint(&["ApiError [CODE:0401] reason: Unauthorized API response"]).unwrap();
    collector
        .wait_for_complaint(&[
            "SetupError [CODE:0100] reason: The remote data is not pullable with the given credentials. Check the error \
             traces for details.",
        ])
        .unwrap();
}

#[test]
fn no_save_state_leaves_no_state() {
    let stage = Stage::new("no-save-state", 20).unwrap();
    let collector =
        Collector::start_with(&stage.installation, &["--config", "config.yaml", "--no-save-state"]).unwrap();
    collector.wait_until_sent(20).unwrap();
    assert!(stage.installation.state_files().unwrap().is_empty());
}

#[test]
fn the_collector_servers_two_files_are_taken() {
    let stage = Stage::new("collector-server", 20).unwrap();
    split_for_the_collector_server(&stage).unwrap();
    let arguments = ["--job_config_loc", "config/job.json", "--collector_config_loc", "config/collector.json"];
    let collector = Collector::start_with(&stage.installation, &arguments).unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
}

/// Writes what `config.yaml` says as the files of the job and of the collector.
fn split_for_the_collector_server(stage: &Stage) -> Result<()> {
    let settings = &stage.settings;
    let job = serde_json::json!({
        "global_overrides": {"debug": true},
        "inputs": {"cloudsek": {
            "id": "cloudsek_1",
            "base_url": settings.base_url,
            "allow_private_addresses": true,
            "ca_file": "chain.crt",
            "credentials": {"token": settings.token},
            "services": {"alerts": {"request_period_in_seconds": 2}},
        }},
    });
    let collector = serde_json::json!({
        "global_overrides": {"name": "cloudsek", "persistence": {"type": "filesystem"}},
        "outputs": {"devo_us_1": {"type": "devo_platform", "config": {
            "address": settings.address,
            "port": settings.port,
            "chain": settings.chain,
            "cert": settings.cert,
            "key": settings.key,
        }}},
    });
    let folder = stage.installation.product().join("config");
    std::fs::write(folder.join("job.json"), job.to_string())?;
    std::fs::write(folder.join("collector.json"), collector.to_string())?;
    Ok(std::fs::remove_file(stage.installation.config())?)
}

#[test]
fn a_token_that_is_replaced_in_its_file_is_taken_without_a_restart() {
    let mut stage = Stage::new("token-file", 20).unwrap();
    let file = stage.installation.product().join("token");
    std::fs::write(&file, "outdated\n").unwrap();
    let good = std::mem::replace(&mut stage.settings.token, "\"\"".into());
    stage.settings.input += "token_file: token\n";
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_for_complaint(&["ApiError [CODE:0401]"]).unwrap();
    std::fs::write(&file, format!("{good}\n")).unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
}

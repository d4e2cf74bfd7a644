//! State in redis: what lasts there is what lasts in files.

use anyhow::Result;
use chrono::{SecondsFormat, Utc};
use sandbox::redis::Redis;
use sandbox::simulator::Fault;
use sandbox::stage::Stage;
use sandbox::{ALERTS_TABLE, PATIENCE};

/// A stage whose state is in a redis-server.
fn staged(name: &str, alerts: usize) -> Result<(Stage, Redis)> {
    let stage = Stage::new(name, alerts)?;
    let redis = Redis::start(&stage.folder.path().join("redis"))?;
    redis.keeps_the_state_of(&stage)?;
    Ok((stage, redis))
}

#[test]
fn a_restart_goes_on_where_it_stood() {
    let (mut stage, redis) = staged("redis", 300).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(300).unwrap();
    collector.stop(PATIENCE).unwrap();
    stage.add_newer(20);
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
    assert!(stage.installation.state_files().unwrap().is_empty());
    assert!(redis.ask("INFO keyspace").unwrap().contains("db2:keys=1"));
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_named() {
    let (stage, redis) = staged("redis-none", 5).unwrap();
    redis.kill().unwrap();
    let collector = stage.start().unwrap();
    let place = format!("127.0.0.1:{}", redis.port());
    collector.wait_for_line(&["CollectorConfigurationException [CODE:0007]", &place], PATIENCE).unwrap();
    assert_eq!(collector.wait_for_exit(PATIENCE).unwrap().code(), Some(1));
    assert_eq!(stage.simulator.request_count(), 0);
}

#[test]
fn a_server_that_is_away_when_the_state_is_loaded_is_waited_for() {
    let (stage, mut redis) = staged("redis-away", 100).unwrap();
    // The set-up fails until the server is gone, so that the state is loaded after that.
    stage.simulator.fail(1_000, Fault::Status(401));
    let collector = stage.start().unwrap();
    collector.wait_for_line(&["Retrying the setup in"], PATIENCE).unwrap();
    redis.kill().unwrap();
    stage.simulator.heal();
    let place = format!("127.0.0.1:{}", redis.port());
    collector.wait_for_complaint(&["PrePullError [CODE:0203]", &place]).unwrap();
    collector.wait_for_line(&["Retrying pre_pull() in 5 seconds"], PATIENCE).unwrap();
    assert!(stage.arrived().is_empty());
    redis.start_again(&stage.folder.path().join("redis")).unwrap();
    collector.wait_until_sent(100).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn the_originals_state_is_taken_over() {
    let (mut stage, redis) = staged("redis-original", 100).unwrap();
    // As the original leaves it once it has sent all that there is.
    let newest = stage.source.iter().map(|alert| alert.incident_time).max().unwrap();
    let ids: Vec<_> =
        stage.source.iter().filter(|alert| alert.incident_time == newest).map(|alert| &*alert.id).collect();
    let time = newest.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Millis, true);
    let state =
        format!(r#"{{"last_event_time_in_utc":"{time}","last_ids":[{}],"@persistence_version":1}}"#, ids.join(","));
    let quoted = state.replace('"', "\\\"");
    let answer = redis.ask(&format!("SELECT 2\r\nSET \"cloudsek;cloudsek_1;alerts;None\" \"{quoted}\"")).unwrap();
    assert!(answer.starts_with("+OK\r\n+OK"), "{answer}");
    stage.add_newer(20);
    let collector = stage.start().unwrap();
    collector.wait_for_line(&["The state of the original collector has been taken over"], PATIENCE).unwrap();
    collector.wait_until_sent(20).unwrap();
    assert_eq!(stage.receiver.count(ALERTS_TABLE), 20);
}

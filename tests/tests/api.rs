//! How the collector gets along with the API: every order and shape of its pages.

use sandbox::PATIENCE;
use sandbox::simulator::{self, Envelope, Order};
use sandbox::stage::{Plan, Stage};

fn plan(alerts: usize, simulator: simulator::Settings) -> Plan {
    Plan { simulator, ..Plan::new(alerts) }
}

#[test]
fn the_order_of_the_records_does_not_matter() {
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Shuffled] {
        let settings = simulator::Settings { order, ..simulator::Settings::default() };
        let mut stage = Stage::set("order", &plan(730, settings)).unwrap();
        let collector = stage.start().unwrap();
        collector.wait_until_sent(730).unwrap();
        stage.add_newer(130);
        collector.wait_until_sent(860).unwrap();
        stage.compare().exactly_once().unwrap();
    }
}

#[test]
fn the_shape_around_the_records_does_not_matter() {
    for envelope in [
        Envelope::BareArray,
        Envelope::NullWhenEmpty,
        Envelope::NoTotals,
        Envelope::InPagination,
        Envelope::InMeta,
        Envelope::TextNumbers,
    ] {
        // 200 is two full pages: without totals, only a third, empty one tells that this was all.
        for alerts in [0, 200, 230] {
            let settings = simulator::Settings { envelope, ..simulator::Settings::default() };
            let stage = Stage::set("shape", &plan(alerts, settings)).unwrap();
            let collector = stage.start().unwrap();
            collector.wait_for_cycles(1).unwrap();
            collector.wait_until_sent(alerts as u64).unwrap();
            stage.compare().exactly_once().unwrap();
        }
    }
}

#[test]
fn a_path_in_the_address_is_kept() {
    let settings = simulator::Settings { prefix: "/tenants/7".into(), ..simulator::Settings::default() };
    let mut stage = Stage::set("prefix", &plan(20, settings)).unwrap();
    stage.settings.base_url.push('/');
    stage.configure().unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.compare().exactly_once().unwrap();
    let requests = stage.simulator.requests();
    assert!(
        requests.iter().all(|request| request.target.starts_with("/tenants/7/api/historic/alerts")),
        "{requests:?}"
    );
}

#[test]
fn an_api_that_cuts_the_page_size_is_walked_to_the_end() {
    let settings = simulator::Settings { max_limit: 30, ..simulator::Settings::default() };
    let stage = Stage::set("page-size", &plan(200, settings)).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(200).unwrap();
    stage.compare().exactly_once().unwrap();
}

#[test]
fn the_token_is_in_no_line_of_the_log_and_in_no_file_of_the_state() {
    let mut stage = Stage::new("secret", 20).unwrap();
    stage.settings.globals = String::new();
    let debug = stage.settings.yaml().replace("debug: false", "debug: true");
    stage.installation.write_config(&debug).unwrap();
    let collector = stage.start().unwrap();
    collector.wait_until_sent(20).unwrap();
    stage.simulator.change(|settings| settings.token = "rotated-in-the-meantime".into());
    collector.wait_for_line(&["ApiError [CODE:0401]"], PATIENCE).unwrap();
    let token = stage.settings.token.as_bytes();
    let contains = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token);
    assert!(!collector.lines().iter().any(|line| contains(line.as_bytes())));
    assert!(!stage.installation.state_files().unwrap().values().any(|content| contains(content)));
    assert!(!stage.receiver.frames_from(0).iter().any(|frame| contains(&frame.line)));
}

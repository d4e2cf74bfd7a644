//! APIs that answer with what they were sent, the token included, in a page that is no error: it is not in
//! the log, not on the status page and not in the messages to Devo, however it is written. And one that sends
//! compressed data that unpack to nothing: they end.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sandbox::PATIENCE;
use sandbox::admin::Admin;
use sandbox::collector::Collector;
use sandbox::simulator::{self, Fault};
use sandbox::stage::{Plan, Stage};

/// As an API gives them out, with characters that each kind of text escapes.
const TOKEN: &str = "xv1/9f8e7d6c5b4a+32100123456789ab&cdef==";

/// The token in base64, alone and behind a user's name.
const BASE64: [&str; 2] = [
    "eHYxLzlmOGU3ZDZjNWI0YSszMjEwMDEyMzQ1Njc4OWFiJmNkZWY9PQ",
    "bWU6eHYxLzlmOGU3ZDZjNWI0YSszMjEwMDEyMzQ1Njc4OWFiJmNkZWY9PQ",
];

/// The texts in which the token is told, and what must not be seen of each.
fn tellings() -> Vec<(String, String)> {
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let html: String = TOKEN.bytes().map(|byte| format!("&#{byte};")).collect();
    let json: String = TOKEN.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let cut = format!("{}{TOKEN}", "x".repeat(165));
    let query = TOKEN.replace('+', "%2B").replace('/', "%2F").replace('&', "%26");
    let seen = |text: &str| text[..text.len() / 2].to_owned();
    let mut tellings: Vec<_> = [TOKEN, &percent, &html, &json, &query].map(|text| (text.to_owned(), seen(text))).into();
    tellings.extend(BASE64.map(|text| (text.to_owned(), text[8..30].to_owned())));
    tellings.push((cut, TOKEN[..20].to_owned()));
    tellings
}

#[test]
fn an_api_that_answers_with_the_request_puts_the_token_nowhere() {
    for format in ["text", "json"] {
        let simulator = simulator::Settings { token: TOKEN.to_owned(), ..Default::default() };
        let mut stage = Stage::set("echo", &Plan { simulator, ..Plan::new(5) }).unwrap();
        stage.settings.token = format!("'{TOKEN}'");
        stage.configure().unwrap();
        let arguments = ["--config", "config.yaml", "--admin", "127.0.0.1:0", "--log-format", format];
        for (text, seen) in tellings() {
            let body = Bytes::from(format!("<html><p>{text}</p></html>"));
            let headers = vec![("content-type", "text/html".to_owned())];
            stage.simulator.fail(10, Fault::Answer { status: 200, headers, body });
            let collector = Collector::start_with(&stage.installation, &arguments).unwrap();
            collector.wait_for_line(&["Error [CODE:", "***"], PATIENCE).unwrap();
            let page = Admin::of(&collector).unwrap().get("/").unwrap();
            collector.stop(PATIENCE).unwrap();
            let messages: Vec<_> = stage.receiver.frames_from(0).into_iter().map(|frame| frame.line).collect();
            let messages = String::from_utf8_lossy(&messages.concat()).into_owned();
            assert!(
                page.contains("source failing") && page.contains("***") && messages.contains("***"),
                "{page} {messages}"
            );
            for shown in [collector.lines().join("\n"), page, messages] {
                assert!(!shown.contains(&seen), "{seen} is in {shown}");
            }
            stage.simulator.recover();
        }
    }
}

#[test]
fn an_answer_that_unpacks_to_nothing_ends_where_others_do() {
    let mut nothing = GzEncoder::new(Vec::new(), Compression::fast());
    nothing.flush().unwrap();
    let nothing = nothing.finish().unwrap().repeat(100_000);
    assert!(nothing.len() > 2_000_000);
    let mut stage = Stage::new("nothing", 5).unwrap();
    stage.settings.input = "max_body_in_bytes: 1000000\n".into();
    stage.configure().unwrap();
    let headers = vec![("content-encoding", "gzip".to_owned())];
    stage.simulator.fail(1_000, Fault::Answer { status: 200, headers, body: nothing.into() });
    let collector = stage.start().unwrap();
    collector.wait_for_line(&["Error [CODE:", "larger than max_body_in_bytes"], PATIENCE).unwrap();
    stage.simulator.recover();
    collector.wait_until_sent(5).unwrap();
    stage.compare().exactly_once().unwrap();
}

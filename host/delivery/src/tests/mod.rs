//! The sender against real receivers on loopback: what counts as delivered, what doesn't, and what the
//! operator is told.

pub mod certificates;
mod chains;
mod compression;
mod concurrency;
mod delivery;
mod failures;
mod files;
mod pkcs12;
mod plain;
pub mod receiver;

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;

use self::certificates::Certificates;
use collector_model::Table;

use super::*;

/// Longer than anything here takes; so that a defect is a failed test and not a test that never ends.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must happen.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("this should have happened long ago")
}

fn table() -> Table {
    "drp.cloudsek.xvigil.alerts".parse().unwrap()
}

fn event(body: impl Into<String>) -> Event {
    Event { time: DateTime::from_timestamp_millis(1_685_700_672_123).unwrap(), body: Bytes::from(body.into()) }
}

/// Events whose bodies are of this size and tell their number.
fn events(numbers: std::ops::Range<usize>, size: usize) -> Vec<Event> {
    numbers.map(|number| event(format!("{{\"n\":{number},\"pad\":\"{}\"}}", "x".repeat(size)))).collect()
}

fn framer() -> Framer {
    Framer::new("HOST")
}

fn lines(events: &[Event]) -> Vec<u8> {
    let mut lines = Vec::new();
    events.iter().for_each(|event| framer().append(&mut lines, &table(), event));
    lines
}

/// Settings for a receiver on this port of `localhost`, with waits short enough for a test.
fn settings(certificates: &Certificates, port: u16) -> DevoSettings {
    settings_for("localhost", &certificates.files(), port)
}

fn settings_for(host: &str, files: &TlsFiles, port: u16) -> DevoSettings {
    settings_over(Transport::Tls(Tls::from_files(files).unwrap()), host, port)
}

fn plain_settings(port: u16) -> DevoSettings {
    settings_over(Transport::Tcp, "localhost", port)
}

fn settings_over(transport: Transport, host: &str, port: u16) -> DevoSettings {
    DevoSettings {
        connecting_initial_wait: Duration::from_millis(10),
        connecting_max_wait: Duration::from_millis(40),
        sending_retries: 2,
        connecting_retries: 3,
        ..DevoSettings::new("devo_us_1", Address::new(host, port).unwrap(), transport)
    }
}

fn start(settings: DevoSettings) -> DevoHandle {
    DevoHandle::start(settings, framer())
}

/// Sends events to a receiver and returns why they are not confirmed.
async fn failure_of(events: &[Event], settings: DevoSettings) -> SendError {
    let devo = start(settings);
    // The failure may show while the event is taken or when it is flushed; the flush has to tell it in any
    // case.
    let _ = soon(devo.send(&table(), events)).await;
    let error = soon(devo.flush()).await.unwrap_err();
    assert_eq!(devo.statistics().messages(), 0);
    assert_eq!((devo.queued_in_bytes(), devo.queued_messages()), (0, 0), "what is given up takes room");
    error
}

/// The same for one event.
async fn failure(settings: DevoSettings) -> SendError {
    failure_of(&events(0..1, 10), settings).await
}

/// The numbers of the events in some lines.
fn numbers(lines: &[u8]) -> Vec<usize> {
    let text = std::str::from_utf8(lines).unwrap();
    let number = |line: &str| line.split_once("{\"n\":").unwrap().1.split_once(',').unwrap().0.parse().unwrap();
    text.lines().map(number).collect()
}

fn cause(error: SendError) -> Cause {
    match error {
        SendError::Unconfirmed { cause, .. } => cause,
        other => panic!("not a failed delivery: {other}"),
    }
}

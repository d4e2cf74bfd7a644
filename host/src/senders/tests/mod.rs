//! The sender against real receivers on loopback: what counts as delivered, what doesn't, and what the operator is
//! told.

pub mod certificates;
mod delivery;
mod failures;
mod files;
pub mod receiver;

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;

use self::certificates::Certificates;
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
    let tls = Tls::from_files(files).unwrap();
    DevoSettings {
        connecting_initial_wait: Duration::from_millis(10),
        connecting_max_wait: Duration::from_millis(40),
        sending_retries: 2,
        connecting_retries: 3,
        ..DevoSettings::new("devo_us_1", Address::new(host, port).unwrap(), Transport::Tls(tls))
    }
}

fn start(settings: DevoSettings) -> DevoHandle {
    DevoHandle::start(settings, framer())
}

fn cause(error: SendError) -> Cause {
    match error {
        SendError::Unconfirmed { cause, .. } => cause,
        other => panic!("not a failed delivery: {other}"),
    }
}

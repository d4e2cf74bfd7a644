//! The collector's own messages, against the receivers that delivery is tested with.

#[path = "../../../delivery/src/tests/certificates.rs"]
mod certificates;
#[allow(dead_code, reason = "delivery needs more of its behaviours")]
#[path = "../../../delivery/src/tests/receiver.rs"]
mod receiver;

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use collector_delivery::{
    Address, Cause, DevoHandle, DevoSettings, Event, Framer, SendError, Tls, TlsFiles, Transport,
};
use collector_model::Table;

use super::sender::BestEffort;
use certificates::Certificates;
use receiver::{Behaviour, Receiver};

/// Longer than anything here takes; so that a defect is a failed test and not a test that never ends.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("this should have happened long ago")
}

fn table() -> Table {
    "drp.cloudsek.xvigil.alerts".parse().unwrap()
}

fn event(body: impl Into<String>) -> Event {
    Event { time: DateTime::UNIX_EPOCH, body: Bytes::from(body.into()) }
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

fn settings(certificates: &Certificates, port: u16) -> DevoSettings {
    settings_over(Transport::Tls(Tls::from_files(&certificates.files()).unwrap()), port)
}

fn plain_settings(port: u16) -> DevoSettings {
    settings_over(Transport::Tcp, port)
}

/// With waits short enough for a test.
fn settings_over(transport: Transport, port: u16) -> DevoSettings {
    DevoSettings {
        connecting_initial_wait: Duration::from_millis(10),
        connecting_max_wait: Duration::from_millis(40),
        sending_retries: 2,
        connecting_retries: 3,
        ..DevoSettings::new("devo_us_1", Address::new("localhost", port).unwrap(), transport)
    }
}

fn cause(error: SendError) -> Cause {
    match error {
        SendError::Unconfirmed { cause, .. } => cause,
        other => panic!("not a failed delivery: {other}"),
    }
}

fn internal(settings: DevoSettings) -> BestEffort {
    BestEffort::start(settings, framer())
}

#[tokio::test]
async fn messages_arrive_in_order_with_their_tables() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let messages = internal(settings(&domain, receiver.port));
    let other: Table = "devo.collectors.out.local.info".parse().unwrap();
    messages.try_send(&table(), event("{\"a\":1}")).unwrap();
    messages.try_send(&other, event("{\"b\":2}")).unwrap();
    messages.try_send(&table(), event("{\"c\":3}")).unwrap();
    assert_eq!(messages.queued_messages(), 3);
    soon(messages.flush()).await.unwrap();

    let mut expected = Vec::new();
    framer().append(&mut expected, &table(), &event("{\"a\":1}"));
    framer().append(&mut expected, &other, &event("{\"b\":2}"));
    framer().append(&mut expected, &table(), &event("{\"c\":3}"));
    assert!(receiver.seen().connections == [expected]);
    assert_eq!((messages.statistics().messages(), messages.dropped(), messages.queued_messages()), (3, 0, 0));
}

#[tokio::test]
async fn messages_are_written_without_a_flush() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let messages = internal(plain_settings(receiver.port));
    messages.try_send(&table(), event("{\"n\":0}")).unwrap();
    receiver.until(|seen| seen.connections.concat() == lines(&[event("{\"n\":0}")])).await;
}

#[tokio::test]
async fn nobody_waits_for_a_dead_receiver_and_the_latest_messages_are_kept() {
    let receiver = Receiver::start_plain(&[Behaviour::Mute]).await;
    let settings = DevoSettings {
        queue_in_bytes: 10_000,
        confirm_timeout: Duration::from_millis(10),
        sending_timeout: Duration::from_millis(10),
        sending_retries: 1,
        ..plain_settings(receiver.port)
    };
    let messages = internal(settings);
    // Not one await: whatever is taken here has been taken without waiting.
    for event in events(0..1000, 100) {
        messages.try_send(&table(), event).unwrap();
    }
    let one = lines(&events(999..1000, 100)).len();
    assert!(messages.queued_messages() * one <= 10_000);
    assert_eq!(messages.queued_messages() as u64 + messages.dropped(), 1000);
    let error = soon(messages.flush()).await.unwrap_err();
    assert!(matches!(cause(error), Cause::ConfirmTimeout { .. }));
    // What could not be delivered is kept for the next try.
    assert_eq!(messages.queued_messages() as u64 + messages.dropped(), 1000);
    assert!(messages.queued_messages() > 0);
    assert_eq!(messages.statistics().messages(), 0);
}

#[tokio::test]
async fn what_a_dead_receiver_did_not_get_arrives_when_it_is_back() {
    let domain = Certificates::new();
    // Bound and not listening: nobody else gets the port, and connections to it are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let messages = internal(settings(&domain, port));
    let sent = events(0..10, 10);
    sent.iter().for_each(|event| messages.try_send(&table(), event.clone()).unwrap());
    assert_eq!(cause(soon(messages.flush()).await.unwrap_err()), Cause::Refused);
    assert_eq!(messages.queued_messages(), 10);

    // It tries again by itself.
    let receiver = Receiver::on(socket.listen(16).unwrap(), domain.server(), &[Behaviour::Read]);
    receiver.until(|seen| seen.connections.concat() == lines(&sent)).await;
    soon(messages.flush()).await.unwrap();
    assert_eq!((messages.statistics().messages(), messages.dropped(), messages.queued_messages()), (10, 0, 0));
}

#[tokio::test]
async fn a_message_that_would_break_the_line_is_refused() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let messages = internal(plain_settings(receiver.port));
    let refused = messages.try_send(&table(), event("{\n}")).unwrap_err();
    assert!(matches!(refused, SendError::EventRefused { .. }), "{refused}");
    soon(messages.flush()).await.unwrap();
    assert_eq!(messages.dropped(), 0);
    assert!(receiver.seen().connections.is_empty());
}

#[tokio::test]
async fn internal_messages_do_not_hold_up_standard_events() {
    let (dead, good) =
        (Receiver::start_plain(&[Behaviour::Mute]).await, Receiver::start_plain(&[Behaviour::Read]).await);
    let messages = internal(plain_settings(dead.port));
    let standard = DevoHandle::start(plain_settings(good.port), framer());
    events(0..1000, 1000).into_iter().for_each(|event| messages.try_send(&table(), event).unwrap());
    soon(standard.send(&table(), &events(0..10, 10))).await.unwrap();
    soon(standard.flush()).await.unwrap();
    assert_eq!(standard.statistics().messages(), 10);
}

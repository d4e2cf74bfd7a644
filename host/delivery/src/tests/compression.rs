//! Compressed events: what is in the members, and what becomes of them when a connection fails. `devo_sdk/`
//! has what Devo's own sender writes.

use std::io::Read;

use super::receiver::{Behaviour, Receiver};
use super::*;

const ALWAYS: f64 = -1.0;

fn compressed(threshold: f64, buffer_in_bytes: usize, settings: DevoSettings) -> DevoSettings {
    DevoSettings { compression: Some(Compression { buffer_in_bytes, ..Compression::from(threshold) }), ..settings }
}

/// What each member holds. All of `bytes` has to be members.
fn members(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    while !bytes.is_empty() {
        let mut member = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(bytes);
        decoder.read_to_end(&mut member).unwrap();
        bytes = decoder.into_inner();
        members.push(member);
    }
    members
}

/// The events that `devo_sdk/capture.py` sends.
fn events_of_the_sdk() -> Vec<Event> {
    (0..40).map(|n| event(format!("{{\"n\":{n},\"pad\":\"{}\"}}", "é".repeat(n * 37 % 200)))).collect()
}

#[tokio::test]
async fn plain_events_are_byte_for_byte_those_of_devos_sdk() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    soon(devo.send(&table(), &events_of_the_sdk())).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [include_bytes!("devo_sdk/plain.bin")]);
}

#[tokio::test]
async fn compressed_events_are_in_the_members_that_devos_sdk_makes() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(compressed(ALWAYS, 2048, settings(&domain, receiver.port)));
    // One by one and in a list: the members don't depend on how events were handed over.
    let events = events_of_the_sdk();
    for event in &events[..25] {
        soon(devo.send(&table(), std::slice::from_ref(event))).await.unwrap();
    }
    soon(devo.send(&table(), &events[25..])).await.unwrap();
    soon(devo.flush()).await.unwrap();

    let ours = receiver.seen().connections.concat();
    let sdk = include_bytes!("devo_sdk/zip.bin");
    assert!(members(&ours) == members(sdk));
    assert_eq!(ours[..10], sdk[..10], "another header than zlib's");
    assert_eq!(devo.statistics().messages(), 40);
    assert_eq!(devo.statistics().bytes(), include_bytes!("devo_sdk/plain.bin").len() as u64);
}

#[tokio::test]
async fn a_flush_ends_the_member_and_the_connection() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let devo = start(compressed(ALWAYS, 51_200, plain_settings(receiver.port)));
    for number in 0..3 {
        soon(devo.send(&table(), &events(number..number + 1, 10))).await.unwrap();
        soon(devo.flush()).await.unwrap();
    }
    let each: Vec<_> = (0..3).map(|number| vec![lines(&events(number..number + 1, 10))]).collect();
    let seen: Vec<_> = receiver.seen().connections.iter().map(|connection| members(connection)).collect();
    assert!(seen == each);
}

#[tokio::test]
async fn a_full_buffer_is_written_before_any_flush_and_a_part_of_one_is_not() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let devo = start(compressed(ALWAYS, 1000, plain_settings(receiver.port)));
    let sent = events(0..7, 500);
    soon(devo.send(&table(), &sent)).await.unwrap();
    // Each event has more than 500 bytes, so two exceed the buffer, and the seventh is left.
    let decoded = |bytes: &[u8]| {
        let mut whole = Vec::new();
        // Fails where the bytes end within a member.
        let _ = flate2::bufread::MultiGzDecoder::new(bytes).read_to_end(&mut whole);
        whole
    };
    let three = |seen: &receiver::Seen| decoded(&seen.connections.concat()) == lines(&sent[..6]);
    let seen = receiver.until(three).await;
    assert!(members(&seen.connections[0]) == [lines(&sent[..2]), lines(&sent[2..4]), lines(&sent[4..6])]);
    assert_eq!(devo.queued_messages(), 7);
    soon(devo.flush()).await.unwrap();
    assert!(members(&receiver.seen().connections[0])[3..] == [lines(&sent[6..])]);
}

#[tokio::test]
async fn after_a_reset_all_events_arrive_in_whole_members_on_the_next_connection() {
    let domain = Certificates::new();
    let faults =
        [Behaviour::ResetAfter(1), Behaviour::CloseUnread, Behaviour::ResetAfter(5_000), Behaviour::CloseAtOnce];
    for fault in faults {
        let receiver = Receiver::start(domain.server(), &[fault, Behaviour::Read]).await;
        let devo = start(compressed(ALWAYS, 20_000, settings(&domain, receiver.port)));
        let sent = events(0..3000, 500);
        soon(devo.send(&table(), &sent)).await.unwrap();
        soon(devo.flush()).await.unwrap();
        let connections = receiver.seen().connections;
        let members = members(&connections[1..].concat());
        assert!(members.concat() == lines(&sent), "after {fault:?}");
        assert!(members.iter().all(|member| member.ends_with(b"\n")), "an event is cut");
        assert_eq!(devo.statistics().messages(), 3000);
    }
}

#[tokio::test]
async fn below_the_threshold_events_are_plain() {
    for threshold in [1.1, 0.5] {
        let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
        let devo = start(compressed(threshold, 100, plain_settings(receiver.port)));
        let sent = events(0..100, 100);
        soon(devo.send(&table(), &sent)).await.unwrap();
        soon(devo.flush()).await.unwrap();
        assert!(receiver.seen().connections == [lines(&sent)]);
    }
}

#[tokio::test]
async fn from_the_threshold_on_members_follow_plain_events_on_the_same_connection() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let settings = DevoSettings { queue_in_bytes: 100_000, ..plain_settings(receiver.port) };
    let devo = start(compressed(0.1, 1000, settings));
    let (few, more) = (events(0..10, 500), events(10..40, 500));
    soon(devo.send(&table(), &few)).await.unwrap();
    // Written while the queue was nearly empty.
    receiver.until(|seen| seen.connections.concat() == lines(&few)).await;
    soon(devo.send(&table(), &more)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    let connections = receiver.seen().connections;
    assert_eq!(connections.len(), 1);
    assert!(members(&connections[0][lines(&few).len()..]).concat() == lines(&more));
}

#[tokio::test]
async fn a_queue_smaller_than_the_buffer_is_no_standstill() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let settings = DevoSettings { queue_in_bytes: 10_000, ..plain_settings(receiver.port) };
    let devo = start(compressed(ALWAYS, 51_200, settings));
    let sent = events(0..200, 500);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(members(&receiver.seen().connections.concat()).concat() == lines(&sent));
}

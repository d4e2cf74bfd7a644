//! Several connections of one output.

use super::receiver::{Behaviour, Receiver};
use super::*;

fn over(connections: usize, settings: DevoSettings) -> DevoSettings {
    DevoSettings { concurrent_connections: connections, ..settings }
}

/// The numbers of all events that arrived on these connections, sorted; on each, they have to be in order.
fn arrived(connections: &[Vec<u8>]) -> Vec<usize> {
    let each: Vec<_> = connections.iter().map(|connection| numbers(connection)).collect();
    assert!(each.iter().all(|numbers| numbers.is_sorted()), "the order within a connection is not kept");
    let mut all = each.concat();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn events_are_spread_over_the_connections_and_all_of_them_confirm() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(over(3, settings(&domain, receiver.port)));
    assert_eq!(devo.senders(), 3);
    soon(devo.send(&table(), &events(0..2000, 500))).await.unwrap();
    soon(devo.flush()).await.unwrap();
    let connections = receiver.seen().connections;
    assert_eq!(connections.len(), 3);
    assert!(connections.iter().all(|connection| connection.len() > 100_000), "one connection does all the work");
    assert!(arrived(&connections) == (0..2000).collect::<Vec<_>>());
    assert_eq!(devo.statistics().messages(), 2000);
    assert_eq!((devo.queued_in_bytes(), devo.queued_messages()), (0, 0));
}

#[tokio::test]
async fn a_few_events_open_one_connection_only() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let devo = start(over(8, plain_settings(receiver.port)));
    for number in 0..20 {
        soon(devo.send(&table(), &events(number..number + 1, 100))).await.unwrap();
    }
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [lines(&events(0..20, 100))]);
}

#[tokio::test]
async fn one_connection_that_is_not_confirmed_fails_the_flush() {
    let receiver = Receiver::start_plain(&[Behaviour::Read, Behaviour::ReadAndStay]).await;
    let settings = DevoSettings {
        confirm_timeout: Duration::from_millis(50),
        sending_retries: 1,
        ..over(2, plain_settings(receiver.port))
    };
    let confirm_timeout = settings.confirm_timeout;
    let devo = start(settings);
    soon(devo.send(&table(), &events(0..1000, 500))).await.unwrap();
    assert_eq!(cause(soon(devo.flush()).await.unwrap_err()), Cause::ConfirmTimeout { after: confirm_timeout });
    assert_eq!((devo.queued_in_bytes(), devo.queued_messages()), (0, 0));
    let confirmed = devo.statistics().messages();
    assert!(confirmed < 1000, "{confirmed} events count as confirmed");
}

#[tokio::test]
async fn a_connection_that_breaks_gets_only_its_own_events_again() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read, Behaviour::ResetAfter(50_000), Behaviour::Read]);
    let receiver = receiver.await;
    let devo = start(over(2, settings(&domain, receiver.port)));
    soon(devo.send(&table(), &events(0..2000, 500))).await.unwrap();
    soon(devo.flush()).await.unwrap();
    let connections = receiver.seen().connections;
    assert_eq!(connections.len(), 3);
    let broken = &connections[1];
    assert!(connections[2].starts_with(broken), "what the broken connection had does not come again");
    assert!(arrived(&[connections[0].clone(), connections[2].clone()]) == (0..2000).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_queue_has_one_bound_for_all_connections() {
    let receiver = Receiver::start_plain(&[Behaviour::ReadAndStay]).await;
    let devo = start(DevoSettings { queue_in_bytes: 128 * 1024, ..over(4, plain_settings(receiver.port)) });
    let sent = events(0..1000, 1000);
    let table = table();
    {
        let mut sending = std::pin::pin!(devo.send(&table, &sent));
        tokio::select! {
            sent = sending.as_mut() => panic!("more than the queue holds was taken: {sent:?}"),
            _ = receiver.until(|seen| seen.done >= 2) => {}
        }
        assert!(devo.queued_in_bytes() <= 128 * 1024);
        assert!(devo.queued_messages() <= 128);
    }
    devo.discard();
}

#[tokio::test]
async fn several_connections_are_not_confirmed_more_often_than_the_queue_asks_for() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let queue_in_bytes = 1 << 20;
    let devo = start(DevoSettings { queue_in_bytes, ..over(4, settings(&domain, receiver.port)) });
    let sent = events(0..8000, 1000);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    let connections = receiver.seen().connections;
    assert!(arrived(&connections) == (0..8000).collect::<Vec<_>>());
    // It confirms when half of the queue is used. With room given back connection by connection, and each
    // time a sender that waits for it, it once did so nine times as often.
    let most = 4 * (lines(&sent).len() / (queue_in_bytes / 2) + 2);
    assert!(connections.len() <= most, "{} connections, not {most} at the most", connections.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_each_of_several_connections_a_confirmed_event_has_arrived() {
    let domain = Certificates::new();
    let faults = [
        Behaviour::ResetAfter(1),
        Behaviour::CloseAtOnce,
        Behaviour::Read,
        Behaviour::ResetAfter(70_000),
        Behaviour::CloseUnread,
        Behaviour::ResetAfter(200_000),
    ];
    for round in 0..36 {
        let script = [faults[round % 6], faults[round / 6 % 6], Behaviour::Read];
        let receiver = Receiver::start(domain.server(), &script).await;
        let devo = start(DevoSettings { queue_in_bytes: 512 * 1024, ..over(3, settings(&domain, receiver.port)) });
        soon(devo.send(&table(), &events(0..1000, 100 * (round % 7 + 4)))).await.unwrap();
        soon(devo.flush()).await.unwrap();
        let whole = receiver.seen().connections.into_iter().map(|mut lines| {
            // A connection that broke ends anywhere in an event.
            lines.truncate(lines.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
            lines
        });
        let mut arrived = arrived(&whole.collect::<Vec<_>>());
        arrived.dedup();
        assert!(arrived == (0..1000).collect::<Vec<_>>(), "after {script:?}");
        assert_eq!(devo.statistics().messages(), 1000);
    }
}

//! What counts as delivered.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::receiver::{Behaviour, Receiver};
use super::*;

/// Whether the future still has something to wait for after it was given a chance.
async fn waits<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    let mut future = future;
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn what_is_flushed_has_arrived_exactly_as_framed() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    let (first, second) = (events(0..500, 300), events(500..501, 0));
    soon(devo.send(&table(), &first)).await.unwrap();
    soon(devo.send(&table(), &second)).await.unwrap();
    assert_eq!(devo.queued_messages(), 501);
    soon(devo.flush()).await.unwrap();

    let sent = [lines(&first), lines(&second)].concat();
    assert!(receiver.seen().connections == [sent.clone()]);
    assert_eq!(devo.statistics().messages(), 501);
    assert_eq!(devo.statistics().bytes(), sent.len() as u64);
    assert!(devo.statistics().delivering() > Duration::ZERO);
    assert_eq!((devo.queued_in_bytes(), devo.queued_messages()), (0, 0));
}

#[tokio::test]
async fn each_flush_ends_a_connection_and_the_next_event_opens_one() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    soon(devo.flush()).await.unwrap();
    for number in 0..5 {
        soon(devo.send(&table(), &events(number..number + 1, 10))).await.unwrap();
        soon(devo.flush()).await.unwrap();
        soon(devo.flush()).await.unwrap();
    }
    let each: Vec<_> = (0..5).map(|number| lines(&events(number..number + 1, 10))).collect();
    assert!(receiver.seen().connections == each);
}

#[tokio::test]
async fn a_receiver_that_closes_without_close_notify_has_confirmed() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::ReadAndCloseWithoutNotify]).await;
    let devo = start(settings(&domain, receiver.port));
    let sent = events(0..100, 100);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [lines(&sent)]);
}

#[tokio::test]
async fn tls_1_2_is_spoken_too() {
    let domain = Certificates::new();
    let config = domain.server_for(&domain, &[&rustls::version::TLS12]);
    let receiver = Receiver::start(config, &[Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    let sent = events(0..100, 100);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [lines(&sent)]);
}

#[tokio::test]
async fn after_a_reset_everything_unconfirmed_arrives_whole_and_in_order_on_the_next_connection() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::ResetAfter(100_000), Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    let sent = events(0..2000, 500);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();

    let seen = receiver.seen();
    assert_eq!(seen.connections.len(), 2);
    assert!(lines(&sent).starts_with(&seen.connections[0]));
    assert!(seen.connections[1] == lines(&sent));
    assert_eq!(devo.statistics().messages(), 2000);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_without_loss() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::ResetAfter(1), Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    let (first, second) = (events(0..1, 10), events(1..2, 10));
    soon(devo.send(&table(), &first)).await.unwrap();
    receiver.until(|seen| seen.done == 1).await;
    soon(devo.send(&table(), &second)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections[1] == [lines(&first), lines(&second)].concat());
}

#[tokio::test]
async fn events_that_lie_unread_when_the_receiver_closes_are_sent_again() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::CloseUnread, Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    let sent = events(0..1000, 500);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [vec![], lines(&sent)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_receivers_do_a_confirmed_event_has_arrived() {
    let domain = Certificates::new();
    let faults = [
        Behaviour::ResetAfter(1),
        Behaviour::CloseAtOnce,
        Behaviour::ResetAfter(70_000),
        Behaviour::CloseUnread,
        Behaviour::ResetAfter(200_000),
    ];
    for round in 0..40 {
        let script = [faults[round % 5], faults[round / 5 % 5], Behaviour::Read];
        let receiver = Receiver::start(domain.server(), &script).await;
        let devo = start(DevoSettings { queue_in_bytes: 256 * 1024, ..settings(&domain, receiver.port) });
        let sent = events(0..500, 100 * (round % 7 + 4));
        soon(devo.send(&table(), &sent)).await.unwrap();
        soon(devo.flush()).await.unwrap();
        // What the faulty connections took comes again on later ones; what these confirmed is each event
        // once, in order.
        let connections = receiver.seen().connections;
        assert!(connections[2..].concat() == lines(&sent), "after {script:?}");
        assert_eq!(devo.statistics().messages(), 500);
    }
}

#[tokio::test]
async fn the_queue_is_bounded_and_a_full_one_confirms_by_itself() {
    let domain = Certificates::new();
    // The first connection is never confirmed, so the room that its events take is not given back.
    let receiver = Receiver::start(domain.server(), &[Behaviour::ReadAndStay, Behaviour::Read]).await;
    let devo = start(DevoSettings { queue_in_bytes: 64 * 1024, ..settings(&domain, receiver.port) });
    let sent = events(0..300, 1000);
    let all = lines(&sent);
    let table = table();
    {
        let mut sending = pin!(devo.send(&table, &sent));
        // The receiver has read what the queue let out, and still the sender waits.
        tokio::select! {
            _ = sending.as_mut() => panic!("more than the queue holds was taken without a confirmation"),
            _ = receiver.until(|seen| seen.done == 1) => {}
        }
        assert!(waits(sending.as_mut()).await);
        assert!(devo.queued_in_bytes() <= 64 * 1024);
    }
    devo.discard();

    soon(devo.send(&table, &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    let connections = receiver.seen().connections;
    assert!(connections.len() > 3, "a queue of 64 KiB was confirmed in {} parts only", connections.len() - 1);
    assert!(connections[1..].concat() == all);
    assert_eq!(devo.queued_in_bytes(), 0);
}

#[tokio::test]
async fn an_event_larger_than_the_queue_still_passes() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(DevoSettings { queue_in_bytes: 10_000, ..settings(&domain, receiver.port) });
    let sent = [events(0..3, 10), events(3..4, 300_000), events(4..7, 6_000)].concat();
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections.concat() == lines(&sent));
}

#[tokio::test]
async fn an_event_that_is_refused_leaves_the_whole_list_untaken() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    let refused = soon(devo.send(&table(), &[event("{}"), event("{\n}")])).await.unwrap_err();
    assert!(matches!(refused, SendError::EventRefused { index: 1, .. }), "{refused}");
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections.is_empty());
}

#[tokio::test]
async fn an_event_that_is_too_large_does_not_keep_the_others() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let file = std::env::temp_dir().join(format!("devo-collector-too-large-{}/letters", std::process::id()));
    let dead_letters =
        Some(DeadLetters { max_event_in_bytes: 10, file: collector_files::RootedPath::of_operator(&file) });
    let devo = start(DevoSettings { dead_letters, ..settings(&domain, receiver.port) });
    let sent = [event("{\"a\":1}"), event("{\"long\":true}"), event("{\"b\":2}")];
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections.concat() == lines(&[sent[0].clone(), sent[2].clone()]));
    assert_eq!(std::fs::read_to_string(&file).unwrap().matches("{\"long\":true}").count(), 1);
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn what_is_discarded_is_not_sent_again_and_what_follows_is() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::ReadAndStay, Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    soon(devo.send(&table(), &events(0..5, 10))).await.unwrap();
    let mut flush = pin!(devo.flush());
    assert!(waits(flush.as_mut()).await);
    receiver.until(|seen| seen.done == 1).await;
    devo.discard();
    let error = soon(flush).await.unwrap_err();
    assert!(matches!(error, SendError::Discarded { .. }), "{error}");

    let sent = events(5..10, 10);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections[1..] == [lines(&sent)]);
    assert_eq!(devo.statistics().messages(), 5);
}

#[tokio::test]
async fn every_output_gets_every_event_and_a_dead_one_does_not_hold_up_another() {
    let domain = Certificates::new();
    let good = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let dead = Receiver::start(domain.server(), &[Behaviour::ReadAndStay]).await;
    let outputs = Outputs::new(vec![
        Output::Devo(start(DevoSettings { queue_in_bytes: 4096, ..settings(&domain, dead.port) })),
        Output::Devo(start(settings(&domain, good.port))),
    ]);
    let sent = events(0..100, 1000);
    let table = table();
    {
        let mut sending = pin!(outputs.send(&table, &sent));
        tokio::select! {
            _ = sending.as_mut() => panic!("the dead output cannot have taken all of it"),
            _ = good.until(|seen| seen.connections.concat() == lines(&sent)) => {}
        }
    }
    outputs.discard().await;
    assert!(outputs.iter().all(|output| output.statistics().messages() == 0));
}

#[tokio::test]
async fn a_flush_succeeds_only_if_all_outputs_confirm() {
    let domain = Certificates::new();
    let good = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let bad = Receiver::start(domain.server(), &[Behaviour::ResetAfter(1)]).await;
    let outputs = Outputs::new(vec![
        Output::Devo(start(settings(&domain, good.port))),
        Output::Devo(start(settings(&domain, bad.port))),
    ]);
    soon(outputs.send(&table(), &events(0..10, 10))).await.unwrap();
    assert_eq!(cause(soon(outputs.flush()).await.unwrap_err()), Cause::Reset);
    let confirmed: Vec<_> = outputs.iter().map(|output| output.statistics().messages()).collect();
    assert_eq!(confirmed, [10, 0]);
}

//! Plain TCP: the output types for relays of one's own. The same rules of delivery, and what stands in for
//! TLS's.

use super::receiver::{Behaviour, Receiver};
use super::*;

#[tokio::test]
async fn events_arrive_with_all_their_characters_and_their_own_time() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let devo = start(plain_settings(receiver.port));
    soon(devo.send(&table(), &[event("{\"name\":\"Ñandú — 日本 🦀\"}")])).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert_eq!(
        String::from_utf8(receiver.seen().connections.concat()).unwrap(),
        "<14>2023-06-02 10:11:12.123 HOST drp.cloudsek.xvigil.alerts: {\"name\":\"Ñandú — 日本 🦀\"}\n"
    );
    assert_eq!(devo.statistics().messages(), 1);
}

#[tokio::test]
async fn each_flush_ends_a_plain_connection_and_the_next_event_opens_one() {
    let receiver = Receiver::start_plain(&[Behaviour::Read]).await;
    let devo = start(plain_settings(receiver.port));
    for number in 0..3 {
        soon(devo.send(&table(), &events(number..number + 1, 10))).await.unwrap();
        soon(devo.flush()).await.unwrap();
    }
    let each: Vec<_> = (0..3).map(|number| lines(&events(number..number + 1, 10))).collect();
    assert!(receiver.seen().connections == each);
}

#[tokio::test]
async fn a_plain_receiver_that_resets_closes_early_or_leaves_events_unread_gets_all_of_them_again() {
    for fault in
        [Behaviour::ResetAfter(100_000), Behaviour::CloseUnread, Behaviour::CloseAtOnce, Behaviour::HalfCloseFirst]
    {
        let receiver = Receiver::start_plain(&[fault, Behaviour::Read]).await;
        let devo = start(plain_settings(receiver.port));
        let (first, second) = (events(0..1, 10), events(1..2000, 500));
        soon(devo.send(&table(), &first)).await.unwrap();
        if matches!(fault, Behaviour::CloseUnread | Behaviour::CloseAtOnce) {
            receiver.until(|seen| seen.done == 1).await;
        }
        if fault == Behaviour::HalfCloseFirst {
            receiver.until(|seen| seen.half_closed == 1).await;
        }
        soon(devo.send(&table(), &second)).await.unwrap();
        soon(devo.flush()).await.unwrap();
        let sent = [lines(&first), lines(&second)].concat();
        assert!(receiver.seen().connections[1..].concat() == sent, "after {fault:?}");
        assert_eq!(devo.statistics().messages(), 2000);
    }
}

#[tokio::test]
async fn a_plain_receiver_that_does_not_close_has_not_confirmed() {
    let receiver = Receiver::start_plain(&[Behaviour::ReadAndStay]).await;
    let confirm_timeout = Duration::from_millis(50);
    let cause = cause(failure(DevoSettings { confirm_timeout, ..plain_settings(receiver.port) }).await);
    assert_eq!(cause, Cause::ConfirmTimeout { after: confirm_timeout });
}

#[tokio::test]
async fn a_server_that_answers_and_closes_has_not_confirmed() {
    let receiver = Receiver::start_plain(&[Behaviour::Answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")]).await;
    let error = failure(plain_settings(receiver.port)).await;
    let text = error.to_string();
    assert!(text.contains("HTTP/1.1 400 Bad Request"), "{text}");
    assert!(matches!(cause(error), Cause::NotAReceiver { .. }), "{text}");
    assert_eq!(receiver.seen().connections.len(), 2, "more than one retry can't help");
}

#[tokio::test]
async fn plain_events_to_a_tls_port_are_not_taken_for_delivered() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let error = failure(plain_settings(receiver.port)).await;
    let text = error.to_string();
    assert_eq!(cause(error), Cause::TlsExpected, "{text}");
    assert!(text.contains("\"relay\""), "no remedy in: {text}");
}

#[tokio::test]
async fn a_plain_port_that_nobody_listens_on_is_told_as_such() {
    // Bound and not listening: nobody else gets the port, and connections to it are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    assert_eq!(cause(failure(plain_settings(port)).await), Cause::Refused);
}

#[tokio::test]
async fn a_plain_and_a_tls_output_get_every_event_and_both_confirm() {
    let domain = Certificates::new();
    let (relay, platform) = (
        Receiver::start_plain(&[Behaviour::ResetAfter(1), Behaviour::Read]).await,
        Receiver::start(domain.server(), &[Behaviour::Read]).await,
    );
    let outputs = Outputs::new(vec![
        Output::Devo(start(plain_settings(relay.port))),
        Output::Devo(start(settings(&domain, platform.port))),
    ]);
    let sent = events(0..300, 300);
    soon(outputs.send(&table(), &sent)).await.unwrap();
    soon(outputs.flush()).await.unwrap();
    assert!(relay.seen().connections[1..].concat() == lines(&sent));
    assert!(platform.seen().connections.concat() == lines(&sent));
}

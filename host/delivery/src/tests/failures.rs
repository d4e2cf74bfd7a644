//! What doesn't count as delivered, and what the operator is told about it.

use tokio::net::TcpListener;

use super::receiver::{Behaviour, Receiver};
use super::*;

#[tokio::test]
async fn a_receiver_that_closes_before_the_events_come_has_not_got_them() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::CloseAtOnce, Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    // More than comes with the end of the handshake, which is read before the receiver closes.
    let sent = events(0..1000, 500);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [vec![], lines(&sent)]);
    drop(receiver);

    let receiver = Receiver::start(domain.server(), &[Behaviour::CloseAtOnce]).await;
    let cause = cause(failure_of(&sent, settings(&domain, receiver.port)).await);
    assert!(matches!(cause, Cause::ClosedEarly | Cause::Reset), "{cause:?}");
}

#[tokio::test]
async fn an_end_of_file_sent_before_the_events_does_not_confirm_them() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::HalfCloseFirst, Behaviour::Read]).await;
    let devo = start(settings(&domain, receiver.port));
    let (first, second) = (events(0..1, 10), events(1..2, 10));
    soon(devo.send(&table(), &first)).await.unwrap();
    receiver.until(|seen| seen.half_closed == 1).await;
    soon(devo.send(&table(), &second)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections[1] == [lines(&first), lines(&second)].concat());
}

#[tokio::test]
async fn a_receiver_that_closes_without_reading_has_not_got_the_events() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::CloseUnread]).await;
    let cause = cause(failure_of(&events(0..1000, 500), settings(&domain, receiver.port)).await);
    assert!(matches!(cause, Cause::Reset | Cause::ClosedEarly), "{cause:?}");
    // The first try and two retries.
    assert_eq!(receiver.until(|seen| seen.done >= 3).await.connections.len(), 3);
}

#[tokio::test]
async fn a_refused_client_certificate_is_not_a_delivery() {
    let (domain, other) = (Certificates::new(), Certificates::new());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = domain.server_for(&other, &[version]);
        let receiver = Receiver::start(config, &[Behaviour::Read]).await;
        let error = failure(settings(&domain, receiver.port)).await;
        let text = error.to_string();
        assert!(matches!(cause(error), Cause::ClientCertificateRefused { .. }), "{version:?}: {text}");
        assert!(text.contains("devo_us_1") && text.contains(&format!("localhost:{}", receiver.port)), "{text}");
        assert!(text.contains("download new ones"), "{text}");
        assert_eq!(receiver.seen().connections.len(), 2, "more than one retry can't help");
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_end_the_connection_has_not_confirmed() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::ReadAndStay]).await;
    let confirm_timeout = Duration::from_millis(50);
    let cause = cause(failure(DevoSettings { confirm_timeout, ..settings(&domain, receiver.port) }).await);
    assert_eq!(cause, Cause::ConfirmTimeout { after: confirm_timeout });
}

#[tokio::test]
async fn a_receiver_that_stops_reading_is_a_bounded_failure() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Stall]).await;
    let sending_timeout = Duration::from_millis(100);
    let devo = start(DevoSettings {
        sending_timeout,
        sending_retries: 1,
        // More than the buffers of two sockets on loopback take.
        queue_in_bytes: 64 << 20,
        ..settings(&domain, receiver.port)
    });
    soon(devo.send(&table(), &events(0..240, 200_000))).await.unwrap();
    assert_eq!(cause(soon(devo.flush()).await.unwrap_err()), Cause::SendingTimeout { after: sending_timeout });
    assert_eq!(receiver.seen().connections.len(), 2);
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_the_handshake_is_a_bounded_failure() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Mute]).await;
    let connect_timeout = Duration::from_millis(50);
    let cause = cause(failure(DevoSettings { connect_timeout, ..settings(&domain, receiver.port) }).await);
    assert_eq!(cause, Cause::HandshakeTimeout { after: connect_timeout });
}

#[tokio::test]
async fn when_the_receiver_is_down_the_flush_says_so_and_a_later_one_recovers() {
    let domain = Certificates::new();
    // Bound and not listening: nobody else gets the port, and connections to it are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let devo = start(settings_for("localhost", &domain.files(), port));

    let sent = events(0..10, 10);
    let _ = soon(devo.send(&table(), &sent)).await;
    let error = soon(devo.flush()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "output \"devo_us_1\" at localhost:{port}: the events are not confirmed: the connection was refused; \
             check the output's \"address\" and \"port\", and that the receiver runs"
        )
    );

    let listener: TcpListener = socket.listen(16).unwrap();
    let receiver = Receiver::on(listener, domain.server(), &[Behaviour::Read]);
    soon(devo.send(&table(), &sent)).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections == [lines(&sent)]);
}

#[tokio::test]
async fn a_loss_that_nobody_was_told_of_fails_the_next_flush_even_if_its_own_events_arrive() {
    let domain = Certificates::new();
    let receiver = Receiver::start(
        domain.server(),
        // As many tries as there are, then a good receiver.
        &[Behaviour::ResetAfter(1), Behaviour::ResetAfter(1), Behaviour::ResetAfter(1), Behaviour::Read],
    )
    .await;
    // A queue so small that the event is confirmed by the sender itself.
    let devo = start(DevoSettings { queue_in_bytes: 100, ..settings(&domain, receiver.port) });
    soon(devo.send(&table(), &events(0..1, 1000))).await.unwrap();
    // Returns when there is room again: by then the first event is given up.
    let told = soon(devo.send(&table(), &events(1..2, 1000))).await.unwrap_err();
    assert_eq!(cause(told.clone()), Cause::Reset);
    assert_eq!(soon(devo.send(&table(), &events(2..3, 1000))).await.unwrap_err(), told);
    assert_eq!(soon(devo.flush()).await.unwrap_err(), told);

    soon(devo.send(&table(), &events(0..3, 1000))).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections[3..].concat() == lines(&events(0..3, 1000)));
}

#[tokio::test]
async fn a_discard_interrupts_the_wait_between_two_tries() {
    let domain = Certificates::new();
    let receiver =
        Receiver::start(domain.server(), &[Behaviour::ResetAfter(1), Behaviour::ResetAfter(1), Behaviour::Read]).await;
    let an_hour = Duration::from_secs(3600);
    let devo = start(DevoSettings {
        connecting_initial_wait: an_hour,
        connecting_max_wait: an_hour,
        ..settings(&domain, receiver.port)
    });
    soon(devo.send(&table(), &events(0..1, 10))).await.unwrap();
    {
        let mut flush = std::pin::pin!(devo.flush());
        tokio::select! {
            ended = flush.as_mut() => panic!("the flush should wait: {ended:?}"),
            _ = receiver.until(|seen| seen.done == 2) => {}
        }
    }
    devo.discard();
    soon(devo.send(&table(), &events(1..2, 10))).await.unwrap();
    soon(devo.flush()).await.unwrap();
    assert!(receiver.seen().connections[2] == lines(&events(1..2, 10)));
}

#[tokio::test]
async fn a_receiver_of_another_name_is_refused() {
    let domain = Certificates::new();
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let error = failure(settings_for("127.0.0.1", &domain.files(), receiver.port)).await;
    let text = error.to_string();
    assert!(matches!(cause(error), Cause::ServerCertificateWrongName { .. }), "{text}");
    assert!(text.contains("localhost"), "the name that the certificate has is not told: {text}");
}

#[tokio::test]
async fn a_receiver_of_an_unknown_authority_is_refused() {
    let (domain, other) = (Certificates::new(), Certificates::new());
    let receiver = Receiver::start(other.server(), &[Behaviour::Read]).await;
    let cause = cause(failure(settings(&domain, receiver.port)).await);
    assert_eq!(cause, Cause::ServerCertificateUnknownIssuer);
}

#[tokio::test]
async fn a_receiver_with_an_expired_certificate_is_refused() {
    let domain = Certificates::with_server(|server| server.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let receiver = Receiver::start(domain.server(), &[Behaviour::Read]).await;
    let cause = cause(failure(settings(&domain, receiver.port)).await);
    assert!(matches!(cause, Cause::ServerCertificateOutOfDate { .. }), "{cause:?}");
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_told_as_such() {
    let domain = Certificates::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            // Kept open until the client goes, so that it reads the answer and not a reset.
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut Vec::new()).await;
        }
    });
    assert_eq!(cause(failure(settings(&domain, port)).await), Cause::NotTls);
    server.abort();
}

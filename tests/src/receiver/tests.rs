//! The receiver is fed by a blocking rustls client: another implementation of the sender's side than the
//! product's.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::PATIENCE;
use crate::certificates::Pair;
use crate::folder::Folder;

type Stream = StreamOwned<ClientConnection, TcpStream>;

struct Place {
    _folder: Folder,
    certificates: Certificates,
    receiver: Receiver,
}

fn place(settings: &Settings) -> Place {
    let folder = Folder::new("receiver").unwrap();
    let certificates = Certificates::write_to(folder.path()).unwrap();
    let receiver = Receiver::start(&certificates, settings).unwrap();
    Place { _folder: folder, certificates, receiver }
}

fn connect(place: &Place, pair: &Pair) -> Stream {
    let mut roots = RootCertStore::empty();
    tls::certificates(&place.certificates.chain).unwrap().into_iter().for_each(|root| roots.add(root).unwrap());
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(tls::certificates(&pair.cert).unwrap(), tls::key(&pair.key).unwrap())
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(("127.0.0.1", place.receiver.port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

/// Closes as the collector does: close_notify, half-close, wait for the other end.
fn confirm(stream: &mut Stream) -> std::io::Result<usize> {
    stream.conn.send_close_notify();
    stream.flush()?;
    stream.sock.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())
}

fn event(number: usize) -> String {
    format!("<14>2023-06-02 10:11:12.123 host my.table: {{\"n\":{number}}}\n")
}

#[test]
fn events_are_kept_in_order_with_their_connection_and_confirmed_at_the_end() {
    for versions in [vec![&rustls::version::TLS12], vec![&rustls::version::TLS13]] {
        let place = place(&Settings { versions, ..Settings::default() });
        let mut first = connect(&place, &place.certificates.client);
        first.write_all((0..5000).map(event).collect::<String>().as_bytes()).unwrap();
        assert_eq!(confirm(&mut first).unwrap(), 0);
        let mut second = connect(&place, &place.certificates.client);
        second.write_all(event(5000).as_bytes()).unwrap();
        assert_eq!(confirm(&mut second).unwrap(), 0);
        place.receiver.wait_for("my.table", 5001, PATIENCE).unwrap();
        let events = place.receiver.events("my.table");
        assert!(events.iter().enumerate().all(|(number, frame)| {
            frame.line == event(number).trim_end() && frame.connection == usize::from(number == 5000)
        }));
        let ends = |connections: &[Connection]| {
            let ends: Vec<_> = connections.iter().filter_map(|connection| connection.end).collect();
            (ends.len() == 2).then_some(ends)
        };
        let ends = place.receiver.wait_for_connections("both ends", PATIENCE, ends).unwrap();
        assert_eq!(ends, [End::CloseNotify, End::CloseNotify]);
    }
}

#[test]
fn an_unfinished_line_is_no_event() {
    let place = place(&Settings::default());
    let mut stream = connect(&place, &place.certificates.client);
    stream.write_all(format!("{}<14>2023", event(1)).as_bytes()).unwrap();
    confirm(&mut stream).unwrap();
    assert_eq!(place.receiver.count("my.table"), 1);
    assert_eq!(place.receiver.connections()[0].unfinished, "<14>2023");
}

#[test]
fn gzip_is_unpacked() {
    let place = place(&Settings::default());
    let mut stream = connect(&place, &place.certificates.client);
    for half in [0..500, 500..1000] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(half.map(event).collect::<String>().as_bytes()).unwrap();
        stream.write_all(&gzip.finish().unwrap()).unwrap();
    }
    confirm(&mut stream).unwrap();
    assert_eq!(place.receiver.count("my.table"), 1000);
    assert_eq!(place.receiver.events("my.table")[999].line, event(999).trim_end());
}

#[test]
fn a_certificate_of_another_authority_is_refused_after_the_client_has_written() {
    let place = place(&Settings::default());
    for refused in ["foreign", "expired", "good, but not wanted"] {
        let pair = match refused {
            "foreign" => &place.certificates.foreign_client,
            "expired" => &place.certificates.expired_client,
            _ => {
                place.receiver.behave(Behaviour::RefuseClientCertificate);
                &place.certificates.client
            }
        };
        let mut stream = connect(&place, pair);
        stream.write_all(event(1).as_bytes()).unwrap();
        assert!(confirm(&mut stream).is_err(), "{refused}");
    }
    assert_eq!(place.receiver.count("my.table"), 0);
    place.receiver.behave(Behaviour::Healthy);
    let mut stream = connect(&place, &place.certificates.client);
    stream.write_all(event(1).as_bytes()).unwrap();
    assert!(confirm(&mut stream).is_ok());
}

#[test]
fn connections_are_reset_as_often_as_asked() {
    let place = place(&Settings::default());
    place.receiver.behave(Behaviour::ResetAfter { bytes: 100, times: 1 });
    let mut stream = connect(&place, &place.certificates.client);
    stream.write_all((0..5).map(event).collect::<String>().as_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(place.receiver.resets(), 1);
    let mut stream = connect(&place, &place.certificates.client);
    stream.write_all((0..5).map(event).collect::<String>().as_bytes()).unwrap();
    assert!(confirm(&mut stream).is_ok());
}

#[test]
fn a_receiver_that_never_confirms_still_reads() {
    let place = place(&Settings::default());
    place.receiver.behave(Behaviour::NeverConfirm);
    let mut stream = connect(&place, &place.certificates.client);
    stream.write_all(event(1).as_bytes()).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    place.receiver.wait_for("my.table", 1, PATIENCE).unwrap();
    stream.sock.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn without_tls_events_are_taken_and_confirmed_all_the_same() {
    let place = place(&Settings { tls: false, ..Settings::default() });
    let mut stream = TcpStream::connect(("127.0.0.1", place.receiver.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(event(1).as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(place.receiver.count("my.table"), 1);
}

#[test]
fn connections_with_messages_stall_if_asked_and_those_with_events_do_not() {
    let place = place(&Settings::default());
    place.receiver.behave(Behaviour::StallMessages);
    let mut messages = connect(&place, &place.certificates.client);
    messages.write_all(b"<14>2023-06-02 10:11:12.123 host devo.collectors.out.local.info: {}\n").unwrap();
    place.receiver.wait_for("devo.collectors.out.local.info", 1, PATIENCE).unwrap();
    let mut events = connect(&place, &place.certificates.client);
    events.write_all(event(1).as_bytes()).unwrap();
    assert!(confirm(&mut events).is_ok());
    assert_eq!(place.receiver.connections()[0].end, None);
}

#[test]
fn it_can_be_gone_for_a_while() {
    let mut place = place(&Settings::default());
    let port = place.receiver.port();
    place.receiver.stop();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    place.receiver.resume().unwrap();
    assert_eq!(place.receiver.port(), port);
    let mut stream = connect(&place, &place.certificates.client);
    stream.write_all(event(1).as_bytes()).unwrap();
    assert!(confirm(&mut stream).is_ok());
}

//! What leaves: only to the origin, with the host's credential, without what a component has no say in.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use collector_net::{AddressRange, ConnectProblem};
use http::header::{AUTHORIZATION, HOST, LOCATION};
use http::{HeaderName, Method, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;

use super::server::{Server, Then, ok, with_headers};
use super::*;
use crate::CredentialProblem;

#[tokio::test]
async fn the_token_is_added_and_never_taken_from_the_component() {
    let mut server = Server::always(ok("[]"), Then::Next).await;
    let mut request = get(&format!("{}/api/historic/alerts?page=1", server.http()));
    request.headers_mut().insert(AUTHORIZATION, "Bearer forged".parse().unwrap());
    bounded(client(&server.http()).send(request)).await.unwrap();
    let request = bounded(server.request()).await;
    assert!(request.starts_with("get /api/historic/alerts?page=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: bearer t0ken\r\n"), "{request}");
    assert!(!request.contains("forged"));
    assert_eq!(request.matches("authorization").count(), 1);
}

#[tokio::test]
async fn the_component_says_who_asks() {
    let mut server = Server::always(ok("[]"), Then::Next).await;
    let mut request = get(&server.http());
    request.headers_mut().insert("user-agent", "devo-collector/1.2.3".parse().unwrap());
    bounded(client(&server.http()).send(request)).await.unwrap();
    let request = bounded(server.request()).await;
    assert!(request.contains("user-agent: devo-collector/1.2.3\r\n"), "{request}");
}

#[tokio::test]
async fn header_and_prefix_of_the_token_can_be_chosen() {
    let mut server = Server::always(ok("[]"), Then::Next).await;
    let client = ApiClient::new(ApiClientSettings {
        auth_header: "x-api-key".parse().unwrap(),
        auth_prefix: String::new(),
        ..settings(&server.http())
    });
    let mut request = get(&server.http());
    request.headers_mut().insert(AUTHORIZATION, "Bearer forged".parse().unwrap());
    request.headers_mut().append("x-api-key", "forged".parse().unwrap());
    request.headers_mut().append("x-api-key", "forged".parse().unwrap());
    bounded(client.unwrap().send(request)).await.unwrap();
    let request = bounded(server.request()).await;
    assert!(request.contains("x-api-key: t0ken\r\n") && !request.contains("forged"), "{request}");
    assert!(!request.contains("authorization"));
}

#[tokio::test]
async fn a_new_token_is_used_from_the_next_request_on() {
    let mut server = Server::always(ok("[]"), Then::Next).await;
    let client = client(&server.http());
    let clone = client.clone();
    client.set_credential(&SecretString::from("n3w")).unwrap();
    bounded(clone.send(get(&server.http()))).await.unwrap();
    assert!(bounded(server.request()).await.contains("authorization: bearer n3w\r\n"));
}

#[tokio::test]
async fn without_a_token_the_components_own_header_stays() {
    let mut server = Server::always(ok("[]"), Then::Next).await;
    let client = ApiClient::new(ApiClientSettings { token: None, ..settings(&server.http()) }).unwrap();
    let mut request = get(&server.http());
    request.headers_mut().insert(AUTHORIZATION, "Bearer own".parse().unwrap());
    bounded(client.send(request)).await.unwrap();
    assert!(bounded(server.request()).await.contains("authorization: bearer own\r\n"));
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_refused_and_not_shown() {
    let client = client("http://127.0.0.1:1");
    for (token, problem) in [
        ("s3cret\nx: y", CredentialProblem::NotAHeaderValue),
        ("s3crét", CredentialProblem::NotAHeaderValue),
        ("", CredentialProblem::Empty),
    ] {
        let error = client.set_credential(&SecretString::from(token)).unwrap_err();
        assert_eq!(error, EgressError::Credential { problem });
        assert!(!format!("{error} {error:?}").contains("s3cr"));
    }
}

#[tokio::test]
async fn neither_settings_nor_client_show_the_token() {
    let settings = settings("http://127.0.0.1:1");
    assert!(!format!("{settings:?}").contains("t0ken"));
    assert!(!format!("{:?}", ApiClient::new(settings).unwrap()).contains("t0ken"));
}

#[tokio::test]
async fn the_component_cannot_name_another_host_or_steer_the_connection() {
    let mut server = Server::always(ok("[]"), Then::Next).await;
    let mut request = get(&server.http());
    for (name, value) in [
        (HOST.as_str(), "evil.example"),
        ("connection", "x-private, upgrade"),
        ("x-private", "evil"),
        ("upgrade", "evil"),
        ("te", "evil"),
        ("trailer", "evil"),
        ("keep-alive", "evil"),
        ("proxy-connection", "evil"),
        ("proxy-authorization", "evil"),
        ("transfer-encoding", "evil"),
        ("x-fine", "fine"),
    ] {
        request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    bounded(client(&server.http()).send(request)).await.unwrap();
    let request = bounded(server.request()).await;
    assert!(request.contains(&format!("host: {}\r\n", server.address)), "{request}");
    assert!(request.contains("x-fine: fine\r\n") && !request.contains("evil"), "{request}");
}

#[tokio::test]
async fn another_origin_is_refused_before_anything_is_sent() {
    let (ours, other) = (Server::always(ok("[]"), Then::Next).await, Server::always(ok("[]"), Then::Next).await);
    let client = client(&ours.http());
    let port = ours.address.port();
    for url in [
        format!("{}/steal?token=1", other.http()),
        ours.https(),
        format!("http://localhost:{port}/"),
        format!("http://me:pw@127.0.0.1:{port}/"),
    ] {
        let error = bounded(client.send(get(&url))).await.err().unwrap();
        assert!(matches!(error, EgressError::OriginRefused { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("steal") && !error.to_string().contains("pw"), "{error}");
    }
    assert_eq!((ours.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn a_component_cannot_open_a_tunnel() {
    let server = Server::always(ok("[]"), Then::Next).await;
    let mut request = get(&server.http());
    *request.method_mut() = Method::CONNECT;
    let error = bounded(client(&server.http()).send(request)).await.err().unwrap();
    assert!(matches!(error, EgressError::MethodRefused { .. }), "{error}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_private_address_needs_the_operators_leave() {
    let server = Server::always(ok("[]"), Then::Next).await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let settings = settings(&format!("http://{host}:{}", server.address.port()));
        let refused = ApiClientSettings { addresses: false.into(), ..settings.clone() };
        match failure(refused).await {
            EgressError::AddressRefused { range, .. } => assert_eq!(range, AddressRange::Loopback),
            other => panic!("{other}"),
        }
        assert_eq!(server.connections(), 0);
    }
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(fetch(settings(&format!("http://{host}:{}", server.address.port()))).await.unwrap(), "[]");
    }
}

#[tokio::test]
async fn a_redirect_is_handed_to_the_component_and_not_followed() {
    let other = Server::always(ok("[]"), Then::Next).await;
    let to = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", other.http());
    let server = Server::always(to, Then::Next).await;
    let answer = bounded(client(&server.http()).send(get(&server.http()))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(answer.headers()[LOCATION], other.http());
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::always(ok("[]"), Then::Next).await;
    let client = client(&server.http());
    // A connection goes back a moment after its body was read, so that the very next request may miss it: not
    // all of them.
    const REQUESTS: usize = 50;
    for _ in 0..REQUESTS {
        assert_eq!(bounded(async { whole(client.send(get(&server.http())).await).await }).await.unwrap(), "[]");
    }
    assert!(server.connections() < REQUESTS, "{} connections", server.connections());
}

#[tokio::test]
async fn a_connection_that_the_server_will_close_is_not_used_again() {
    let server = Server::always(with_headers("Connection: close\r\n", "[]"), Then::Close).await;
    let client = client(&server.http());
    for _ in 0..5 {
        assert_eq!(bounded(async { whole(client.send(get(&server.http())).await).await }).await.unwrap(), "[]");
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn a_request_body_goes_out_whole() {
    let mut server = Server::always(ok("[]"), Then::Next).await;
    let request = Request::post(server.http()).body(Full::new(Bytes::from("a body"))).unwrap();
    bounded(client(&server.http()).send(request)).await.unwrap();
    assert!(bounded(server.request()).await.ends_with("\r\n\r\na body"));
}

/// A body whose writer fails after one piece.
struct Broken(bool);

impl Body for Broken {
    type Data = Bytes;
    type Error = std::fmt::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let is_first = !std::mem::replace(&mut self.0, true);
        Poll::Ready(Some(if is_first { Ok(Frame::data(Bytes::from("a"))) } else { Err(std::fmt::Error) }))
    }
}

#[tokio::test]
async fn a_component_that_fails_while_writing_is_told_apart_from_a_server_that_fails() {
    let server = Server::always(ok("[]"), Then::Next).await;
    let request = Request::post(server.http()).header("content-length", "9").body(Broken(false)).unwrap();
    let error = bounded(client(&server.http()).send(request)).await.err().unwrap();
    assert!(matches!(error, EgressError::RequestBody { .. }), "{error}");
}

#[tokio::test]
async fn clients_of_different_tenants_share_nothing() {
    let seen = std::sync::Arc::new(Mutex::new(HashMap::new()));
    let log = std::sync::Arc::clone(&seen);
    let server = Server::start(move |request| {
        let token = request.lines().find(|line| line.to_lowercase().starts_with("authorization")).unwrap();
        *log.lock().unwrap().entry(token.to_owned()).or_insert(0) += 1;
        (ok("[]"), Then::Next)
    })
    .await;
    for token in ["one", "two"] {
        let settings = ApiClientSettings { token: Some(SecretString::from(token)), ..settings(&server.http()) };
        fetch(settings).await.unwrap();
    }
    assert_eq!(seen.lock().unwrap().len(), 2);
    assert_eq!(server.connections(), 2, "a connection is never passed on to another tenant");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = failure(settings(&base_url)).await;
    assert_eq!(error, EgressError::Connect { target: base_url, problem: ConnectProblem::Refused });
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    // A label of more than 63 characters: the resolver refuses it without asking anybody.
    let host = format!("{}.invalid", "a".repeat(64));
    let error = failure(settings(&format!("http://{host}"))).await;
    assert!(matches!(&error, EgressError::Dns { host: named, .. } if *named == host), "{error}");
}

#[tokio::test]
async fn any_kind_of_body_can_be_sent() {
    fn accepts<B: Body<Data = Bytes, Error = Infallible> + Send + 'static>(_: &B) {}
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let server = Server::always(ok("[]"), Then::Next).await;
    let request = get(&server.http());
    accepts(request.body());
    let client = client(&server.http());
    let answer = bounded(is_send(client.send(request))).await.unwrap();
    is_send(answer);
}

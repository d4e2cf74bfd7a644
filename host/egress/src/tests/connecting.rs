//! TLS and proxies: whom a connection trusts, and the way it takes.

use collector_files::RootedPath;
use collector_net::CaFileProblem;
use rcgen::date_time_ymd;
use tokio::net::TcpListener;

use super::server::{Authority, Server, Then, ok, with_status};
use super::*;
use crate::{ConnectStage, ProxyProblem, ProxyVariables, TlsProblem};

async fn tls_problem(settings: ApiClientSettings) -> TlsProblem {
    match failure(settings).await {
        EgressError::Tls { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

fn trusting(authority: &Authority, base_url: &str) -> ApiClientSettings {
    ApiClientSettings { ca_file: Some(RootedPath::of_operator(&authority.ca_file)), ..settings(base_url) }
}

fn through(proxy_url: String, settings: ApiClientSettings) -> ApiClientSettings {
    ApiClientSettings { proxy: ProxySettings::Url(SecretString::from(proxy_url)), ..settings }
}

async fn secure_server(authority: &Authority) -> Server {
    Server::start_with(Some(authority.acceptor("127.0.0.1", |_| {})), |_| (ok("[]"), Then::Next)).await
}

#[tokio::test]
async fn a_server_signed_by_ca_file_is_trusted() {
    let authority = Authority::new();
    let mut server = secure_server(&authority).await;
    assert_eq!(fetch(trusting(&authority, &server.https())).await.unwrap(), "[]");
    assert!(bounded(server.request()).await.contains("authorization: bearer t0ken"));
}

#[tokio::test]
async fn each_fault_of_a_certificate_has_its_own_error() {
    let (authority, other) = (Authority::new(), Authority::new());
    let answer = |_: &str| (ok("[]"), Then::Next);
    let good = Server::start_with(Some(authority.acceptor("127.0.0.1", |_| {})), answer).await;
    assert_eq!(tls_problem(trusting(&other, &good.https())).await, TlsProblem::UnknownIssuer);
    let misnamed = Server::start_with(Some(authority.acceptor("api.cloudsek.com", |_| {})), answer).await;
    assert_eq!(tls_problem(trusting(&authority, &misnamed.https())).await, TlsProblem::WrongName);
    let expired = authority.acceptor("127.0.0.1", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let expired = Server::start_with(Some(expired), answer).await;
    assert_eq!(tls_problem(trusting(&authority, &expired.https())).await, TlsProblem::Expired);
    let early = authority.acceptor("127.0.0.1", |params| params.not_before = date_time_ymd(4000, 1, 1));
    let early = Server::start_with(Some(early), answer).await;
    assert_eq!(tls_problem(trusting(&authority, &early.https())).await, TlsProblem::NotValidYet);
}

#[tokio::test]
async fn a_server_that_leaves_out_its_intermediate_certificate_can_be_trusted_by_means_of_ca_file() {
    let root = Authority::new();
    let intermediate = root.intermediate();
    // It sends its own certificate and nothing more.
    let server = secure_server(&intermediate).await;
    let problem = tls_problem(trusting(&root, &server.https())).await;
    assert_eq!(problem, TlsProblem::UnknownIssuer);
    let text = problem.to_string();
    assert!(
        text.contains("the server may not send its intermediate certificate") && text.contains("ca_file"),
        "{text}"
    );
    assert_eq!(fetch(trusting(&intermediate, &server.https())).await.unwrap(), "[]");
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_one_with_a_bad_certificate() {
    let authority = Authority::new();
    // The answer of a web server that takes the handshake for a bad request.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            std::future::pending::<()>().await;
        }
    });
    assert_eq!(tls_problem(trusting(&authority, &base_url)).await, TlsProblem::NotTls);
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_times_out() {
    let authority = Authority::new();
    // Never accepted: the kernel completes the TCP connection, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}", listener.local_addr().unwrap());
    let error = failure(ApiClientSettings { connect_timeout: SOON, ..trusting(&authority, &base_url) }).await;
    assert!(matches!(error, EgressError::ConnectTimeout { stage: ConnectStage::Tls, after: SOON, .. }), "{error}");
}

#[tokio::test]
async fn a_tls_connection_cut_within_a_body_without_length_is_an_error() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("127.0.0.1", |_| {});
    let answer = b"HTTP/1.1 200 OK\r\n\r\n[1,2";
    let cut = Server::start_with(Some(acceptor.clone()), |_| (answer.to_vec(), Then::Drop)).await;
    let error = failure(trusting(&authority, &cut.https())).await;
    assert!(matches!(error, EgressError::Truncated { received: 4, .. }), "{error}");
    let closed = Server::start_with(Some(acceptor), |_| (answer.to_vec(), Then::Close)).await;
    assert_eq!(fetch(trusting(&authority, &closed.https())).await.unwrap(), "[1,2");
}

#[tokio::test]
async fn a_useless_ca_file_is_an_error_before_anything_is_sent() {
    let missing = ApiClientSettings {
        ca_file: Some(RootedPath::of_operator("/nowhere/ca.pem")),
        ..settings("https://api.example")
    };
    let error = ApiClient::new(missing).unwrap_err();
    assert!(matches!(error, EgressError::CaFile { problem: CaFileProblem::Unreadable(_), .. }), "{error}");
}

#[tokio::test]
async fn an_https_api_is_reached_through_a_tunnel_that_never_sees_the_token() {
    let authority = Authority::new();
    let mut server = secure_server(&authority).await;
    let upstream = server.address;
    let mut proxy = Server::start(move |_| (b"HTTP/1.1 200 Connected\r\n\r\n".to_vec(), Then::Tunnel(upstream))).await;
    let proxy_url = format!("http://Aladdin:open%20sesame@{}", proxy.address);
    let settings = through(proxy_url, trusting(&authority, &server.https()));
    assert_eq!(fetch(settings).await.unwrap(), "[]");
    let request = bounded(proxy.request()).await;
    assert!(request.starts_with(&format!("connect {upstream} http/1.1\r\nhost: {upstream}\r\n")), "{request}");
    // base64 of "Aladdin:open sesame", in the lower case in which requests are shown.
    assert!(request.contains("proxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==\r\n"), "{request}");
    assert!(!request.contains("t0ken"));
    let request = bounded(server.request()).await;
    assert!(request.starts_with("get / http/1.1\r\n") && !request.contains("proxy-authorization"), "{request}");
}

#[tokio::test]
async fn a_proxy_may_itself_be_spoken_to_over_tls() {
    let authority = Authority::new();
    let server = secure_server(&authority).await;
    let upstream = server.address;
    let proxy = Server::start_with(Some(authority.acceptor("127.0.0.1", |_| {})), move |_| {
        (b"HTTP/1.1 200 Connected\r\n\r\n".to_vec(), Then::Tunnel(upstream))
    })
    .await;
    assert_eq!(fetch(through(proxy.https(), trusting(&authority, &server.https()))).await.unwrap(), "[]");
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_is_named_with_its_status() {
    for (answer, expected) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ProxyProblem::Refused { status: 407 }),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", ProxyProblem::Refused { status: 403 }),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", ProxyProblem::Malformed),
        ("HTTP/1.1 2000 OK\r\n\r\n", ProxyProblem::Malformed),
        ("HTTP/1.1 200 OK\r\n\r\nsmuggled", ProxyProblem::Malformed),
        ("HTTP/1.1 200", ProxyProblem::Closed),
    ] {
        let proxy = Server::always(answer, Then::Close).await;
        let proxy_url = format!("http://me:hunter2@{}", proxy.address);
        let authority = Authority::new();
        let error = failure(through(proxy_url, trusting(&authority, "https://api.example"))).await;
        match &error {
            EgressError::Proxy { proxy: name, problem } => assert_eq!((name, *problem), (&proxy.http(), expected)),
            other => panic!("{other}"),
        }
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_times_out() {
    let authority = Authority::new();
    let proxy = Server::always("", Then::Stall).await;
    let settings = through(proxy.http(), trusting(&authority, "https://api.example"));
    let error = failure(ApiClientSettings { connect_timeout: SOON, ..settings }).await;
    assert!(matches!(error, EgressError::ConnectTimeout { stage: ConnectStage::Tunnel, .. }), "{error}");
}

#[tokio::test]
async fn a_plain_http_api_is_reached_by_forwarding_the_whole_url() {
    let mut proxy = Server::always(ok("[]"), Then::Next).await;
    let proxy_url = format!("http://Aladdin:open%20sesame@{}", proxy.address);
    // The name is never looked up here: the proxy would do that.
    assert_eq!(fetch(through(proxy_url, settings("http://api.example"))).await.unwrap(), "[]");
    let request = bounded(proxy.request()).await;
    assert!(request.starts_with("get http://api.example/ http/1.1\r\n"), "{request}");
    assert!(request.contains("host: api.example\r\n"), "{request}");
    assert!(request.contains("proxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==\r\n"), "{request}");
}

#[tokio::test]
async fn a_proxy_that_wants_to_know_who_asks_is_told_apart_from_the_api() {
    let answer = with_status(407, "Proxy-Authenticate: Basic\r\n", "who are you?");
    let proxy = Server::always(answer.clone(), Then::Next).await;
    let proxy_url = format!("http://me:hunter2@{}", proxy.address);
    let error = failure(through(proxy_url, settings("http://api.example"))).await;
    assert_eq!(error, EgressError::Proxy { proxy: proxy.http(), problem: ProxyProblem::Unauthenticated });
    assert!(error.to_string().contains("the proxy") && error.to_string().contains("into proxy_url"), "{error}");
    assert!(!error.to_string().contains("hunter2"));
    // Without a proxy of ours it is whatever stands in front of the API.
    let api = Server::always(answer, Then::Next).await;
    let answer = bounded(client(&api.http()).send(get(&api.http()))).await.unwrap();
    assert_eq!(answer.status().as_u16(), 407);
}

#[tokio::test]
async fn what_a_proxy_is_sent_is_not_handed_on_when_an_error_repeats_it() {
    let proxy = Server::start(|request| (with_status(502, "", request), Then::Next)).await;
    let proxy_url = format!("http://Aladdin:open%20sesame@{}", proxy.address);
    let client = ApiClient::new(through(proxy_url, settings("http://api.example"))).unwrap();
    let answer = bounded(client.send(get("http://api.example"))).await;
    let body = String::from_utf8(bounded(whole(answer)).await.unwrap().to_vec()).unwrap();
    assert!(body.contains("proxy-authorization: Basic ***\r\n"), "{body}");
    assert!(body.contains("authorization: Bearer ***\r\n"), "{body}");
}

#[tokio::test]
async fn a_proxy_may_be_at_a_private_address_but_is_no_way_around_the_check_of_the_api() {
    let mut proxy = Server::always(ok("[]"), Then::Next).await;
    let without_leave = |base_url| ApiClientSettings { allow_private_addresses: false, ..settings(base_url) };
    assert_eq!(fetch(through(proxy.http(), without_leave("http://api.example"))).await.unwrap(), "[]");
    bounded(proxy.request()).await;
    let error = failure(through(proxy.http(), without_leave("http://169.254.169.254"))).await;
    assert!(matches!(error, EgressError::AddressRefused { .. }), "{error}");
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn no_proxy_leads_around_the_proxy_of_the_environment() {
    let (server, proxy) =
        (Server::always(ok("direct"), Then::Next).await, Server::always(ok("proxied"), Then::Next).await);
    for (no, expected) in [(None, "proxied"), (Some("127.0.0.0/8"), "direct"), (Some("other.example"), "proxied")] {
        let variables = ProxyVariables {
            http: Some(SecretString::from(proxy.http())),
            no: no.map(str::to_owned),
            ..ProxyVariables::default()
        };
        let settings = ApiClientSettings { proxy: ProxySettings::Environment(variables), ..settings(&server.http()) };
        assert_eq!(fetch(settings).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_proxy_url_that_makes_no_sense_is_an_error_and_not_a_direct_connection() {
    let server = Server::always(ok("[]"), Then::Next).await;
    let error = failure(through("socks5://me:hunter2@127.0.0.1:1".to_owned(), settings(&server.http()))).await;
    assert_eq!(error, EgressError::ProxySetting { setting: "proxy_url" });
    assert_eq!(server.connections(), 0);
}

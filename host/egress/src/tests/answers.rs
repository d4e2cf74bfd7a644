//! What comes back: whole, in time and within its size, or an error that says which of these it was not.

use async_compression::tokio::write::GzipEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::server::{Server, Then, ok, with_headers, with_status};
use super::*;
use crate::BodyWait;

const GZIP: &str = "Content-Encoding: gzip\r\n";

async fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(content).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn failure_of(answer: impl Into<Vec<u8>>, then: Then) -> EgressError {
    let server = Server::always(answer, then).await;
    failure(settings(&server.http())).await
}

#[tokio::test]
async fn a_gzip_answer_is_asked_for_and_undone() {
    let body = b"{\"data\":[]}".repeat(10_000);
    let mut server = Server::always(with_headers(GZIP, gzip(&body).await), Then::Next).await;
    let answer = bounded(client(&server.http()).send(get(&server.http()))).await.unwrap();
    assert!(bounded(server.request()).await.contains("accept-encoding: gzip\r\n"));
    assert!(!answer.headers().contains_key(CONTENT_ENCODING) && !answer.headers().contains_key(CONTENT_LENGTH));
    assert_eq!(bounded(whole(Ok(answer))).await.unwrap(), body);
}

#[tokio::test]
async fn a_gzip_answer_of_several_members_is_read_to_its_end() {
    let members = [gzip(b"first, ").await, gzip(b"second").await].concat();
    let server = Server::always(with_headers("Content-Encoding: x-gzip\r\n", members), Then::Next).await;
    assert_eq!(fetch(settings(&server.http())).await.unwrap(), "first, second");
}

#[tokio::test]
async fn a_component_may_ask_for_another_encoding() {
    let mut server = Server::always(with_headers("Content-Encoding: br\r\n", "opaque"), Then::Next).await;
    let mut request = get(&server.http());
    request.headers_mut().insert("accept-encoding", "br".parse().unwrap());
    let answer = bounded(client(&server.http()).send(request)).await.unwrap();
    assert!(bounded(server.request()).await.contains("accept-encoding: br\r\n"));
    assert_eq!(answer.headers()[CONTENT_ENCODING], "br");
    assert_eq!(bounded(whole(Ok(answer))).await.unwrap(), "opaque");
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for_is_refused_by_its_name() {
    for encoding in ["br", "zstd", "Compress", "deflate", "gzip, gzip", "br, gzip"] {
        let answer = with_headers(&format!("Content-Encoding: {encoding}\r\n"), "opaque");
        match failure_of(answer, Then::Next).await {
            EgressError::Encoding { encoding: named, .. } => assert_eq!(named, encoding),
            other => panic!("{encoding}: {other}"),
        }
    }
    let twice = with_headers(&GZIP.repeat(2), gzip(b"[]").await);
    let error = failure_of(twice, Then::Next).await;
    assert!(error.to_string().contains("the Content-Encoding \"gzip, gzip\", which was not asked for"), "{error}");
}

#[tokio::test]
async fn an_encoding_that_is_none_and_gzip_in_any_case_are_read() {
    let plain = Server::always(with_headers("Content-Encoding: Identity\r\n", "[]"), Then::Next).await;
    assert_eq!(fetch(settings(&plain.http())).await.unwrap(), "[]");
    let compressed = with_headers("Content-Encoding: X-GZip\r\n", gzip(b"[]").await);
    let compressed = Server::always(compressed, Then::Next).await;
    assert_eq!(fetch(settings(&compressed.http())).await.unwrap(), "[]");
}

#[tokio::test]
async fn a_name_of_an_encoding_without_a_body_is_no_fault() {
    for answer in [
        "HTTP/1.1 204 No Content\r\nContent-Encoding: br\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Encoding: br\r\n\r\n",
    ] {
        let server = Server::always(answer, Then::Next).await;
        assert_eq!(fetch(settings(&server.http())).await.unwrap(), "");
    }
}

/// The status and the body of an error.
async fn explanation(settings: ApiClientSettings) -> (u16, String) {
    let url = settings.origin.to_string();
    let client = ApiClient::new(settings).unwrap();
    let answer = bounded(client.send(get(&url))).await.unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8(bounded(whole(Ok(answer))).await.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn an_error_that_repeats_the_request_has_the_token_taken_out() {
    let chunked = |body: &str| {
        let chunks: String = body.chars().map(|character| format!("1\r\n{character}\r\n")).collect();
        format!("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").into_bytes()
    };
    let plain = |body: &str| with_status(400, "X-Kept: yes\r\n", body);
    for answer in [Box::new(plain) as Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>, Box::new(chunked)] {
        let mut server = Server::start(move |request| (answer(request), Then::Next)).await;
        let (status, body) = explanation(settings(&server.http())).await;
        assert!(bounded(server.request()).await.contains("authorization: bearer t0ken\r\n"));
        assert!(matches!(status, 400 | 403));
        assert!(body.contains("authorization: Bearer ***\r\n") && !body.contains("t0ken"), "{body}");
    }
    for status in [500, 600] {
        let compressed = with_status(status, GZIP, gzip(b"you sent t0ken").await);
        let server = Server::always(compressed, Then::Next).await;
        assert_eq!(explanation(settings(&server.http())).await, (status, "you sent ***".to_owned()));
    }
}

#[tokio::test]
async fn a_record_that_holds_the_token_is_not_touched() {
    let server = Server::always(ok(r#"[{"leaked":"t0ken"}]"#), Then::Next).await;
    assert_eq!(fetch(settings(&server.http())).await.unwrap(), r#"[{"leaked":"t0ken"}]"#);
}

#[tokio::test]
async fn of_an_errors_body_the_beginning_is_enough() {
    const LONGEST: usize = 16 * 1024;
    // The token stands across the end of what is read.
    let body = [&"x".repeat(LONGEST - 3)[..], "t0ken", &"y".repeat(LONGEST)].concat();
    let endless = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: 9999999999\r\n\r\n{body}").into_bytes();
    for (answer, then) in [
        (with_status(400, "", &body), Then::Next),
        (with_status(400, GZIP, gzip(body.as_bytes()).await), Then::Next),
        (endless, Then::Stall),
    ] {
        let server = Server::always(answer, then).await;
        let (status, body) = explanation(settings(&server.http())).await;
        assert_eq!((status, &body[..]), (400, &"x".repeat(LONGEST - 3)[..]));
    }
}

#[tokio::test]
async fn an_error_whose_body_can_not_be_read_keeps_its_status() {
    let status = |headers: &str| format!("HTTP/1.1 401 Unauthorized\r\n{headers}\r\n");
    for (answer, then, read) in [
        (with_status(401, "Content-Encoding: br\r\n", "opaque"), Then::Next, ""),
        (with_status(401, GZIP, "no gzip"), Then::Next, ""),
        (format!("{}abc t0k", status("Content-Length: 9\r\n")).into_bytes(), Then::Close, "abc "),
        (format!("{}abc", status("Content-Length: 9\r\n")).into_bytes(), Then::Stall, "abc"),
        (status("Content-Length: 0\r\n").into_bytes(), Then::Next, ""),
        (with_status(401, "", "a body beyond the limit of 20 bytes"), Then::Next, ""),
    ] {
        let server = Server::always(answer, then).await;
        let settings = ApiClientSettings { body_idle_timeout: SOON, max_body_in_bytes: 20, ..settings(&server.http()) };
        assert_eq!(explanation(settings).await, (401, read.to_owned()));
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_to_undo() {
    let head = format!("HTTP/1.1 200 OK\r\n{GZIP}Content-Length: {}\r\n\r\n", u64::MAX / 2);
    let server = Server::always(head, Then::Next).await;
    let request = Request::head(server.http()).body(Empty::<Bytes>::new()).unwrap();
    let answer = bounded(client(&server.http()).send(request)).await.unwrap();
    assert_eq!(bounded(whole(Ok(answer))).await.unwrap(), "");
}

#[tokio::test]
async fn a_gzip_bomb_is_stopped_at_the_cap() {
    let bomb = gzip(&vec![0; 8 * 1024 * 1024]).await;
    assert!(bomb.len() < 64 * 1024);
    let server = Server::always(with_headers(GZIP, bomb), Then::Next).await;
    let limit = 1024 * 1024;
    let client = ApiClient::new(ApiClientSettings { max_body_in_bytes: limit, ..settings(&server.http()) }).unwrap();
    let mut body = bounded(client.send(get(&server.http()))).await.unwrap().into_body();
    let mut passed = 0;
    let error = loop {
        match bounded(body.frame()).await.unwrap() {
            Ok(frame) => passed += frame.data_ref().unwrap().len() as u64,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, EgressError::BodyTooLarge { limit: 1_048_576, .. }), "{error}");
    assert!(passed <= limit);
    assert!(bounded(body.frame()).await.is_none(), "after an error the body has ended");
}

#[tokio::test]
async fn a_body_of_exactly_the_cap_passes_and_one_byte_more_does_not() {
    for body in ["12345", "123456"] {
        let chunked =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n{body}\r\n0\r\n\r\n", body.len());
        for answer in [ok(body), chunked.into_bytes(), with_headers(GZIP, gzip(body.as_bytes()).await)] {
            let server = Server::always(answer, Then::Next).await;
            match fetch(ApiClientSettings { max_body_in_bytes: 5, ..settings(&server.http()) }).await {
                Ok(passed) => assert_eq!((&passed[..], body), (&b"12345"[..], "12345")),
                Err(error) => {
                    assert!(matches!(error, EgressError::BodyTooLarge { limit: 5, .. }), "{error}");
                    assert_eq!(body, "123456");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_never_a_short_body() {
    let mut whole_gzip = gzip(b"a body that is longer than what will come").await;
    whole_gzip.truncate(whole_gzip.len() - 3);
    for (answer, came) in [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec(), 3),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec(), 3),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc".to_vec(), 3),
        (with_headers(GZIP, &whole_gzip), 41),
        ([format!("HTTP/1.1 200 OK\r\n{GZIP}\r\n").as_bytes(), &whole_gzip[..20]].concat(), 41),
    ] {
        for then in [Then::Close, Then::Drop] {
            match failure_of(&answer[..], then).await {
                EgressError::Truncated { received, .. } => assert!(received <= came, "{received}"),
                other => panic!("{other}"),
            }
        }
    }
}

#[tokio::test]
async fn gzip_without_a_length_that_is_cut_anywhere_is_an_error() {
    let members = [gzip(b"first").await, gzip(b"second").await];
    let all = members.concat();
    // Cut between two members it is a whole gzip: nobody could know.
    for length in (1..all.len()).filter(|length| *length != members[0].len()) {
        let answer = [format!("HTTP/1.1 200 OK\r\n{GZIP}\r\n").as_bytes(), &all[..length]].concat();
        let error = failure_of(answer, Then::Close).await;
        assert!(matches!(error, EgressError::Truncated { .. }), "{length}: {error}");
    }
}

#[tokio::test]
async fn damaged_gzip_is_an_error() {
    let error = failure_of(with_headers(GZIP, "this is no gzip at all"), Then::Next).await;
    assert!(matches!(error, EgressError::Protocol { .. }), "{error}");
    let mut damaged = gzip(b"a body whose checksum will not match").await;
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    let error = failure_of(with_headers(GZIP, damaged), Then::Next).await;
    assert!(matches!(error, EgressError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn something_that_is_no_http_is_an_error() {
    for answer in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let error = failure_of(answer, Then::Stall).await;
        assert!(matches!(error, EgressError::Protocol { .. }), "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn endless_headers_are_an_error() {
    let answer = format!("HTTP/1.1 200 OK\r\nX: {}\r\n", "x".repeat(1024 * 1024));
    let error = failure_of(answer, Then::Stall).await;
    assert!(matches!(error, EgressError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_without_an_answer_is_an_error() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let error = failure_of(answer, Then::Close).await;
        assert!(matches!(error, EgressError::ConnectionLost { .. }), "{error}");
    }
}

#[tokio::test]
async fn headers_that_do_not_come_time_out() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let server = Server::always(answer, Then::Stall).await;
        let error = failure(ApiClientSettings { headers_timeout: SOON, ..settings(&server.http()) }).await;
        assert!(matches!(error, EgressError::HeadersTimeout { after: SOON, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_go_on_times_out() {
    let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec();
    let compressed = [&format!("HTTP/1.1 200 OK\r\n{GZIP}\r\n").into_bytes()[..], &gzip(b"abc").await[..12]].concat();
    for answer in [plain, compressed] {
        let server = Server::always(answer, Then::Stall).await;
        let error = failure(ApiClientSettings { body_idle_timeout: SOON, ..settings(&server.http()) }).await;
        assert!(matches!(error, EgressError::BodyTimeout { wait: BodyWait::Idle, after: SOON, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_body_that_trickles_for_ever_times_out() {
    let server = Server::always("HTTP/1.1 200 OK\r\n\r\n", Then::Trickle).await;
    let error = failure(ApiClientSettings { body_timeout: SOON, ..settings(&server.http()) }).await;
    assert!(matches!(error, EgressError::BodyTimeout { wait: BodyWait::Whole, after: SOON, .. }), "{error}");
}

#[tokio::test]
async fn a_slow_reader_does_not_make_the_server_look_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Closed with an unread request, the connection would be reset.
        stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").await.unwrap();
        told.await.unwrap();
        stream.write_all(b"def").await.unwrap();
    });
    let idle = Duration::from_secs(1);
    let client = ApiClient::new(ApiClientSettings { body_idle_timeout: idle, ..settings(&base_url) }).unwrap();
    let mut body = bounded(client.send(get(&base_url))).await.unwrap().into_body();
    bounded(body.frame()).await.unwrap().unwrap();
    // The reader waits a moment, is away for longer than the server may take, and only then waits again.
    assert!(tokio::time::timeout(SOON, body.frame()).await.is_err());
    go_on.send(()).unwrap();
    tokio::time::sleep(idle * 2).await;
    assert_eq!(bounded(body.collect()).await.unwrap().to_bytes(), "def");
}

/// Gzip members with nothing in them, of so many bytes together.
async fn nothing(bytes: usize) -> Vec<u8> {
    let member = gzip(b"").await;
    member.repeat(bytes / member.len())
}

#[tokio::test]
async fn what_unpacks_to_nothing_counts_as_it_came() {
    let server = Server::always(with_headers(GZIP, nothing(400_000).await), Then::Next).await;
    let settings = ApiClientSettings { max_body_in_bytes: 200_000, ..settings(&server.http()) };
    let error = failure(settings).await;
    assert!(matches!(error, EgressError::BodyTooLarge { limit: 200_000, .. }), "{error}");
}

#[tokio::test]
async fn whoever_unpacks_much_is_interrupted_for_others() {
    let server = Server::always(with_headers(GZIP, nothing(8_000_000).await), Then::Next).await;
    let url = server.http();
    let turns = std::cell::Cell::new(0);
    let others = async {
        loop {
            turns.set(turns.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        let answer = bounded(client(&url).send(get(&url))).await;
        // By now much of it has come.
        let before = turns.get();
        assert_eq!(bounded(whole(answer)).await.unwrap(), "");
        turns.get() - before
    };
    let turns = tokio::select! {
        turns = read => turns,
        () = others => unreachable!(),
    };
    assert!(turns >= 8_000_000 / (64 * 1024), "{turns} turns");
}

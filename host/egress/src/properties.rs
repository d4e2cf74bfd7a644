//! What holds for whatever the other side of a connection says: the API, and a proxy on the way to it. Each
//! property is one function, which the targets in `fuzz/` and the replay of their corpus below both call. It
//! panics where the property does not hold.
//!
//! The first byte of an input says how it arrives: in pieces of which size, and whether the connection then
//! ends or stays silent. If a `*` follows, the input repeats its middle, as few bytes must not stand for much
//! work.

use std::borrow::Cow;
use std::future::{Future, Ready, poll_fn, ready};
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use collector_model::printable;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use super::client::{Asked, RequestBody, pooled};
use super::connector::{LONGEST_TUNNEL_ANSWER, read_tunnel_answer};
use super::{ApiClient, ApiClientSettings, EgressError, Origin, ProxySettings, ResponseBody};

const TOKEN: &str = "t0ken";

/// Largest body that is taken.
const LIMIT: usize = 64 * 1024;

/// How long an input is that repeats its middle.
const REPEATED: usize = 160 * 1024;

/// An answer of the API is read the same however it is cut into packets, within its limits, or becomes an
/// error of one line without the token; written again in the plainest form it is the same answer; and what
/// comes after it is never taken for the answer to the next request.
pub fn http(input: &[u8]) {
    let Some((arrival, answer)) = Arrival::of(input) else { return };
    let whole = fetch(&answer, Arrival { piece: usize::MAX, ..arrival });
    let cut = fetch(&answer, arrival);
    assert!(whole.is_same(&cut), "{} is read in two ways: {whole:?}, {cut:?}", answer.escape_ascii());

    let Outcome::Answer(Answer { status, headers, body: Ok(body), .. }) = whole else { return };
    assert!(headers.len() <= 100, "{} headers", headers.len());
    let is_error = status >= 400;
    assert!(!is_error || !contains(&body, TOKEN.as_bytes()), "the token comes back: {}", body.escape_ascii());
    let has_body = status >= 200 && ![204, 304].contains(&status);
    let length = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if !has_body || headers.len() > 98 || length > 32 * 1024 {
        return;
    }
    let mut plainest = format!("HTTP/1.1 {status} Said again\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for (name, value) in &headers {
        plainest.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    plainest.extend([b"\r\n", &body[..]].concat());
    match fetch(&plainest, Arrival { piece: usize::MAX, ends: false }) {
        Outcome::Answer(again) => {
            assert_eq!((again.status, again.headers, again.body), (status, headers, Ok(body)), "another answer");
        }
        other => panic!("{} is not what it says: {other:?}", plainest.escape_ascii()),
    }
}

/// A compressed body is what another decoder makes of it, whole and within the limit, or an error; and to
/// unpack it gives way to others.
pub fn gzip(input: &[u8]) {
    const MOST_AT_A_TIME: usize = 32 * 1024;
    let Some((arrival, compressed)) = Arrival::of(input) else { return };
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", &compressed[..]].concat();
    let mut expected = Vec::new();
    let decoder = flate2::bufread::MultiGzDecoder::new(&compressed[..]);
    let is_whole = decoder.take(LIMIT as u64 + 1).read_to_end(&mut expected).is_ok();
    // Flags that have no meaning, which the other decoder refuses as it should and ours passes over.
    let is_odd = compressed.windows(4).any(|head| head[..3] == [0x1f, 0x8b, 8] && head[3] & 0xe0 != 0);
    let Outcome::Answer(answer) = fetch(&answer, Arrival { ends: true, ..arrival }) else {
        panic!("an answer whose head is good is lost");
    };
    assert!(answer.largest_frame <= MOST_AT_A_TIME, "a piece of {} bytes", answer.largest_frame);
    match answer.body {
        Ok(body) => {
            assert!(is_odd || is_whole && body == expected, "a body that another decoder reads otherwise");
            let pauses = compressed.len() / MOST_AT_A_TIME;
            assert!(answer.pauses + 1 >= pauses, "{} pauses in {} bytes", answer.pauses, compressed.len());
        }
        Err(EgressError::BodyTooLarge { .. }) => {
            assert!(
                is_odd || expected.len() > LIMIT || compressed.len() > LIMIT,
                "a body within the limit is too large"
            );
        }
        Err(error) => assert!(is_odd || !is_whole || expected.len() > LIMIT, "a good body is refused: {error}"),
    }
}

/// A proxy's answer to CONNECT is a status that another parser reads too, or none; nothing of what follows a
/// success is taken away from the tunnel; and a proxy that never ends is not listened to for long.
pub fn tunnel(input: &[u8]) {
    let Some((arrival, answer)) = Arrival::of(input) else { return };
    let mut proxy = Scripted::new(&answer, arrival);
    proxy.is_asked = true;
    let read = Arc::clone(&proxy.read);
    let outcome = in_a_runtime(async {
        let patience = tokio::time::timeout(Duration::from_secs(1), read_tunnel_answer(&mut proxy));
        patience.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    });
    let read = read.load(Ordering::Relaxed);
    assert!(read <= 2 * LONGEST_TUNNEL_ANSWER, "{read} bytes of a proxy's answer are read");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    match outcome {
        Ok(Some(status)) => {
            let end = end.expect("an answer ends with its headers");
            assert!((100..=599).contains(&status), "{status}");
            assert!(!(200..=299).contains(&status) || read == end, "{} bytes of the tunnel are lost", read - end);
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut other = httparse::Response::new(&mut headers);
            if other.parse(&answer[..end]).is_ok_and(|parsed| parsed.is_complete()) {
                assert_eq!(other.code, Some(status), "another status");
            }
        }
        Ok(None) => {}
        Err(error) => {
            assert!(end.is_none_or(|end| end > read), "an answer that ends is not enough: {error}");
            assert_eq!(error.kind() == io::ErrorKind::TimedOut, !arrival.ends, "{error}");
        }
    }
}

/// How an input arrives.
#[derive(Clone, Copy)]
struct Arrival {
    /// Most bytes that are there at a time.
    piece: usize,
    /// Whether the connection ends after it, instead of staying silent.
    ends: bool,
}

impl Arrival {
    fn of(input: &[u8]) -> Option<(Self, Cow<'_, [u8]>)> {
        const PIECES: [usize; 8] = [1, 2, 3, 7, 40, 300, 5_000, 40_000];
        let [how, content @ ..] = input else { return None };
        let mut arrival = Self { piece: PIECES[usize::from(how >> 1) % PIECES.len()], ends: how & 1 == 0 };
        let [b'*', head, tail, rest @ ..] = content else { return Some((arrival, content.into())) };
        arrival.piece = arrival.piece.max(300);
        let (start, end) = (usize::from(*head).min(rest.len()), usize::from(*tail).min(rest.len()));
        let end = (rest.len() - end).max(start);
        let times = REPEATED / (end - start).max(1);
        Some((arrival, [&rest[..start], &rest[start..end].repeat(times), &rest[end..]].concat().into()))
    }
}

#[derive(Debug)]
enum Outcome {
    Answer(Answer),
    Failed(#[expect(dead_code, reason = "shown where a property does not hold")] EgressError),
    /// The headers did not come in time.
    Silence,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// Without those that say how the body is sent.
    headers: Vec<(String, Vec<u8>)>,
    body: Result<Vec<u8>, EgressError>,
    largest_frame: usize,
    /// How often there was nothing of the body yet.
    pauses: usize,
}

type Headers = [(String, Vec<u8>)];

impl Outcome {
    /// What must not depend on how an answer is cut into packets: the answer, or that there is none that is
    /// good. A head that is nonsense may be noticed only at its end, when it comes in parts.
    fn content(&self) -> Option<(u16, &Headers, Option<&[u8]>)> {
        match self {
            Self::Answer(Answer { status, headers, body, .. }) => Some((*status, headers, body.as_deref().ok())),
            Self::Failed(_) | Self::Silence => None,
        }
    }

    /// Of the body of an error, which is only shown, as much counts as could be unpacked before it went
    /// wrong.
    fn is_same(&self, other: &Self) -> bool {
        match (self.content(), other.content()) {
            (Some((status, headers, Some(body))), Some((status_too, headers_too, Some(body_too)))) if status >= 400 => {
                let agree = body.starts_with(body_too) || body_too.starts_with(body);
                (status, headers) == (status_too, headers_too) && agree
            }
            (one, other) => one == other,
        }
    }
}

/// Sends a request to a server that answers so, and then another one to a server that answers well.
fn fetch(answer: &[u8], arrival: Arrival) -> Outcome {
    const NEXT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";
    let well = Scripted::new(NEXT, Arrival { piece: usize::MAX, ends: true });
    let server = Server { first: Arc::new(Mutex::new(Some(Scripted::new(answer, arrival)))), others: well };
    in_a_runtime(async {
        let http = pooled(server);
        let outcome = exchange(&http).await;
        if let Outcome::Answer(_) = outcome
            && let Outcome::Answer(Answer { status, body: Ok(body), .. }) = exchange(&http).await
        {
            let is_next = (status, &body[..]) == (200, b"next");
            assert!(is_next, "{status} {} is the answer to the next request", body.escape_ascii());
        }
        outcome
    })
}

async fn exchange(http: &Client<Server, RequestBody>) -> Outcome {
    const PATIENCE: Duration = Duration::from_secs(30);
    static CLIENT: LazyLock<ApiClient> = LazyLock::new(|| {
        let origin = Origin::parse("http://api.example", true).expect("a good URL");
        let settings = ApiClientSettings {
            proxy: ProxySettings::None,
            token: Some(TOKEN.into()),
            max_body_in_bytes: LIMIT as u64,
            ..ApiClientSettings::new(origin)
        };
        ApiClient::new(settings).expect("good settings")
    });
    let body = Empty::<Bytes>::new().map_err(Into::into).boxed_unsync();
    let mut request = Request::get("http://api.example/").body(body).expect("a good request");
    let secrets = CLIENT.rewrite_headers(request.headers_mut());
    let Ok(answer) = tokio::time::timeout(PATIENCE, http.request(request)).await else { return Outcome::Silence };
    let answer = answer.map_err(|error| EgressError::from_client_error(&error, CLIENT.origin()));
    let asked = Asked { is_head: false, accepts_others: false, secrets };
    match answer.and_then(|answer| CLIENT.accept(answer, asked)) {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            read(parts.status.as_u16(), &parts.headers, body).await
        }
        Err(error) => Outcome::Failed(told(error)),
    }
}

async fn read(status: u16, headers: &HeaderMap, mut body: ResponseBody) -> Outcome {
    let about_the_body = [CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING];
    let headers = headers.iter().filter(|(name, _)| !about_the_body.contains(name));
    let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let mut headers: Vec<_> = headers.collect();
    // Where a header is taken out, those of other names change places.
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut answer = Answer { status, headers, body: Ok(Vec::new()), largest_frame: 0, pauses: 0 };
    while let Some(frame) = poll_fn(|cx| {
        let frame = Pin::new(&mut body).poll_frame(cx);
        answer.pauses += usize::from(frame.is_pending());
        frame
    })
    .await
    {
        match (frame, &mut answer.body) {
            (Ok(frame), Ok(content)) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                answer.largest_frame = answer.largest_frame.max(data.len());
                content.extend_from_slice(data);
                assert!(content.len() <= LIMIT, "{} bytes of a body", content.len());
            }
            (Ok(_), Err(_)) => panic!("a body goes on after an error"),
            (Err(error), _) => answer.body = Err(told(error)),
        }
    }
    assert!(status < 400 || answer.body.is_ok(), "a status is lost for the sake of its explanation");
    Outcome::Answer(answer)
}

/// What an operator reads is one line, and nothing in it acts on a terminal, or is secret.
fn told(error: EgressError) -> EgressError {
    let text = error.to_string();
    assert_eq!(printable(&text), text, "it is shown as it is");
    assert!(text.len() < 500, "{text:?}");
    assert!(!format!("{text}{error:?}").contains(TOKEN), "{text}");
    error
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Time passes where nothing else is left to do, so that waiting costs none.
fn in_a_runtime<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(task)
}

/// The other side of one connection: once it has been asked, it says what it has to say.
#[derive(Clone)]
struct Scripted {
    rest: Bytes,
    arrival: Arrival,
    is_asked: bool,
    waiting: Option<Waker>,
    /// How much of it was read.
    read: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(answer: &[u8], arrival: Arrival) -> Self {
        let rest = Bytes::copy_from_slice(answer);
        Self { rest, arrival, is_asked: false, waiting: None, read: Arc::default() }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.is_asked || self.rest.is_empty() && !self.arrival.ends {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = self.rest.len().min(self.arrival.piece).min(buffer.remaining());
        buffer.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        self.read.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_asked = true;
        self.waiting.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Connection for Scripted {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Takes one connection after the other.
#[derive(Clone)]
struct Server {
    first: Arc<Mutex<Option<Scripted>>>,
    others: Scripted,
}

impl Service<Uri> for Server {
    type Response = TokioIo<Scripted>;
    type Error = EgressError;
    type Future = Ready<Result<TokioIo<Scripted>, EgressError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        ready(Ok(TokioIo::new(first.unwrap_or_else(|| self.others.clone()))))
    }
}

#[cfg(test)]
mod tests {
    use crate::replay::replay;

    #[test]
    fn the_corpus_of_answers_keeps_its_property() {
        replay("http", super::http);
    }

    #[test]
    fn the_corpus_of_compressed_bodies_keeps_its_property() {
        replay("gzip", super::gzip);
    }

    #[test]
    fn the_corpus_of_tunnels_keeps_its_property() {
        replay("tunnel", super::tunnel);
    }
}

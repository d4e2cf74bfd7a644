//! The body of an answer: it ends in time, within its size, and whole, or else in an error. Gzip is undone on
//! the way. The size counts what comes out of it, so that a small bomb can't fill the memory, and what goes
//! into it, so that one that unpacks to nothing ends too. Reading it is left to the component. Of an error's
//! body only the beginning passes, and none of our credentials.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::MapErr;
use http_body_util::{BodyDataStream, BodyExt};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tokio_util::io::{StreamReader, poll_read_buf};

use super::echo::Secrets;
use super::error::{BodyWait, EgressError};
use super::origin::Origin;

mod paced;

use paced::Paced;

/// How much is decompressed at a time, and so by how much a body can overrun its limit before it is stopped.
const DECODED_PIECE: usize = 32 * 1024;

/// How much of an error's body is read: it explains the status, and 200 characters of it are shown.
const LONGEST_ERROR: usize = 16 * 1024;

/// The limits of one body.
pub(super) struct BodyLimits {
    /// Longest wait for the next piece.
    pub(super) idle: Duration,
    /// Longest wait for all pieces together.
    pub(super) whole: Duration,
    /// Most bytes, before and after decompression.
    pub(super) bytes: u64,
}

/// The body of an answer. After an error it has ended.
pub struct ResponseBody {
    content: Content,
    origin: Origin,
    limit: u64,
    passed: u64,
    has_ended: bool,
    /// Present if it is the body of an error.
    explanation: Option<Explanation>,
}

/// What has come of an error's body. It is handed on at once, so that no credential can slip through in two
/// parts.
struct Explanation {
    secrets: Secrets,
    text: Vec<u8>,
}

enum Content {
    Plain(TimedBody),
    Gzip(Pin<Box<Gunzip>>),
}

type Gunzip = GzipDecoder<StreamReader<BodyDataStream<MapErr<Paced, fn(EgressError) -> io::Error>>, Bytes>>;

impl ResponseBody {
    pub(super) fn plain(body: Incoming, origin: &Origin, limits: &BodyLimits) -> Self {
        Self::new(Content::Plain(TimedBody::new(body, origin, limits)), origin, limits)
    }

    pub(super) fn gzip(body: Incoming, origin: &Origin, limits: &BodyLimits) -> Self {
        let paced: MapErr<_, fn(EgressError) -> io::Error> =
            Paced::new(TimedBody::new(body, origin, limits), limits.bytes).map_err(io::Error::other);
        let mut decoder = GzipDecoder::new(StreamReader::new(paced.into_data_stream()));
        // One body may be several gzip members after one another; with the first alone it would be cut short.
        decoder.multiple_members(true);
        Self::new(Content::Gzip(Box::pin(decoder)), origin, limits)
    }

    fn new(content: Content, origin: &Origin, limits: &BodyLimits) -> Self {
        Self { content, origin: origin.clone(), limit: limits.bytes, passed: 0, has_ended: false, explanation: None }
    }

    /// The same as the body of an error: short, without our credentials, and at its end where it fails, since
    /// the status counts and must not be lost for the sake of its explanation.
    pub(super) fn explaining(self, secrets: Secrets) -> Self {
        Self { explanation: Some(Explanation { secrets, text: Vec::new() }), ..self }
    }

    /// The same with nothing in it.
    pub(super) fn left_out(self) -> Self {
        Self { has_ended: true, ..self }
    }

    fn decoder_error(&self, error: io::Error) -> EgressError {
        match error.downcast::<EgressError>() {
            Ok(ours) => ours,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                EgressError::Truncated { origin: self.origin.clone(), received: self.passed }
            }
            Err(error) => {
                EgressError::Protocol { origin: self.origin.clone(), detail: format!("its gzip is damaged ({error})") }
            }
        }
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let frame = match &mut self.content {
            Content::Plain(body) => ready!(Pin::new(body).poll_frame(cx)),
            Content::Gzip(decoder) => {
                let mut piece = BytesMut::with_capacity(DECODED_PIECE);
                match ready!(poll_read_buf(decoder.as_mut(), cx, &mut piece)) {
                    Ok(0) => None,
                    Ok(_) => Some(Ok(Frame::data(piece.freeze()))),
                    Err(error) => Some(Err(self.decoder_error(error))),
                }
            }
        };
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        self.passed += frame.data_ref().map_or(0, |data| data.len() as u64);
        if self.passed > self.limit {
            return Poll::Ready(Some(Err(EgressError::BodyTooLarge {
                origin: self.origin.clone(),
                limit: self.limit,
            })));
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl ResponseBody {
    /// Collects the body of an error and hands it on as one frame.
    fn poll_explanation(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let is_cut = loop {
            let frame = match ready!(self.poll_content(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => break true,
                None => break false,
            };
            let Some(Explanation { text, .. }) = &mut self.explanation else { break false };
            text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if text.len() > LONGEST_ERROR {
                text.truncate(LONGEST_ERROR);
                break true;
            }
        };
        self.has_ended = true;
        let Some(Explanation { secrets, text }) = self.explanation.take() else { return Poll::Ready(None) };
        let text = secrets.mask(&text, is_cut);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text.into()))))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.explanation.is_some() {
            return self.poll_explanation(cx);
        }
        let frame = ready!(self.poll_content(cx));
        self.has_ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let is_begun = self.explanation.as_ref().is_some_and(|explanation| !explanation.text.is_empty());
        match &self.content {
            Content::Plain(body) => self.has_ended || !is_begun && body.body.is_end_stream(),
            Content::Gzip(_) => self.has_ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            _ if self.has_ended => SizeHint::with_exact(0),
            Content::Plain(body) if self.explanation.is_none() => body.body.size_hint(),
            Content::Plain(_) | Content::Gzip(_) => SizeHint::default(),
        }
    }
}

/// A body as it comes from the connection, with its two time-outs. Both count only the time in which the
/// reader waits for the server: a component held back by a full output queue must not make the API look slow.
struct TimedBody {
    body: Incoming,
    origin: Origin,
    received: u64,
    idle: Duration,
    whole: Duration,
    /// What is left of `whole`.
    left: Duration,
    waiting_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl TimedBody {
    fn new(body: Incoming, origin: &Origin, limits: &BodyLimits) -> Self {
        Self {
            body,
            origin: origin.clone(),
            received: 0,
            idle: limits.idle,
            whole: limits.whole,
            left: limits.whole,
            waiting_since: None,
            timer: Box::pin(tokio::time::sleep(limits.idle)),
        }
    }

    fn timed_out(&self) -> EgressError {
        let (wait, after) =
            if self.left <= self.idle { (BodyWait::Whole, self.whole) } else { (BodyWait::Idle, self.idle) };
        EgressError::BodyTimeout { origin: self.origin.clone(), wait, after }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if this.waiting_since.is_none() {
                let now = Instant::now();
                this.waiting_since = Some(now);
                this.timer.as_mut().reset(now + this.idle.min(this.left));
            }
            ready!(this.timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(this.timed_out())));
        };
        if let Some(since) = this.waiting_since.take() {
            this.left = this.left.saturating_sub(since.elapsed());
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(EgressError::from_body_error(&error, &this.origin, this.received))),
            None => None,
        })
    }
}

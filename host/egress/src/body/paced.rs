//! What goes into the decompressor: a little at a time, with interruptions for others, and with an end. To
//! unpack takes processor time, a server may always have more, and what comes may unpack to nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::TimedBody;
use crate::error::EgressError;

/// How much is handed on at once. After as much the task is interrupted.
const PIECE: usize = 32 * 1024;

/// By how much a compressed body may be larger than an uncompressed one: gzip has headers, and makes what is
/// compressed already a little larger.
const OVERHEAD: u64 = 64 * 1024;

/// A compressed body.
pub(super) struct Paced {
    body: TimedBody,
    /// Most bytes that may be unpacked from it.
    limit: u64,
    /// What has come and was not handed on yet.
    waiting: Bytes,
    /// What was handed on since the task was interrupted.
    handed_on: usize,
}

impl Paced {
    pub(super) fn new(body: TimedBody, limit: u64) -> Self {
        Self { body, limit, waiting: Bytes::new(), handed_on: 0 }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        if this.handed_on >= PIECE {
            this.handed_on = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.waiting.is_empty() {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => this.waiting = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
            if this.body.received > this.limit.saturating_add(OVERHEAD) {
                let (origin, limit) = (this.body.origin.clone(), this.limit);
                return Poll::Ready(Some(Err(EgressError::BodyTooLarge { origin, limit })));
            }
        }
        let piece = this.waiting.split_to(this.waiting.len().min(PIECE));
        this.handed_on += piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

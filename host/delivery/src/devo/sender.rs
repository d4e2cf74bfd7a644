//! One connection of an output, and the events that it has to confirm.
//!
//! Everything is written from the unacknowledged frames, as they are or compressed, in batches that begin and
//! end where an event does. When the connection is lost, the next one begins with the first event that is not
//! confirmed, and with a batch of its own: no half event and no half gzip member is ever continued.

use std::borrow::Cow;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::Utc;
use tokio::time::sleep;

use super::retry::{Budget, Step};
use super::unacked::{Chunk, UnackedBuffer};
use crate::connection::Connection;
use crate::error::{Cause, SendError};
use crate::frame::gzip;
use crate::settings::{DevoSettings, Transport};
use crate::statistics::Statistics;

/// How far a delivery is to go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Written,
    Confirmed,
}

/// One of the concurrent connections.
#[derive(Default)]
pub(super) struct Sender {
    unacked: UnackedBuffer,
    /// Boxed: most of the time there is none, and it takes a kilobyte.
    connection: Option<Box<Connection>>,
}

/// Whole events to be written.
struct Batch<'a> {
    /// The events as they are, or a gzip member of them.
    bytes: Cow<'a, [u8]>,
    /// How many bytes of frames that are.
    frames: usize,
}

impl Sender {
    pub(super) fn take(&mut self, chunk: Chunk) {
        self.unacked.push(chunk);
    }

    /// Bytes of the frames that are not confirmed.
    pub(super) fn unconfirmed(&self) -> usize {
        self.unacked.bytes()
    }

    /// Gives up everything.
    pub(super) fn clear(&mut self) {
        self.unacked.clear();
        self.disconnect();
    }

    /// Ready when the connection is lost while nothing is written to it. The next delivery opens a new one.
    pub(super) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let Some(connection) = &mut self.connection else { return Poll::Pending };
        let lost = connection.poll_lost(cx);
        if lost.is_ready() {
            self.disconnect();
        }
        lost
    }

    /// Tries until everything is written or confirmed, or the tries are used up. `fill` tells how full the
    /// queue is.
    pub(super) async fn deliver(
        &mut self,
        goal: Goal,
        settings: &DevoSettings,
        statistics: &Statistics,
        fill: impl Fn() -> f64,
    ) -> Result<(), SendError> {
        let mut budget = Budget::new(settings.into());
        while !self.unacked.is_empty() {
            let (step, cause) = match self.attempt(goal, settings, statistics, &fill).await {
                Ok(()) => break,
                Err((step, cause)) => match &settings.transport {
                    Transport::Tls(tls) => (step, tls.explained(cause, Utc::now())),
                    Transport::Tcp => (step, cause),
                },
            };
            self.disconnect();
            let (name, address) = (&settings.name, &settings.address);
            let wait = budget.after_failure(step, &cause);
            // What can be repeated at once is most often an idle connection that a balancer has closed.
            if wait.is_none_or(|wait| wait > Duration::ZERO) {
                statistics.note_trouble(&cause.to_string());
            }
            let Some(wait) = wait else {
                return Err(SendError::Unconfirmed {
                    output: name.clone(),
                    address: address.to_string().into(),
                    cause,
                });
            };
            tracing::warn!(
                "Output \"{name}\" at {address}: {cause}; {} events will be sent again in {:.3} seconds",
                self.unacked.events(),
                wait.as_secs_f64(),
            );
            if wait > Duration::ZERO {
                sleep(wait).await;
            }
        }
        Ok(())
    }

    async fn attempt(
        &mut self,
        goal: Goal,
        settings: &DevoSettings,
        statistics: &Statistics,
        fill: impl Fn() -> f64,
    ) -> Result<(), (Step, Cause)> {
        let sending = |cause| (Step::Sending, cause);
        let Self { unacked, connection } = self;
        while let Some(batch) = next_batch(unacked, goal, settings, &fill).map_err(sending)? {
            let open = match connection {
                Some(open) => open,
                None => {
                    let opened = Connection::open(settings);
                    let opened = opened.await.map_err(|cause| (Step::Connecting, cause))?;
                    tracing::debug!("Output \"{}\": connected to {}", settings.name, settings.address);
                    connection.insert(Box::new(opened))
                }
            };
            open.write_all(&batch.bytes, settings.sending_timeout).await.map_err(sending)?;
            let frames = batch.frames;
            unacked.advance(frames);
        }
        if let Some(open) = connection {
            open.flush(settings.sending_timeout).await.map_err(sending)?;
        }
        if goal == Goal::Confirmed
            && let Some(open) = connection.take()
        {
            open.confirm(settings.confirm_timeout).await.map_err(sending)?;
            let (name, address, events) = (&settings.name, &settings.address, unacked.events());
            tracing::debug!("Output \"{name}\": {address} confirmed {events} events");
            statistics.add_confirmed(events, unacked.bytes());
            unacked.clear();
        }
        Ok(())
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.unacked.resend_all();
    }
}

/// What to write next, and in which form; nothing when all is written, or is gathered until there is more.
fn next_batch<'a>(
    unacked: &'a UnackedBuffer,
    goal: Goal,
    settings: &DevoSettings,
    fill: impl Fn() -> f64,
) -> Result<Option<Batch<'a>>, Cause> {
    let compression = settings.compression.as_ref().filter(|compression| compression.applies_at(fill()));
    let Some(compression) = compression else {
        return Ok(unacked.unwritten().map(|bytes| Batch { bytes: bytes.into(), frames: bytes.len() }));
    };
    let pieces = unacked.unwritten_events(compression.buffer(), goal == Goal::Confirmed);
    if pieces.is_empty() {
        return Ok(None);
    }
    let frames = pieces.iter().map(|piece| piece.len()).sum();
    let bytes = gzip::member(&pieces, compression.level).map_err(|error| Cause::of(&error))?;
    Ok(Some(Batch { bytes: bytes.into(), frames }))
}

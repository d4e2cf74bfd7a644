//! A Devo output: takes events, keeps them until the receiver has confirmed them, and says so.
//!
//! One task, the manager, owns the senders, which are the connections with their unconfirmed events;
//! [`DevoHandle`] talks to it over a channel. The senders work at the same time and share one thread: what
//! several connections spare is waiting, for receivers that are slow or far away. The channel itself is
//! unbounded, and what bounds it is the [`queue`]: a permit for each byte, held by an event's frame from
//! before it enters the channel until it is confirmed or given up. So what waits and what is not confirmed
//! have one bound together.
//!
//! What is taken is written at once (when it is compressed: as soon as it fills a member), and confirmed by a
//! flush, or by the task itself when half of the queue is used or somebody waits for a permit; otherwise a
//! source that sends more than the queue holds before it flushes would wait forever.
//!
//! Events are lost to the sender when a delivery fails for good or is discarded. Their source has them still
//! and will send them again, if it learns of the loss. Each such loss therefore ends an *epoch*: every
//! command carries the epoch that it was given in, the task drops what is left of an older one, and a flush
//! can only succeed within the epoch of all its events.

mod manager;
mod queue;
mod retry;
mod sender;
mod unacked;

use std::borrow::Cow;
use std::sync::Arc;

use collector_model::Table;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::error::SendError;
use crate::event::Event;
use crate::frame::Framer;
use crate::settings::DevoSettings;
use crate::statistics::Statistics;
use manager::Manager;
use queue::{Queue, QueuePermit};
use unacked::{CHUNK, Chunk};

/// Sends the events of one service to one receiver. For one user at a time, whose calls follow each other: a
/// failed `flush` or a `discard` gives up everything unconfirmed. Dropping it ends the sender at once, and
/// with it what is unconfirmed.
pub struct DevoHandle {
    settings: Arc<DevoSettings>,
    framer: Framer,
    queue: Queue,
    commands: mpsc::UnboundedSender<Command>,
    epoch: Arc<watch::Sender<Epoch>>,
    statistics: Arc<Statistics>,
    task: JoinHandle<()>,
}

/// The time between two losses.
#[derive(Clone)]
struct Epoch {
    number: u64,
    /// Why the events of the epoch before were given up; none if that was asked for.
    loss: Option<SendError>,
    /// Whether the user has yet to learn of that loss. Until then nothing succeeds.
    has_unreported_loss: bool,
}

struct Command {
    epoch: u64,
    order: Order,
}

enum Order {
    /// Boxed, since the channel keeps space for many commands, and most of the time there is none.
    Take(Box<Chunk>),
    /// Somebody waits for a permit.
    Reclaim,
    Flush(oneshot::Sender<Result<(), SendError>>),
}

impl DevoHandle {
    /// Starts the manager on the current tokio runtime, in the current tracing span. It connects when the
    /// first event comes.
    pub fn start(settings: DevoSettings, framer: Framer) -> Self {
        Self::start_with(Arc::new(settings), framer, Arc::default())
    }

    /// As [`DevoHandle::start`], and goes on with these totals.
    pub fn start_with(settings: Arc<DevoSettings>, framer: Framer, statistics: Arc<Statistics>) -> Self {
        let queue = Queue::new(settings.queue_in_bytes);
        let (commands, orders) = mpsc::unbounded_channel();
        let (epoch, _) = watch::channel(Epoch { number: 0, loss: None, has_unreported_loss: false });
        let epoch = Arc::new(epoch);
        let manager =
            Manager::new(Arc::clone(&settings), queue.clone(), orders, Arc::clone(&epoch), Arc::clone(&statistics));
        let task = tokio::spawn(manager.run().in_current_span());
        Self { settings, framer, queue, commands, epoch, statistics, task }
    }

    /// The output's name in the configuration.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether each of the events can be sent as it is; otherwise says which one can't.
    pub fn check(&self, events: &[Event<impl AsRef<[u8]>>]) -> Result<(), SendError> {
        match events.iter().position(|event| !event.is_one_line()) {
            None => Ok(()),
            Some(index) => Err(SendError::EventRefused { output: Arc::clone(&self.settings.name), index }),
        }
    }

    /// Takes the events for `table`, in their order. Waits while the queue is full. Taken is not delivered:
    /// see [`DevoHandle::flush`].
    pub async fn send<B: AsRef<[u8]> + Clone>(&self, table: &Table, events: &[Event<B>]) -> Result<(), SendError> {
        self.check(events)?;
        let epoch = {
            let epoch = self.epoch.borrow();
            if epoch.has_unreported_loss {
                return Err(self.loss(&epoch));
            }
            epoch.number
        };
        let fitting = match &self.settings.dead_letters {
            Some(dead_letters) => dead_letters.put_aside(&self.settings.name, table, events).await?,
            None => Cow::Borrowed(events),
        };
        // Chunks of at most half of the queue, so that one can be filled while another one is on its way.
        let most = CHUNK.min(self.queue.bound() / 2);
        let mut rest = &*fitting;
        while !rest.is_empty() {
            let mut length = 0;
            let fitting = rest.iter().take_while(|event| {
                length += self.framer.length(table, event);
                length <= most
            });
            // A single event may be larger than any chunk.
            let (now, later) = rest.split_at(fitting.count().max(1));
            let mut bytes = Vec::with_capacity(now.iter().map(|event| self.framer.length(table, event)).sum());
            now.iter().for_each(|event| self.framer.append(&mut bytes, table, event));
            let permit = self.permit_for(bytes.len(), now.len(), epoch).await?;
            // It may have come from a loss, which has the beginning of this list in it.
            if self.epoch.borrow().number != epoch {
                return Err(self.loss(&self.epoch.borrow()));
            }
            self.order(epoch, Order::Take(Box::new(Chunk { bytes, permit })))?;
            rest = later;
        }
        Ok(())
    }

    /// Returns when all events taken so far are confirmed, or with the reason why they are not. In that case
    /// they are no longer kept, and the next `send` starts afresh.
    pub async fn flush(&self) -> Result<(), SendError> {
        let mut unreported = None;
        let mut number = 0;
        self.epoch.send_if_modified(|epoch| {
            number = epoch.number;
            if std::mem::take(&mut epoch.has_unreported_loss) {
                unreported = Some(self.loss(epoch));
            }
            false
        });
        if let Some(loss) = unreported {
            return Err(loss);
        }
        let (reply, confirmed) = oneshot::channel();
        self.order(number, Order::Flush(reply))?;
        // Without a reply, a discard was faster.
        confirmed.await.unwrap_or_else(|_| Err(self.discarded()))
    }

    /// Gives up everything that is not confirmed and closes the connection: after a cycle that failed or was
    /// abandoned, whose events will be sent again. Doesn't wait; what is sent after it starts afresh.
    pub fn discard(&self) {
        self.epoch
            .send_modify(|epoch| *epoch = Epoch { number: epoch.number + 1, loss: None, has_unreported_loss: false });
    }

    /// Totals of what was confirmed.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How much of the queue is in use, in bytes.
    pub fn queued_in_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// How many bytes the queue has room for.
    pub fn queue_in_bytes(&self) -> usize {
        self.queue.bound()
    }

    /// How many events are in the queue: taken, and neither confirmed nor given up.
    pub fn queued_messages(&self) -> usize {
        self.queue.events()
    }

    /// How many connections events are spread over.
    pub fn senders(&self) -> usize {
        senders(&self.settings)
    }

    async fn permit_for(&self, bytes: usize, events: usize, epoch: u64) -> Result<QueuePermit, SendError> {
        if let Some(permit) = self.queue.try_reserve(bytes, events) {
            return Ok(permit);
        }
        self.order(epoch, Order::Reclaim)?;
        self.queue.reserve(bytes, events).await.ok_or_else(|| self.discarded())
    }

    fn order(&self, epoch: u64, order: Order) -> Result<(), SendError> {
        self.commands.send(Command { epoch, order }).map_err(|_| self.discarded())
    }

    fn loss(&self, epoch: &Epoch) -> SendError {
        epoch.loss.clone().unwrap_or_else(|| self.discarded())
    }

    fn discarded(&self) -> SendError {
        SendError::Discarded { output: Arc::clone(&self.settings.name) }
    }
}

impl Drop for DevoHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How many connections there are.
fn senders(settings: &DevoSettings) -> usize {
    settings.concurrent_connections.max(1)
}

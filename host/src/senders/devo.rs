//! A Devo output: takes events, keeps them until the receiver has confirmed them, and says so.
//!
//! One task, the manager, owns the senders, which are the connections with their unconfirmed events; [`DevoHandle`]
//! talks to it over a channel. The senders work at the same time and share one thread: what several connections spare
//! is waiting, for receivers that are slow or far away. The channel itself is unbounded, and what bounds it is room: a
//! semaphore with a permit for each byte of the queue, held by an event's frame from before it enters the channel until
//! it is confirmed or given up. So queue and unconfirmed events together have one bound.
//!
//! What is taken is written at once (when it is compressed: as soon as it fills a member), and confirmed by a flush, or
//! by the task itself when half of the room is used or somebody waits for room; otherwise a source that sends more than
//! the queue holds before it flushes would wait for ever.
//!
//! Events are lost to the sender when a delivery fails for good or is discarded. Their source has them still and will
//! send them again, if it learns of the loss. Each such loss therefore ends an *epoch*: every command carries the epoch
//! that it was given in, the task drops what is left of an older one, and a flush can only succeed within the epoch of
//! all its events.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;

use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::retained::{CHUNK, Chunk, Queued};
use super::sender::{Goal, Sender};
use super::{Cause, DevoSettings, Event, Framer, SendError, Statistics, Table, all};

/// Sends the events of one service to one receiver. For one user at a time, whose calls follow each other: a failed
/// `flush` or a `discard` gives up everything unconfirmed. Dropping it ends the sender at once, and with it what is
/// unconfirmed.
pub struct DevoHandle {
    settings: Arc<DevoSettings>,
    framer: Framer,
    room: Arc<Semaphore>,
    queued: Arc<AtomicUsize>,
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
    is_untold: bool,
}

struct Command {
    epoch: u64,
    order: Order,
}

enum Order {
    /// Boxed, since the channel keeps room for many commands, and most of the time there is none.
    Take(Box<Chunk>),
    /// Somebody waits for room.
    MakeRoom,
    Flush(oneshot::Sender<Result<(), SendError>>),
}

impl DevoHandle {
    /// Starts the manager on the current tokio runtime, in the current tracing span. It connects when the first event
    /// comes.
    pub fn start(settings: DevoSettings, framer: Framer) -> Self {
        Self::start_with(Arc::new(settings), framer, Arc::default())
    }

    /// As [`DevoHandle::start`], and goes on with these totals.
    pub(super) fn start_with(settings: Arc<DevoSettings>, framer: Framer, statistics: Arc<Statistics>) -> Self {
        let room = Arc::new(Semaphore::new(bound(&settings)));
        let (commands, orders) = mpsc::unbounded_channel();
        let (epoch, _) = watch::channel(Epoch { number: 0, loss: None, is_untold: false });
        let epoch = Arc::new(epoch);
        let manager = Manager {
            senders: std::iter::repeat_with(Sender::default).take(senders(&settings)).collect(),
            settings: Arc::clone(&settings),
            room: Arc::clone(&room),
            commands: orders,
            epoch: Arc::clone(&epoch),
            current: Arc::new(AtomicU64::new(0)),
            statistics: Arc::clone(&statistics),
        };
        let task = tokio::spawn(manager.run().in_current_span());
        Self { settings, framer, room, queued: Arc::default(), commands, epoch, statistics, task }
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

    /// Takes the events for `table`, in their order. Waits while the queue is full. Taken is not delivered: see
    /// [`DevoHandle::flush`].
    pub async fn send<B: AsRef<[u8]> + Clone>(&self, table: &Table, events: &[Event<B>]) -> Result<(), SendError> {
        self.check(events)?;
        let epoch = {
            let epoch = self.epoch.borrow();
            if epoch.is_untold {
                return Err(self.loss(&epoch));
            }
            epoch.number
        };
        let fitting = match &self.settings.dead_letters {
            Some(dead_letters) => dead_letters.put_aside(&self.settings.name, table, events).await?,
            None => Cow::Borrowed(events),
        };
        // Chunks of at most half of the queue, so that one can be filled while another one is on its way.
        let most = CHUNK.min(bound(&self.settings) / 2);
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
            let room = self.room_for(bytes.len(), epoch).await?;
            // Room may have come from a loss, which has the beginning of this list in it.
            if self.epoch.borrow().number != epoch {
                return Err(self.loss(&self.epoch.borrow()));
            }
            let events = Queued::new(now.len(), &self.queued);
            self.order(epoch, Order::Take(Box::new(Chunk { bytes, events, room })))?;
            rest = later;
        }
        Ok(())
    }

    /// Returns when all events taken so far are confirmed, or with the reason why they are not. In that case they are
    /// no longer kept, and the next `send` starts afresh.
    pub async fn flush(&self) -> Result<(), SendError> {
        let mut untold = None;
        let mut number = 0;
        self.epoch.send_if_modified(|epoch| {
            number = epoch.number;
            if std::mem::take(&mut epoch.is_untold) {
                untold = Some(self.loss(epoch));
            }
            false
        });
        if let Some(loss) = untold {
            return Err(loss);
        }
        let (reply, confirmed) = oneshot::channel();
        self.order(number, Order::Flush(reply))?;
        // Without a reply, a discard was faster.
        confirmed.await.unwrap_or_else(|_| Err(self.discarded()))
    }

    /// Gives up everything that is not confirmed and closes the connection: after a cycle that failed or was abandoned,
    /// whose events will be sent again. Doesn't wait; what is sent after it starts afresh.
    pub fn discard(&self) {
        self.epoch.send_modify(|epoch| *epoch = Epoch { number: epoch.number + 1, loss: None, is_untold: false });
    }

    /// Totals of what was confirmed.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How much of the queue's room is in use, in bytes.
    pub fn queued_in_bytes(&self) -> usize {
        bound(&self.settings).saturating_sub(self.room.available_permits())
    }

    /// How many events are in the queue: taken, and neither confirmed nor given up.
    pub fn queued_messages(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// How many connections events are spread over.
    pub fn senders(&self) -> usize {
        senders(&self.settings)
    }

    async fn room_for(&self, length: usize, epoch: u64) -> Result<OwnedSemaphorePermit, SendError> {
        let permits = length.min(bound(&self.settings)) as u32;
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(permits) {
            return Ok(room);
        }
        self.order(epoch, Order::MakeRoom)?;
        Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| self.discarded())
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

/// The queue's room, within what a semaphore can count.
fn bound(settings: &DevoSettings) -> usize {
    settings.queue_in_bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize))
}

fn senders(settings: &DevoSettings) -> usize {
    settings.concurrent_connections.max(1)
}

/// The owner of the senders.
struct Manager {
    settings: Arc<DevoSettings>,
    room: Arc<Semaphore>,
    commands: mpsc::UnboundedReceiver<Command>,
    epoch: Arc<watch::Sender<Epoch>>,
    /// The epoch that the senders' events are of.
    current: Arc<AtomicU64>,
    senders: Vec<Sender>,
    statistics: Arc<Statistics>,
}

impl Manager {
    async fn run(mut self) {
        let mut epochs = self.epoch.subscribe();
        let current = Arc::clone(&self.current);
        loop {
            // A discard interrupts whatever goes on, a wait of a minute included. It doesn't interrupt what was begun
            // for the epoch after it: that is why the numbers are compared and not just the change awaited.
            let superseded = epochs.wait_for(|epoch| epoch.number > current.load(Ordering::Relaxed));
            let newer = select! {
                biased;
                superseded = superseded => match superseded {
                    Ok(epoch) => Some(epoch.number),
                    Err(_) => return,
                },
                goes_on = self.work() => {
                    if !goes_on {
                        return;
                    }
                    None
                }
            };
            if let Some(number) = newer {
                self.enter(number);
            }
        }
    }

    /// Does what one command asks for, or several if they are there. False when there will be none any more.
    async fn work(&mut self) -> bool {
        let first = select! {
            command = self.commands.recv() => match command {
                Some(command) => command,
                None => return false,
            },
            cause = lost(&mut self.senders) => {
                // Not a failed delivery yet. The next command opens a new connection, which gets all of it again.
                tracing::debug!("Output \"{}\" at {}: {cause}", self.settings.name, self.settings.address);
                return true;
            }
        };

        let mut next = Some(first);
        let mut goal = Goal::Written;
        let mut flush = None;
        while let Some(Command { epoch, order }) = next.take() {
            if epoch < self.current.load(Ordering::Relaxed) {
                self.refuse(order);
            } else {
                self.enter(epoch);
                match order {
                    Order::Take(chunk) => self.take(*chunk),
                    // While somebody waits, the semaphore keeps every free permit for them. If one is free, the order is
                    // old: one connection's room was given back while others were still waiting for confirmation.
                    Order::MakeRoom if self.room.available_permits() > 0 => {}
                    Order::MakeRoom => goal = Goal::Confirmed,
                    Order::Flush(reply) => {
                        goal = Goal::Confirmed;
                        flush = Some(reply);
                    }
                }
            }
            if self.senders.iter().map(Sender::unconfirmed).sum::<usize>() >= bound(&self.settings) / 2 {
                goal = Goal::Confirmed;
            }
            if goal == Goal::Written {
                next = self.commands.try_recv().ok();
            }
        }

        let delivered = self.deliver(goal).await;
        match (delivered, flush) {
            (Ok(()), Some(reply)) => drop(reply.send(Ok(()))),
            (Ok(()), None) => {}
            (Err(error), flush) => self.give_up(error, flush),
        }
        true
    }

    /// Fills one sender with a chunk's worth of events before the next one gets any, and then gives to the one that has
    /// least: a connection costs a handshake, and isn't opened for a few events that another one can carry.
    fn take(&mut self, chunk: Chunk) {
        let fits = |sender: &Sender| sender.unconfirmed() + chunk.bytes.len() <= CHUNK;
        let sender = match self.senders.iter().position(fits) {
            Some(index) => self.senders.get_mut(index),
            None => self.senders.iter_mut().min_by_key(|sender| sender.unconfirmed()),
        };
        if let Some(sender) = sender {
            sender.take(chunk);
        }
    }

    /// Returns when every sender has written or confirmed all of its events, or has used up its tries.
    async fn deliver(&mut self, goal: Goal) -> Result<(), SendError> {
        let Self { settings, room, senders, statistics, .. } = self;
        let _delivering = statistics.start_delivering();
        let bound = bound(settings);
        let fill = || (bound - room.available_permits().min(bound)) as f64 / bound as f64;
        all(senders.iter_mut().map(|sender| sender.deliver(goal, settings, statistics, fill))).await
    }

    /// Ends the epoch with a loss, of which the user learns by the flush that asked for the delivery, or else by the
    /// next call.
    fn give_up(&mut self, error: SendError, flush: Option<oneshot::Sender<Result<(), SendError>>>) {
        let is_untold = flush.is_none();
        let mut number = 0;
        self.epoch.send_modify(|epoch| {
            number = epoch.number + 1;
            *epoch = Epoch { number, loss: Some(error.clone()), is_untold };
        });
        // Only now is room given back: whoever gets it must find the epoch ended.
        self.enter(number);
        match flush {
            Some(reply) => self.tell(reply, error),
            None => tracing::warn!("{error}"),
        }
    }

    /// Answers a command of an epoch that has ended; what it brought is dropped.
    fn refuse(&self, order: Order) {
        let Order::Flush(reply) = order else { return };
        let mut loss = None;
        self.epoch.send_if_modified(|epoch| {
            epoch.is_untold = false;
            loss.clone_from(&epoch.loss);
            false
        });
        self.tell(reply, loss.unwrap_or_else(|| SendError::Discarded { output: Arc::clone(&self.settings.name) }));
    }

    /// Fails a flush. One that nobody waits for any more has told nobody.
    fn tell(&self, flush: oneshot::Sender<Result<(), SendError>>, error: SendError) {
        if flush.send(Err(error)).is_err() {
            self.epoch.send_if_modified(|epoch| {
                epoch.is_untold = true;
                false
            });
        }
    }

    /// Begins an epoch: what is left of the one before is given up, connections included, for its bytes are on them.
    fn enter(&mut self, number: u64) {
        if self.current.fetch_max(number, Ordering::Relaxed) < number {
            self.senders.iter_mut().for_each(Sender::clear);
        }
    }
}

/// Waits until one of the senders loses its connection; for ever if none has one.
async fn lost(senders: &mut [Sender]) -> Cause {
    std::future::poll_fn(|cx| {
        senders.iter_mut().map(|sender| sender.poll_lost(cx)).find(|lost| lost.is_ready()).unwrap_or(Poll::Pending)
    })
    .await
}

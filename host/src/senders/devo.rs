//! The sender of one Devo output: takes events, keeps them until the receiver has confirmed them, and says so.
//!
//! One task owns the connection and the unconfirmed events; [`DevoHandle`] talks to it over a channel. The channel
//! itself is unbounded, and what bounds it is room: a semaphore with a permit for each byte of the queue, held by an
//! event's frame from before it enters the channel until it is confirmed or given up. So queue and unconfirmed events
//! together have one bound.
//!
//! What is taken is written at once, and confirmed by a flush, or by the task itself when half of the room is used or a
//! sender waits for room; otherwise a source that sends more than the queue holds before it flushes would wait for
//! ever.
//!
//! Events are lost to the sender when a delivery fails for good or is discarded. Their source has them still and will
//! send them again, if it learns of the loss. Each such loss therefore ends an *epoch*: every command carries the epoch
//! that it was given in, the task drops what is left of an older one, and a flush can only succeed within the epoch of
//! all its events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::connection::Connection;
use super::retained::{CHUNK, Chunk, Retained};
use super::retry::{Budget, Step};
use super::{Cause, DevoSettings, Event, Framer, Refusal, SendError, Statistics, Table, Transport};

/// Sends the events of one service to one receiver. For one user at a time, whose calls follow each other: a failed
/// `flush` or a `discard` gives up everything unconfirmed. Dropping it ends the sender at once, and with it what is
/// unconfirmed.
pub struct DevoHandle {
    settings: Arc<DevoSettings>,
    framer: Framer,
    room: Arc<Semaphore>,
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
    Take(Chunk),
    /// A sender waits for room.
    MakeRoom,
    Flush(oneshot::Sender<Result<(), SendError>>),
}

impl DevoHandle {
    /// Starts the sender's task on the current tokio runtime. It connects when the first event comes.
    pub fn start(settings: DevoSettings, framer: Framer) -> Self {
        let settings = Arc::new(settings);
        let room = Arc::new(Semaphore::new(bound(&settings)));
        let (commands, orders) = mpsc::unbounded_channel();
        let (epoch, _) = watch::channel(Epoch { number: 0, loss: None, is_untold: false });
        let epoch = Arc::new(epoch);
        let statistics = Arc::new(Statistics::default());
        let sender = Sender {
            settings: Arc::clone(&settings),
            commands: orders,
            epoch: Arc::clone(&epoch),
            current: Arc::new(AtomicU64::new(0)),
            retained: Retained::default(),
            connection: None,
            statistics: Arc::clone(&statistics),
        };
        let task = tokio::spawn(sender.run());
        Self { settings, framer, room, commands, epoch, statistics, task }
    }

    /// The output's name in the configuration.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether each of the events can be sent as it is; otherwise says which one can't.
    pub fn check(&self, events: &[Event]) -> Result<(), SendError> {
        for (index, event) in events.iter().enumerate() {
            let refusal = match self.settings.max_event_in_bytes {
                _ if !event.is_one_line() => Refusal::LineBreak,
                Some(limit) if event.body.len() > limit => Refusal::TooLarge { size: event.body.len(), limit },
                _ => continue,
            };
            return Err(SendError::EventRefused { output: Arc::clone(&self.settings.name), index, refusal });
        }
        Ok(())
    }

    /// Takes the events for `table`, in their order. Waits while the queue is full. Taken is not delivered: see
    /// [`DevoHandle::flush`].
    pub async fn send(&self, table: &Table, events: &[Event]) -> Result<(), SendError> {
        self.check(events)?;
        let epoch = {
            let epoch = self.epoch.borrow();
            if epoch.is_untold {
                return Err(self.loss(&epoch));
            }
            epoch.number
        };
        // Chunks of at most half of the queue, so that one can be filled while another one is on its way.
        let most = CHUNK.min(bound(&self.settings) / 2);
        let mut rest = events;
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
            self.order(epoch, Order::Take(Chunk { bytes, events: now.len() as u64, room }))?;
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

/// How far a delivery is to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Written,
    Confirmed,
}

/// The owner of the connection and of the unconfirmed events.
struct Sender {
    settings: Arc<DevoSettings>,
    commands: mpsc::UnboundedReceiver<Command>,
    epoch: Arc<watch::Sender<Epoch>>,
    /// The epoch that the retained events are of.
    current: Arc<AtomicU64>,
    retained: Retained,
    connection: Option<Connection>,
    statistics: Arc<Statistics>,
}

impl Sender {
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
            cause = lost(&mut self.connection) => {
                // Not a failed delivery yet. The next command opens a new connection, which gets all of it again.
                tracing::debug!("Output \"{}\" at {}: {cause}", self.settings.name, self.settings.address);
                self.connection = None;
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
                    Order::Take(chunk) => self.retained.push(chunk),
                    Order::MakeRoom => goal = Goal::Confirmed,
                    Order::Flush(reply) => {
                        goal = Goal::Confirmed;
                        flush = Some(reply);
                    }
                }
            }
            if self.retained.bytes() >= bound(&self.settings) / 2 {
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

    /// Tries until everything retained is written or confirmed, or the tries are used up.
    async fn deliver(&mut self, goal: Goal) -> Result<(), SendError> {
        if self.retained.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let outcome = self.deliver_with_retries(goal).await;
        self.statistics.add_delivering(start.elapsed());
        outcome
    }

    async fn deliver_with_retries(&mut self, goal: Goal) -> Result<(), SendError> {
        let mut budget = Budget::new(self.settings.retries());
        loop {
            let (step, cause) = match self.attempt(goal).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            self.connection = None;
            let (name, address) = (&self.settings.name, &self.settings.address);
            let Some(wait) = budget.after_failure(step, &cause) else {
                let address = address.to_string().into();
                return Err(SendError::Unconfirmed { output: Arc::clone(name), address, cause });
            };
            tracing::warn!(
                "Output \"{name}\" at {address}: {cause}; {} events will be sent again in {:.3} seconds",
                self.retained.events(),
                wait.as_secs_f64(),
            );
            if wait > Duration::ZERO {
                sleep(wait).await;
            }
        }
    }

    async fn attempt(&mut self, goal: Goal) -> Result<(), (Step, Cause)> {
        let Self { settings, retained, connection, statistics, .. } = self;
        let sending = |cause| (Step::Sending, cause);
        let open = match connection {
            Some(open) => open,
            None => {
                let Transport::Tls(tls) = &settings.transport;
                let opened = Connection::open(&settings.address, tls, settings.connect_timeout).await;
                let opened = opened.map_err(|cause| (Step::Connecting, cause))?;
                tracing::debug!("Output \"{}\": connected to {}", settings.name, settings.address);
                retained.rewind();
                connection.insert(opened)
            }
        };
        while let Some(bytes) = retained.unwritten() {
            let count = open.write(bytes, settings.sending_timeout).await.map_err(sending)?;
            retained.advance(count);
        }
        open.flush(settings.sending_timeout).await.map_err(sending)?;
        if goal == Goal::Confirmed
            && let Some(open) = connection.take()
        {
            open.confirm(settings.confirm_timeout).await.map_err(sending)?;
            tracing::debug!(
                "Output \"{}\": {} confirmed {} events",
                settings.name,
                settings.address,
                retained.events()
            );
            statistics.add_confirmed(retained.events(), retained.bytes());
            retained.clear();
        }
        Ok(())
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

    /// Begins an epoch: what is left of the one before is given up, connection included, for its bytes are on it.
    fn enter(&mut self, number: u64) {
        if self.current.fetch_max(number, Ordering::Relaxed) < number {
            self.retained.clear();
            self.connection = None;
        }
    }
}

async fn lost(connection: &mut Option<Connection>) -> Cause {
    match connection {
        Some(connection) => connection.lost().await,
        None => std::future::pending().await,
    }
}

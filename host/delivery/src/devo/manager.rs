//! The task that owns the senders: does what it is told, one command after the other, and says of what is
//! lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use tokio::select;
use tokio::sync::{mpsc, oneshot, watch};

use super::queue::Queue;
use super::sender::{Goal, Sender};
use super::unacked::{CHUNK, Chunk};
use super::{Command, Epoch, Order};
use crate::error::{Cause, SendError};
use crate::join::all;
use crate::settings::DevoSettings;
use crate::statistics::Statistics;

/// The owner of the senders.
pub(super) struct Manager {
    settings: Arc<DevoSettings>,
    queue: Queue,
    commands: mpsc::UnboundedReceiver<Command>,
    epoch: Arc<watch::Sender<Epoch>>,
    /// The epoch that the senders' events are of.
    current: Arc<AtomicU64>,
    senders: Vec<Sender>,
    statistics: Arc<Statistics>,
}

impl Manager {
    /// Does what `commands` say, for events of `queue`.
    pub(super) fn new(
        settings: Arc<DevoSettings>,
        queue: Queue,
        commands: mpsc::UnboundedReceiver<Command>,
        epoch: Arc<watch::Sender<Epoch>>,
        statistics: Arc<Statistics>,
    ) -> Self {
        let senders = std::iter::repeat_with(Sender::default).take(super::senders(&settings)).collect();
        Self { settings, queue, commands, epoch, current: Arc::default(), senders, statistics }
    }

    /// Runs until nobody is left who could send a command.
    pub(super) async fn run(mut self) {
        let mut epochs = self.epoch.subscribe();
        let current = Arc::clone(&self.current);
        loop {
            // A discard interrupts whatever goes on, a wait of a minute included. It doesn't interrupt what
            // was begun for the epoch after it: that is why the numbers are compared and not just the change
            // awaited.
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
                // Not a failed delivery yet. The next command opens a new connection, which gets all of it
                // again.
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
                    // If a permit is free, the order is old: one connection's were given back while others
                    // were still waiting for confirmation.
                    Order::Reclaim if self.queue.has_free_permits() => {}
                    Order::Reclaim => goal = Goal::Confirmed,
                    Order::Flush(reply) => {
                        goal = Goal::Confirmed;
                        flush = Some(reply);
                    }
                }
            }
            if self.senders.iter().map(Sender::unconfirmed).sum::<usize>() >= self.queue.bound() / 2 {
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

    /// Fills one sender with a chunk's worth of events before the next one gets any, and then gives to the
    /// one that has least: a connection costs a handshake, and isn't opened for a few events that another one
    /// can carry.
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
        let Self { settings, queue, senders, statistics, .. } = self;
        let _delivering = statistics.start_delivering();
        all(senders.iter_mut().map(|sender| sender.deliver(goal, settings, statistics, || queue.fill()))).await
    }

    /// Ends the epoch with a loss, of which the user learns by the flush that asked for the delivery, or else
    /// by the next call.
    fn give_up(&mut self, error: SendError, flush: Option<oneshot::Sender<Result<(), SendError>>>) {
        let has_unreported_loss = flush.is_none();
        let mut number = 0;
        self.epoch.send_modify(|epoch| {
            number = epoch.number + 1;
            *epoch = Epoch { number, loss: Some(error.clone()), has_unreported_loss };
        });
        // Only now are permits given back: whoever gets one must find the epoch ended.
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
            epoch.has_unreported_loss = false;
            loss.clone_from(&epoch.loss);
            false
        });
        self.tell(reply, loss.unwrap_or_else(|| SendError::Discarded { output: Arc::clone(&self.settings.name) }));
    }

    /// Fails a flush. One that nobody waits for any more has told nobody.
    fn tell(&self, flush: oneshot::Sender<Result<(), SendError>>, error: SendError) {
        if flush.send(Err(error)).is_err() {
            self.epoch.send_if_modified(|epoch| {
                epoch.has_unreported_loss = true;
                false
            });
        }
    }

    /// Begins an epoch: what is left of the one before is given up, connections included, for its bytes are
    /// on them.
    fn enter(&mut self, number: u64) {
        if self.current.fetch_max(number, Ordering::Relaxed) < number {
            self.senders.iter_mut().for_each(Sender::clear);
        }
    }
}

/// Waits until one of the senders loses its connection; forever if none has one.
async fn lost(senders: &mut [Sender]) -> Cause {
    std::future::poll_fn(|cx| {
        senders.iter_mut().map(|sender| sender.poll_lost(cx)).find(|lost| lost.is_ready()).unwrap_or(Poll::Pending)
    })
    .await
}

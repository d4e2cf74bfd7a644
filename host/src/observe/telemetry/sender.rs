//! The collector's own messages and metrics on their way to Devo.
//!
//! They tell how the collector does, so they must not be what keeps it from doing it. They have a queue and
//! connections of their own, nobody ever waits for them, and when there are more than can be sent, the oldest
//! go: the latest tell why.
//!
//! The log lines that this sender itself causes must not become messages, or each delivery would cause the
//! next one, forever. So all of it runs in the span in which it is started, and who makes messages of log
//! lines leaves out those of that span.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use collector_delivery::{DevoHandle, DevoSettings, Event, Framer, SendError, Statistics};
use collector_model::Table;
use tokio::select;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

/// How long messages are gathered before they are sent: long enough for one connection, and few writes, to
/// carry all lines of a pull.
const GATHERED_FOR: Duration = Duration::from_secs(2);

/// About as many bytes of messages are handed over at once.
const BATCH_IN_BYTES: usize = 64 * 1024;

/// Sends messages as well as it can. Dropping it ends it at once, and with it what is queued.
pub struct BestEffort {
    settings: Arc<DevoSettings>,
    statistics: Arc<Statistics>,
    framer: Framer,
    shared: Arc<Shared>,
    flushes: mpsc::UnboundedSender<Reply>,
    task: JoinHandle<()>,
}

type Reply = oneshot::Sender<Result<(), SendError>>;

struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
}

impl BestEffort {
    /// Starts on the current tokio runtime, in the current tracing span. `queue_in_bytes` of the settings
    /// bounds the messages that wait; as much again may be under way.
    pub fn start(settings: DevoSettings, framer: Framer) -> Self {
        let queue = Queue::new(settings.queue_in_bytes);
        let shared = Arc::new(Shared { queue: Mutex::new(queue), arrived: Notify::new() });
        let (settings, statistics) = (Arc::new(settings), Arc::<Statistics>::default());
        let (flushes, replies) = mpsc::unbounded_channel();
        let courier = Courier {
            settings: Arc::clone(&settings),
            statistics: Arc::clone(&statistics),
            framer: framer.clone(),
            devo: None,
            shared: Arc::clone(&shared),
            flushes: replies,
        };
        let task = tokio::spawn(courier.run().in_current_span());
        Self { settings, statistics, framer, shared, flushes, task }
    }

    /// The output's name in the configuration.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Queues a message, and drops the oldest ones if there are too many. Never waits. An error means that
    /// this message can't be sent as it is, which is a defect of its maker.
    pub fn try_send(&self, table: &Table, event: Event) -> Result<(), SendError> {
        if !event.is_one_line() {
            return Err(SendError::EventRefused { output: Arc::clone(&self.settings.name), index: 0 });
        }
        let bytes = self.framer.length(table, &event);
        let mut queue = self.shared.queue();
        queue.push(Message { table: table.clone(), event, bytes });
        // The first one is waited for; those after it are gathered, unless they are many.
        if queue.waiting.len() == 1 || queue.is_much(queue.waiting_in_bytes) {
            self.shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Returns when all messages taken so far are confirmed or dropped, or with the reason why they can't be
    /// delivered now; they stay queued then. For the end of the collector, within a time that the caller
    /// sets.
    pub async fn flush(&self) -> Result<(), SendError> {
        let (reply, flushed) = oneshot::channel();
        let ended = || SendError::Discarded { output: Arc::clone(&self.settings.name) };
        self.flushes.send(reply).map_err(|_| ended())?;
        flushed.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Totals of what was confirmed.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How many messages were dropped because there were too many.
    pub fn dropped(&self) -> u64 {
        self.shared.queue().dropped
    }

    /// How many messages are taken, and neither confirmed nor dropped.
    pub fn queued_messages(&self) -> usize {
        let queue = self.shared.queue();
        queue.waiting.len() + queue.under_way.len()
    }

    /// How many connections messages are spread over.
    pub fn senders(&self) -> usize {
        self.settings.concurrent_connections.max(1)
    }
}

impl Drop for BestEffort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Message {
    table: Table,
    event: Event,
    /// Of its frame.
    bytes: usize,
}

/// The messages, oldest first: those under way, then those that wait.
struct Queue {
    waiting: VecDeque<Message>,
    waiting_in_bytes: usize,
    under_way: VecDeque<Message>,
    under_way_in_bytes: usize,
    bound: usize,
    dropped: u64,
}

impl Queue {
    fn new(bound: usize) -> Self {
        let (waiting, under_way) = (VecDeque::new(), VecDeque::new());
        Self { waiting, waiting_in_bytes: 0, under_way, under_way_in_bytes: 0, bound, dropped: 0 }
    }

    /// Whether so many bytes should not wait for more of them.
    fn is_much(&self, bytes: usize) -> bool {
        bytes >= self.bound / 2
    }

    fn push(&mut self, message: Message) {
        self.waiting_in_bytes += message.bytes;
        self.waiting.push_back(message);
        self.drop_oldest();
    }

    /// Takes the next messages of one table, of about a batch together.
    fn next_batch(&mut self) -> Option<(Table, Vec<Event>)> {
        let table = self.waiting.front()?.table.clone();
        let (mut events, mut size) = (Vec::new(), 0);
        while let Some(message) = self.waiting.pop_front_if(|next| next.table == table && size < BATCH_IN_BYTES) {
            size += message.bytes;
            events.push(message.event.clone());
            self.under_way.push_back(message);
        }
        self.waiting_in_bytes -= size;
        self.under_way_in_bytes += size;
        Some((table, events))
    }

    /// A burst leaves no room behind: most of the time there are no messages.
    fn confirm(&mut self) {
        self.under_way = VecDeque::new();
        self.under_way_in_bytes = 0;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    /// What was under way waits again, before everything else.
    fn put_back(&mut self) {
        self.under_way.append(&mut self.waiting);
        std::mem::swap(&mut self.under_way, &mut self.waiting);
        self.waiting_in_bytes += std::mem::take(&mut self.under_way_in_bytes);
        self.drop_oldest();
    }

    /// Keeps the bound; a single message may be larger.
    fn drop_oldest(&mut self) {
        while self.waiting_in_bytes > self.bound && self.waiting.len() > 1 {
            if let Some(oldest) = self.waiting.pop_front() {
                self.waiting_in_bytes -= oldest.bytes;
                self.dropped += 1;
            }
        }
    }
}

/// Carries the messages from the queue to the output.
struct Courier {
    settings: Arc<DevoSettings>,
    statistics: Arc<Statistics>,
    framer: Framer,
    /// There only while messages are under way, which is a few seconds in a minute.
    devo: Option<DevoHandle>,
    shared: Arc<Shared>,
    flushes: mpsc::UnboundedReceiver<Reply>,
}

/// What the courier waits for beside a flush.
#[derive(Clone, Copy)]
enum Next {
    /// The first message.
    Message,
    /// The time to send what was gathered, or so many messages that it is better sent now.
    SendAt(Instant),
    /// The time to try again; new messages don't hasten it.
    RetryAt(Instant),
}

impl Courier {
    async fn run(mut self) {
        let mut next = Next::Message;
        loop {
            let arrived = self.shared.arrived.notified();
            let due = async {
                match next {
                    Next::Message => arrived.await,
                    Next::SendAt(time) => select! {
                        () = sleep_until(time) => {}
                        () = arrived => {}
                    },
                    Next::RetryAt(time) => sleep_until(time).await,
                }
            };
            let reply = select! {
                reply = self.flushes.recv() => match reply {
                    Some(reply) => Some(reply),
                    None => return,
                },
                () = due => None,
            };
            if let (Next::Message, None) = (next, &reply) {
                next = Next::SendAt(Instant::now() + GATHERED_FOR);
                continue;
            }
            let outcome = self.deliver().await;
            // Whatever became of it, the next delivery has a connection of its own.
            self.devo = None;
            next = Next::Message;
            if let Err(error) = &outcome {
                tracing::warn!("{error}");
                self.shared.queue().put_back();
                next = Next::RetryAt(Instant::now() + self.settings.connecting_max_wait);
            }
            if let Some(reply) = reply {
                let _ = reply.send(outcome);
            }
        }
    }

    /// Hands over all that waits, and has it confirmed.
    async fn deliver(&mut self) -> Result<(), SendError> {
        loop {
            let Some((table, events)) = self.shared.queue().next_batch() else { break };
            let Self { settings, statistics, framer, devo, .. } = &mut *self;
            let start = || DevoHandle::start_with(Arc::clone(settings), framer.clone(), Arc::clone(statistics));
            devo.get_or_insert_with(start).send(&table, &events).await?;
            let is_much = {
                let queue = self.shared.queue();
                queue.is_much(queue.under_way_in_bytes)
            };
            if is_much {
                self.confirm().await?;
            }
        }
        self.confirm().await
    }

    async fn confirm(&self) -> Result<(), SendError> {
        if let Some(devo) = &self.devo {
            devo.flush().await?;
        }
        self.shared.queue().confirm();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;

    use super::*;

    fn message(number: usize) -> Message {
        let event = Event { time: DateTime::UNIX_EPOCH, body: Bytes::from(number.to_string()) };
        Message { table: "my.app.t".parse().unwrap(), event, bytes: 10 }
    }

    fn waiting(queue: &Queue) -> Vec<&[u8]> {
        queue.waiting.iter().map(|message| &message.event.body[..]).collect()
    }

    #[test]
    fn when_there_are_too_many_the_oldest_go_and_are_counted() {
        let mut queue = Queue::new(30);
        (0..5).for_each(|number| queue.push(message(number)));
        assert_eq!(waiting(&queue), [b"2", b"3", b"4"]);
        assert_eq!(queue.dropped, 2);
    }

    #[test]
    fn what_could_not_be_delivered_waits_again_in_its_old_place_as_far_as_there_is_room() {
        let mut queue = Queue::new(30);
        (0..2).for_each(|number| queue.push(message(number)));
        assert_eq!(queue.next_batch().unwrap().1.len(), 2);
        (2..4).for_each(|number| queue.push(message(number)));
        queue.put_back();
        assert_eq!(waiting(&queue), [b"1", b"2", b"3"]);
        assert_eq!((queue.dropped, queue.waiting_in_bytes, queue.under_way_in_bytes), (1, 30, 0));
    }

    #[test]
    fn a_batch_is_of_one_table() {
        let mut queue = Queue::new(1000);
        let other = Message { table: "my.app.other".parse().unwrap(), ..message(1) };
        [message(0), other, message(2)].into_iter().for_each(|message| queue.push(message));
        let tables: Vec<_> = std::iter::from_fn(|| queue.next_batch()).map(|(table, _)| table.to_string()).collect();
        assert_eq!(tables, ["my.app.t", "my.app.other", "my.app.t"]);
    }
}

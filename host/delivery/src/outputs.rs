//! The outputs of one service: every event goes to each of them.

use collector_model::Table;

use crate::console::ConsoleHandle;
use crate::devo::DevoHandle;
use crate::error::SendError;
use crate::event::Event;
use crate::join::all;
use crate::statistics::Statistics;

/// One configured output.
pub enum Output {
    /// A receiver that speaks Devo's protocol.
    Devo(DevoHandle),
    /// Standard output.
    Console(ConsoleHandle),
}

impl Output {
    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        match self {
            Self::Devo(devo) => devo.name(),
            Self::Console(console) => console.name(),
        }
    }

    /// Totals of what it has confirmed.
    pub fn statistics(&self) -> &Statistics {
        match self {
            Self::Devo(devo) => devo.statistics(),
            Self::Console(console) => console.statistics(),
        }
    }

    /// How many bytes it has taken that are not confirmed yet.
    pub fn queued_in_bytes(&self) -> usize {
        match self {
            Self::Devo(devo) => devo.queued_in_bytes(),
            Self::Console(_) => 0,
        }
    }

    /// How many bytes it takes before who sends more has to wait.
    pub fn queue_in_bytes(&self) -> usize {
        match self {
            Self::Devo(devo) => devo.queue_in_bytes(),
            Self::Console(_) => 0,
        }
    }

    /// How many events it has taken that are not confirmed yet.
    pub fn queued_messages(&self) -> usize {
        match self {
            Self::Devo(devo) => devo.queued_messages(),
            Self::Console(_) => 0,
        }
    }

    /// How many connections its events are spread over; 1 for standard output.
    pub fn senders(&self) -> usize {
        match self {
            Self::Devo(devo) => devo.senders(),
            Self::Console(_) => 1,
        }
    }

    fn check(&self, events: &[Event<impl AsRef<[u8]>>]) -> Result<(), SendError> {
        match self {
            Self::Devo(devo) => devo.check(events),
            Self::Console(console) => console.check(events),
        }
    }

    async fn send<B: AsRef<[u8]> + Clone>(&self, table: &Table, events: &[Event<B>]) -> Result<(), SendError> {
        match self {
            Self::Devo(devo) => devo.send(table, events).await,
            Self::Console(console) => console.send(table, events).await,
        }
    }

    async fn flush(&self) -> Result<(), SendError> {
        match self {
            Self::Devo(devo) => devo.flush().await,
            Self::Console(console) => console.flush().await,
        }
    }

    async fn discard(&self) {
        match self {
            Self::Devo(devo) => devo.discard(),
            Self::Console(console) => console.discard().await,
        }
    }
}

/// All outputs of one service. Every event goes to each of them, and is delivered when all have confirmed it.
///
/// For one user at a time: a failed flush gives up everything that is unconfirmed, whoever sent it. Services
/// that work at the same time get `Outputs` of their own.
pub struct Outputs {
    outputs: Vec<Output>,
}

impl Outputs {
    /// These outputs together.
    pub fn new(outputs: Vec<Output>) -> Self {
        Self { outputs }
    }

    /// Each output, in the order given.
    pub fn iter(&self) -> std::slice::Iter<'_, Output> {
        self.outputs.iter()
    }

    /// Hands the events to every output. Waits while the queue of any is full, which doesn't keep the others
    /// from sending.
    ///
    /// When one refuses an event, none of the list was taken by any. After any other error call
    /// [`Outputs::discard`].
    pub async fn send<B: AsRef<[u8]> + Clone>(&self, table: &Table, events: &[Event<B>]) -> Result<(), SendError> {
        self.outputs.iter().try_for_each(|output| output.check(events))?;
        all(self.outputs.iter().map(|output| output.send(table, events))).await
    }

    /// Returns when every output has confirmed all events taken so far. With an error when one can't, but not
    /// before the others have confirmed or failed as well. After an error call [`Outputs::discard`].
    pub async fn flush(&self) -> Result<(), SendError> {
        all(self.outputs.iter().map(Output::flush)).await
    }

    /// Gives up what no output has confirmed yet: after a cycle that failed or was abandoned, whose events
    /// will be sent again.
    pub async fn discard(&self) {
        for output in &self.outputs {
            output.discard().await;
        }
    }
}

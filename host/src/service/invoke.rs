//! A call of the component, and what its outcome means for the service.

use std::sync::Arc;
use std::time::Duration;

use collector_delivery::Outputs;
use collector_model::metrics::{ServiceMetrics, Task};
use collector_model::{ErrorCode, error_code};
use collector_sandbox::{Failure, Fault, Guest, Outcome, Terminated};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::End;

/// How long a call that is under way may go on once the collector is to stop. What it has not confirmed by
/// then is left uncommitted and is pulled again at the next start.
const GRACE: Duration = Duration::from_secs(3);

/// The service ends; what follows can't be done.
#[derive(Debug, Clone, Copy)]
pub struct ServiceExit(pub End);

/// What the component is called for. An error that it does not report itself has the class of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    SetUp,
    PrePull,
    Pull,
    Backfill,
}

impl Purpose {
    /// What fails with it, and goes on when it succeeds.
    fn task(self) -> Task {
        match self {
            Self::SetUp => Task::SetUp,
            Self::PrePull | Self::Pull => Task::Pull,
            Self::Backfill => Task::Backfill,
        }
    }

    fn limit_exceeded(self) -> ErrorCode {
        match self {
            Self::SetUp => error_code::SETUP_LIMIT_EXCEEDED,
            Self::PrePull => error_code::PRE_PULL_LIMIT_EXCEEDED,
            Self::Pull | Self::Backfill => error_code::PULL_LIMIT_EXCEEDED,
        }
    }

    fn trap(self) -> ErrorCode {
        match self {
            Self::SetUp => error_code::SETUP_TRAP,
            Self::PrePull => error_code::PRE_PULL_TRAP,
            Self::Pull | Self::Backfill => error_code::PULL_TRAP,
        }
    }
}

/// Calls the component for one service.
#[derive(Clone)]
pub struct Caller {
    guest: Guest,
    outputs: Arc<Outputs>,
    metrics: Arc<ServiceMetrics>,
    stop: CancellationToken,
}

impl Caller {
    pub fn new(guest: Guest, outputs: Arc<Outputs>, metrics: Arc<ServiceMetrics>, stop: CancellationToken) -> Self {
        Self { guest, outputs, metrics, stop }
    }

    /// The component to call.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Where the service is counted.
    pub fn metrics(&self) -> &ServiceMetrics {
        &self.metrics
    }

    /// How many events its outputs have confirmed since the start, together.
    pub fn delivered(&self) -> u64 {
        self.outputs.iter().map(|output| output.statistics().messages()).sum()
    }

    /// Gives up what no output has confirmed: what a call that came to nothing has sent will be sent again.
    pub async fn discard(&self) {
        self.outputs.discard().await;
    }

    /// A call that a stop gives a few seconds to end in good order, and then abandons.
    pub async fn with_grace<T>(&self, call: impl Future<Output = T>) -> Result<T, ServiceExit> {
        tokio::pin!(call);
        let outcome = tokio::select! {
            outcome = &mut call => return Ok(outcome),
            () = self.stop.cancelled() => tokio::time::timeout(GRACE, call).await,
        };
        if outcome.is_err() {
            warn!("The call under way was abandoned; what it had not confirmed is pulled again at the next start");
            self.discard().await;
        }
        Err(ServiceExit(End::Stopped))
    }

    /// Waits, unless the collector is to stop.
    pub async fn run_until_stopped<T>(&self, wait: impl Future<Output = T>) -> Result<T, ServiceExit> {
        tokio::select! {
            done = wait => Ok(done),
            () = self.stop.cancelled() => Err(ServiceExit(End::Stopped)),
        }
    }

    /// Says what went wrong, and ends the service where the component has said that only the operator can
    /// mend it.
    pub fn report<T>(&self, purpose: Purpose, outcome: Outcome<T>) -> Result<(), ServiceExit> {
        match outcome {
            Ok(Ok(_)) => self.metrics.end_failure(purpose.task()),
            Ok(Err(failed)) => {
                let (class, Fault { code, reason, remedy }) = described(&failed.failure);
                self.record_failure(purpose, ErrorCode { class, number: *code }, &format!("{reason} {remedy}"));
                if failed.is_final() {
                    return Err(ServiceExit(End::Failed));
                }
            }
            Err(terminated) => {
                let (code, remedy) = match terminated {
                    Terminated::LimitExceeded { .. } => {
                        (purpose.limit_exceeded(), "Raise the limit if the amount of data is legitimate.")
                    }
                    Terminated::NoMemory => (
                        purpose.limit_exceeded(),
                        "It is tried again; if it goes on, ask for less (limits.memory_in_bytes), or raise \
                         calls.memory_in_bytes in host.yaml.",
                    ),
                    Terminated::Trap(_) => (purpose.trap(), "Contact support if it goes on."),
                };
                self.record_failure(
                    purpose,
                    code,
                    &format!("{terminated}. Nothing of the call is committed. {remedy}"),
                );
            }
        }
        Ok(())
    }

    /// An error of the service, in the log and in its metrics.
    pub fn record_failure(&self, purpose: Purpose, code: ErrorCode, reason: &str) {
        let text = format!("{code} reason: {reason}");
        self.metrics.add_failure(purpose.task(), code, &text);
        let ErrorCode { class, number: code } = code;
        error!(class, code, "{text}");
    }
}

/// The class of a failure as the original names it.
fn described(failure: &Failure) -> (&'static str, &Fault) {
    match failure {
        Failure::InitVariables(fault) => ("InitVariablesError", fault),
        Failure::SetUp(fault) => ("SetupError", fault),
        Failure::PrePull(fault) => ("PrePullError", fault),
        Failure::Pull(fault) => ("PullError", fault),
        Failure::Api(fault) => ("ApiError", fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_call_has_the_class_of_that_call() {
        let codes = |purpose: Purpose| [purpose.limit_exceeded(), purpose.trap()].map(|code| code.to_string());
        assert_eq!(codes(Purpose::SetUp), ["SetupError [CODE:0110]", "SetupError [CODE:0111]"]);
        assert_eq!(codes(Purpose::PrePull), ["PrePullError [CODE:0210]", "PrePullError [CODE:0211]"]);
        assert_eq!(codes(Purpose::Pull), ["PullError [CODE:0310]", "PullError [CODE:0311]"]);
    }
}

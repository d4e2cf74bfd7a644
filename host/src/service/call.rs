//! A call of the component, and what its outcome means for the service.

use std::sync::Arc;
use std::time::Duration;

use collector_model::{ErrorCode, error_code};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::End;
use crate::sandbox::{Breach, Failure, Fault, Grant, Outcome, Sandbox};

/// How long a call that is under way may go on once the collector is to stop. What it has not confirmed by then is left
/// uncommitted and is pulled again at the next start.
const GRACE: Duration = Duration::from_secs(3);

/// The service has to end; what follows can't be done.
#[derive(Debug, Clone, Copy)]
pub struct Interrupted(pub End);

/// Calls the component for one service.
#[derive(Clone)]
pub struct Caller {
    sandbox: Arc<Sandbox>,
    grant: Arc<Grant>,
    stop: CancellationToken,
}

impl Caller {
    pub fn new(sandbox: Arc<Sandbox>, grant: Arc<Grant>, stop: CancellationToken) -> Self {
        Self { sandbox, grant, stop }
    }

    /// The component to call.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// What it may reach.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// A call that a stop gives a few seconds to end in good order, and then abandons.
    pub async fn guarded<T>(&self, call: impl Future<Output = T>) -> Result<T, Interrupted> {
        tokio::pin!(call);
        let outcome = tokio::select! {
            outcome = &mut call => return Ok(outcome),
            () = self.stop.cancelled() => tokio::time::timeout(GRACE, call).await,
        };
        if outcome.is_err() {
            warn!("The call under way was abandoned; what it had not confirmed is pulled again at the next start");
            self.grant.outputs.discard().await;
        }
        Err(Interrupted(End::Stopped))
    }

    /// Waits, unless the collector is to stop.
    pub async fn pause(&self, wait: impl Future<Output = ()>) -> Result<(), Interrupted> {
        tokio::select! {
            () = wait => Ok(()),
            () = self.stop.cancelled() => Err(Interrupted(End::Stopped)),
        }
    }

    /// Says what went wrong, and ends the service where trying again can't help.
    pub fn report<T>(&self, outcome: Outcome<T>) -> Result<(), Interrupted> {
        match outcome {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => {
                let (class, Fault { code, reason, remedy }) = described(&failure);
                self.tell(ErrorCode { class, number: *code }, &format!("{reason} {remedy}"));
                if matches!(failure, Failure::InitVariables(_) | Failure::PrePull(_)) {
                    return Err(Interrupted(End::Failed));
                }
            }
            Err(breach) => {
                let (code, remedy) = match breach {
                    Breach::Limit { .. } => {
                        (error_code::LIMIT_EXCEEDED, "Raise the limit if the amount of data is legitimate.")
                    }
                    Breach::Trap(_) => (error_code::TRAP, "Contact support if it goes on."),
                };
                self.tell(code, &format!("{breach}. Nothing of the call is committed. {remedy}"));
            }
        }
        Ok(())
    }

    /// An error of the service, in the log and in its metrics.
    pub fn tell(&self, code: ErrorCode, reason: &str) {
        let text = format!("{code} reason: {reason}");
        let ErrorCode { class, number: code } = code;
        self.grant.metrics.add_failure(&text);
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

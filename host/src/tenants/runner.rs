//! Runs one tenant: starts it at its place within the period, starts it again after a failure, takes it from
//! one configuration to the next. What happens to it, a panic included, ends here and reaches no other
//! tenant.

use std::sync::Arc;
use std::time::Duration;

use collector_config::Plan;
use collector_model::TenantName;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::service::{Backoff, End};

/// A tenant that runs this long before it fails is not what fails again and again.
const STEADY: Duration = Duration::from_secs(600);

/// What a tenant's run comes to.
pub type Outcome = anyhow::Result<End>;

/// Why a wait or a run came to its end.
enum Next {
    /// There is another configuration, or it is stopped for good.
    Updated,
    /// By itself.
    Ended(Result<Outcome, tokio::task::JoinError>),
}

/// Keeps one tenant running, with the configuration that `updates` has, until there will be none any more, or
/// until the stop.
pub struct TenantRunner<J, R> {
    pub name: TenantName,
    pub updates: watch::Receiver<Arc<Plan>>,
    pub stop: CancellationToken,
    /// How long it waits before it begins.
    pub jitter: J,
    /// Begins it, in a task of its own that ends in good order with its token.
    pub start: R,
}

impl<J, R> TenantRunner<J, R>
where
    J: Fn(&Plan) -> Duration,
    R: Fn(Arc<Plan>, CancellationToken) -> JoinHandle<Outcome>,
{
    pub async fn run(self) {
        let Self { name, mut updates, stop, jitter, start } = self;
        let mut backoff = Backoff::default();
        let mut wait = None;
        loop {
            let plan = updates.borrow_and_update().clone();
            let pause = tokio::time::sleep(wait.take().unwrap_or_else(|| jitter(&plan)));
            tokio::select! {
                () = pause => {}
                update = updates.changed() => match update {
                    Ok(()) => {
                        backoff = Backoff::default();
                        continue;
                    }
                    Err(_) => return,
                },
                () = stop.cancelled() => return,
            }
            let end = stop.child_token();
            let started = tokio::time::Instant::now();
            let mut running = start(plan, end.clone());
            let next = tokio::select! {
                ended = &mut running => Next::Ended(ended),
                _ = updates.changed() => Next::Updated,
                () = stop.cancelled() => Next::Updated,
            };
            match next {
                Next::Updated => {
                    end.cancel();
                    // What it did in the last moment may have failed; it is over all the same.
                    let _ = running.await;
                    if stop.is_cancelled() || updates.has_changed().is_err() {
                        return;
                    }
                    backoff = Backoff::default();
                }
                Next::Ended(_) if stop.is_cancelled() => return,
                Next::Ended(ended) => {
                    if started.elapsed() >= STEADY {
                        backoff = Backoff::default();
                    }
                    let again = backoff.after_failure();
                    report(&name, ended, again);
                    wait = Some(again);
                }
            }
        }
    }
}

fn report(name: &TenantName, ended: Result<Outcome, tokio::task::JoinError>, again: Duration) {
    let seconds = again.as_secs();
    let next =
        format!("It is started again in {seconds} seconds, or when its configuration changes; no other is concerned");
    match ended {
        Ok(Ok(End::Stopped)) => info!(tenant = %name, "The tenant {name} has ended. {next}"),
        Ok(Ok(End::Failed)) => {
            error!(tenant = %name, "The tenant {name}: none of its services can go on without the operator. {next}")
        }
        Ok(Err(error)) => error!(tenant = %name, "The tenant {name} has failed: {error:#}. {next}"),
        Err(panic) => error!(
            tenant = %name,
            "The tenant {name} has failed by a defect of this program, please report it: {panic}. {next}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;
    use collector_config::Persistence;

    fn plan(name: &str) -> Arc<Plan> {
        Arc::new(Plan {
            id: String::new(),
            name: name.to_owned(),
            debug: false,
            persistence: Persistence::Memory,
            stored_in_bytes: None,
            outputs: Vec::new(),
            services: Vec::new(),
            disabled: Vec::new(),
            secrets: Default::default(),
            warnings: Vec::new(),
        })
    }

    /// A tenant that tells when it begins and ends, and otherwise does as it is called.
    fn tenant(told: mpsc::UnboundedSender<String>) -> impl Fn(Arc<Plan>, CancellationToken) -> JoinHandle<Outcome> {
        move |plan, end| {
            let told = told.clone();
            tokio::spawn(async move {
                told.send(format!("{} begins", plan.name)).unwrap();
                match plan.name.as_str() {
                    "panics" => panic!("as it was told to"),
                    "fails" => Ok(End::Failed),
                    "errs" => anyhow::bail!("no disk"),
                    _ => {
                        end.cancelled().await;
                        told.send(format!("{} ends", plan.name)).unwrap();
                        Ok(End::Stopped)
                    }
                }
            })
        }
    }

    struct Run {
        updates: watch::Sender<Arc<Plan>>,
        told: mpsc::UnboundedReceiver<String>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    fn run(first: &str, jitter: Duration) -> Run {
        let (updates, received) = watch::channel(plan(first));
        let (tell, told) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let name = TenantName::new("acme").unwrap();
        let runner = TenantRunner {
            name,
            updates: received,
            stop: stop.clone(),
            jitter: move |_: &Plan| jitter,
            start: tenant(tell),
        };
        let task = tokio::spawn(runner.run());
        Run { updates, told, stop, task }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_panics_fails_or_errs_is_started_again_with_growing_waits() {
        for kind in ["panics", "fails", "errs"] {
            let mut run = run(kind, Duration::from_secs(7));
            let started = Instant::now();
            let mut begins = Vec::new();
            for _ in 0..4 {
                assert_eq!(run.told.recv().await.unwrap(), format!("{kind} begins"));
                begins.push(started.elapsed().as_secs());
            }
            assert_eq!(begins, [7, 12, 37, 157], "{kind}");
            run.updates.send(plan("runs")).unwrap();
            assert_eq!(run.told.recv().await.unwrap(), "runs begins");
            assert_eq!(
                started.elapsed().as_secs(),
                164,
                "a new configuration is not made to wait for the old one's failures"
            );
            run.stop.cancel();
            run.task.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_configuration_has_ended_before_the_new_one_begins() {
        let mut run = run("one", Duration::ZERO);
        assert_eq!(run.told.recv().await.unwrap(), "one begins");
        run.updates.send(plan("two")).unwrap();
        assert_eq!(run.told.recv().await.unwrap(), "one ends");
        assert_eq!(run.told.recv().await.unwrap(), "two begins");
        drop(run.updates);
        assert_eq!(run.told.recv().await.unwrap(), "two ends");
        run.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_is_removed_while_it_waits_never_begins() {
        let mut run = run("one", Duration::from_secs(60));
        drop(run.updates);
        run.task.await.unwrap();
        assert_eq!(run.told.recv().await, None);
    }
}

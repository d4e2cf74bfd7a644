//! What the original says before services and their threads start.

use std::collections::BTreeSet;

use collector_config::ServicePlan;
use collector_egress::rate::GENERIC_NOTICE;
use tracing::info;

use super::{MAIN_THREAD, Process, ServiceThreads, span};

/// The steps that were taken for every service before it starts, in the original's words.
pub fn announce_inputs(services: &[ServicePlan]) {
    let _entered = span(Process::Input, MAIN_THREAD).entered();
    for service in services {
        info!("Validating service input config");
        info!("Running overriding rules");
        for (rule, key) in service.overrides.iter().enumerate() {
            info!("Overriding rule #{} - service key {key} takes the place of the collector's own setting", rule + 1);
        }
        info!("Validating the rate limiter config given by the user");
        if service.limiter.is_generic() {
            info!("{GENERIC_NOTICE}");
        }
        info!("Adding raw config to the collector store");
        info!("Running custom validation rules");
        info!("{} Finalizing the execution of init_variables()", ServiceThreads::of(service).puller);
    }
    let inputs: BTreeSet<_> =
        services.iter().map(|service| (ServiceThreads::of(service).input, service.period.as_secs())).collect();
    for (input, seconds) in inputs {
        info!("{input} - Starting thread (execution_period={seconds}s)");
    }
}

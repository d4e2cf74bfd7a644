//! What a service lets its component reach, one view per interface.

use std::sync::Arc;

use collector_model::Limits;
use collector_model::metrics::ServiceMetrics;

use crate::budget::TenantBudget;
use crate::host::config::SettingsView;
use crate::host::http::HttpView;
use crate::host::keyvalue::BucketView;
use crate::host::logging::LogView;
use crate::host::output::OutputView;

/// All that a component can reach for as long as its service runs.
pub struct Views {
    /// Through `wasi:http`: the API.
    pub http: HttpView,
    /// Through `wasi:keyvalue`: what lasts from one call to the next.
    pub bucket: BucketView,
    /// Through `devo:collector/output`: where events go.
    pub output: OutputView,
    /// Through `wasi:logging`: the log.
    pub log: LogView,
    /// Through `wasi:config`: its configuration.
    pub settings: SettingsView,
}

/// What the calls of one service share: what they may reach, what each may use, and where it is counted.
pub(crate) struct Context {
    pub(crate) views: Views,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<ServiceMetrics>,
    /// What the calls of its tenant may use together.
    pub(crate) budget: TenantBudget,
}

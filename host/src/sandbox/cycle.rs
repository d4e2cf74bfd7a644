//! The state of one call, and what its service grants it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use collector_delivery::{Outputs, RecordLetters};
use collector_egress::{ApiClient, rate::Kind, rate::Limiter};
use collector_model::{Identity, Limit, Limits, Table, metrics::ServiceMetrics};
use collector_state::Bucket;
use tracing::Span;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::clocks::{WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use super::breach::Breach;
use super::meter::Meter;
use crate::capabilities::config::ConfigurationView;
use crate::capabilities::http::Gate;
use crate::capabilities::keyvalue::KeyValueView;
use crate::capabilities::logging::LoggingView;
use crate::capabilities::output::OutputView;

/// What a service may reach, for as long as it runs.
pub struct Grant {
    /// What the service is known by.
    pub identity: Identity,
    pub api: ApiClient,
    /// What each request has to pass. It outlives the calls: what one has used up, the next can't use again.
    pub limiter: Limiter,
    pub bucket: Bucket,
    pub outputs: Outputs,
    /// Where records go that can't become events.
    pub dead_letters: RecordLetters,
    /// The only table that may be written to.
    pub table: Table,
    /// What the component reads as its configuration.
    pub settings: Arc<[(String, String)]>,
    pub limits: Limits,
    /// Where the component's log lines come from.
    pub span: Span,
    /// What is counted of the service.
    pub metrics: ServiceMetrics,
}

/// Everything that one call of a component owns. Dropped with it.
pub struct Cycle {
    grant: Arc<Grant>,
    handles: ResourceTable,
    clocks: WasiClocksCtx,
    http: WasiHttpCtx,
    gate: Gate,
    letters_told: AtomicBool,
    pub(super) meter: Meter,
}

impl Cycle {
    pub(super) fn new(grant: Arc<Grant>, kind: Kind, tick: Duration) -> Self {
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(grant.limits.handles);
        Self {
            handles,
            clocks: WasiClocksCtx::default(),
            http: WasiHttpCtx::new(),
            gate: Gate::new(grant.clone(), kind),
            letters_told: AtomicBool::new(false),
            meter: Meter::new(grant.limits, tick),
            grant,
        }
    }

    /// The limit that was reached, if one was.
    pub(super) fn breach(&self) -> Option<Breach> {
        let refused = self.gate.refused().map(|limit| Breach::Limit { limit, allowed: self.grant.limits });
        self.meter.breach().or(refused)
    }

    /// What the call has used so far of what is limited, as far as it is counted here.
    pub(super) fn used(&self) -> impl Iterator<Item = (Limit, u64)> {
        self.meter.used().into_iter().chain(self.gate.used())
    }

    /// Why a call failed with this error.
    pub(super) fn breach_behind(&mut self, error: &wasmtime::Error) -> Breach {
        self.breach().unwrap_or_else(|| self.meter.breach_behind(error))
    }

    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.handles
    }

    pub(super) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView { ctx: &mut self.clocks, table: &mut self.handles }
    }

    pub(super) fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.gate, table: &mut self.handles, ctx: &mut self.http }
    }

    pub(super) fn keyvalue(&mut self) -> KeyValueView<'_> {
        KeyValueView {
            bucket: &self.grant.bucket,
            handles: &mut self.handles,
            max_value_in_bytes: self.grant.limits.state_in_bytes,
            metrics: &self.grant.metrics,
        }
    }

    pub(super) fn config(&mut self) -> ConfigurationView<'_> {
        ConfigurationView { settings: &self.grant.settings }
    }

    pub(super) fn logging(&mut self) -> LoggingView<'_> {
        LoggingView { span: &self.grant.span, meter: &mut self.meter }
    }

    pub(super) fn output(&self) -> OutputView<'_> {
        OutputView {
            outputs: &self.grant.outputs,
            dead_letters: &self.grant.dead_letters,
            letters_told: &self.letters_told,
            table: &self.grant.table,
            metrics: &self.grant.metrics,
        }
    }
}

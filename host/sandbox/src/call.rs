//! The state of one call of a component.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use collector_egress::rate::Kind;
use collector_model::CallLimit;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::clocks::{WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::bindings::exports::devo::collector::service::Failure;
use crate::budget::CallMemory;
use crate::failed::Failed;
use crate::host::config::ConfigCall;
use crate::host::http::HttpCall;
use crate::host::keyvalue::KeyValueCall;
use crate::host::logging::LogCall;
use crate::host::output::OutputCall;
use crate::meter::Meter;
use crate::stopwatch::Stopwatch;
use crate::terminated::Terminated;
use crate::views::Context;

/// Everything that one call of a component owns. Dropped with it.
pub(crate) struct CallState {
    context: Arc<Context>,
    handles: ResourceTable,
    clocks: WasiClocksCtx,
    http: WasiHttpCtx,
    requests: HttpCall,
    letters_told: AtomicBool,
    memory: CallMemory,
    store_is_away: bool,
    pub(crate) meter: Meter,
}

impl CallState {
    pub(crate) fn new(context: Arc<Context>, kind: Kind, computed: Stopwatch, memory: CallMemory) -> Self {
        let Context { views, limits, metrics, .. } = &*context;
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(limits.handles);
        Self {
            handles,
            clocks: WasiClocksCtx::default(),
            http: WasiHttpCtx::new(),
            requests: HttpCall::new(views.http.clone(), *limits, metrics.clone(), kind, memory.clone()),
            letters_told: AtomicBool::new(false),
            store_is_away: false,
            meter: Meter::new(*limits, computed, memory.clone()),
            memory,
            context,
        }
    }

    /// Whether a limit was exceeded, and which.
    pub(crate) fn terminated(&self) -> Option<Terminated> {
        let allowed = self.context.limits;
        let refused = self.requests.refused().map(|exceeded| exceeded.terminated(allowed));
        self.meter.terminated().or(refused)
    }

    /// What the call has used so far of what is limited, as far as it is counted here.
    pub(crate) fn used(&self) -> impl Iterator<Item = (CallLimit, u64)> {
        self.meter.used().into_iter().chain(self.requests.used())
    }

    /// Why a call failed with this error.
    pub(crate) fn terminated_by(&mut self, error: &wasmtime::Error) -> Terminated {
        self.terminated().unwrap_or_else(|| self.meter.terminated_by(error))
    }

    /// What a component that has told of this failure could not do.
    pub(crate) fn failed(&self, failure: Failure) -> Failed {
        Failed { failure, store_is_away: self.store_is_away }
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.handles
    }

    pub(crate) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView { ctx: &mut self.clocks, table: &mut self.handles }
    }

    pub(crate) fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.requests, table: &mut self.handles, ctx: &mut self.http }
    }

    pub(crate) fn keyvalue(&mut self) -> KeyValueCall<'_> {
        let Context { views, limits, metrics, .. } = &*self.context;
        KeyValueCall {
            view: &views.bucket,
            handles: &mut self.handles,
            max_value_in_bytes: limits.state_in_bytes,
            metrics,
            memory: &self.memory,
            store_is_away: &mut self.store_is_away,
        }
    }

    pub(crate) fn config(&mut self) -> ConfigCall<'_> {
        ConfigCall(&self.context.views.settings)
    }

    pub(crate) fn logging(&mut self) -> LogCall<'_> {
        LogCall { view: &self.context.views.log, meter: &mut self.meter }
    }

    pub(crate) fn output(&self) -> OutputCall<'_> {
        let Context { views, metrics, .. } = &*self.context;
        OutputCall { view: &views.output, letters_told: &self.letters_told, metrics, memory: &self.memory }
    }
}

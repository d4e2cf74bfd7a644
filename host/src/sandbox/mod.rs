//! The sandbox: one compiled component, and a fresh instance with fresh limits for every call.
//!
//! Three scopes that are never mixed: [`Sandbox`] lives as long as the process, a [`Tenant`] as long as its service, a
//! `Cycle` as long as one call.

mod bindings;
mod breach;
mod cycle;
mod meter;
mod ticker;

use std::sync::Arc;

use tracing::Instrument;
use wasmtime::component::{Component, HasData, Linker, Resource};
use wasmtime::error::Context;
use wasmtime::{Config, Engine, Store, StoreContextMut};
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::p2::bindings::{clocks, io};
use wasmtime_wasi_http::WasiHttp;
use wasmtime_wasi_http::p2::bindings::http;

pub use bindings::exports::devo::collector::service::{Failure, Fault, Summary};
pub use bindings::{devo, wasi};
pub use breach::{Breach, Limit};
pub use cycle::Tenant;
pub use meter::Meter;

use crate::capabilities::http::body_error_code;
use crate::capabilities::{config, keyvalue, logging, output};
use bindings::{Implemented as Collector, ImplementedPre as CollectorPre};
use cycle::Cycle;
use ticker::Ticker;

/// The component that this program carries.
const BUNDLED: &[u8] = include_bytes!(env!("COLLECTOR_COMPONENT"));

/// A component, compiled and linked, from which instances are made.
pub struct Sandbox {
    pre: CollectorPre<Cycle>,
    ticker: Ticker,
}

/// What a call came to: the component's own answer, or the limit that ended it.
pub type Outcome<T> = Result<Result<T, Failure>, Breach>;

impl Sandbox {
    /// Compiles the bundled component. Must be called within a tokio runtime.
    pub fn bundled() -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.concurrency_support(false);
        config.wasm_component_model(true);
        let engine = Engine::new(&config).context("the WebAssembly engine can't start")?;
        let component = Component::new(&engine, BUNDLED).context("the bundled component can't be compiled")?;
        let pre = linker(&engine)
            .and_then(|linker| linker.instantiate_pre(&component))
            .and_then(CollectorPre::new)
            .context("the bundled component doesn't fit this program")?;
        Ok(Self { ticker: Ticker::start(engine), pre })
    }

    /// Calls `set-up`.
    pub async fn set_up(&self, tenant: &Arc<Tenant>) -> Outcome<()> {
        self.call(tenant, async |collector, store| collector.devo_collector_service().call_set_up(store).await).await
    }

    /// Calls `pre-pull`.
    pub async fn pre_pull(&self, tenant: &Arc<Tenant>) -> Outcome<()> {
        self.call(tenant, async |collector, store| collector.devo_collector_service().call_pre_pull(store).await).await
    }

    /// Calls `pull`.
    pub async fn pull(&self, tenant: &Arc<Tenant>) -> Outcome<Summary> {
        self.call(tenant, async |collector, store| collector.devo_collector_service().call_pull(store).await).await
    }

    async fn call<T>(
        &self,
        tenant: &Arc<Tenant>,
        export: impl AsyncFnOnce(&Collector, &mut Store<Cycle>) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Outcome<T> {
        let _ticking = self.ticker.tick();
        let mut store = Store::new(self.pre.engine(), Cycle::new(tenant.clone()));
        meter::apply(&tenant.limits, &mut store);
        // Epochs don't interrupt a host function, so the whole call has a time-out around it.
        let call = async {
            let collector = self.pre.instantiate_async(&mut store).await?;
            export(&collector, &mut store).await
        };
        let outcome = tokio::time::timeout(tenant.limits.wall, call.in_current_span()).await;
        match outcome {
            Ok(Ok(answer)) => store.data().breach().map_or(Ok(answer), Err),
            Ok(Err(error)) => Err(store.data_mut().breach_behind(&error)),
            Err(_) => Err(Breach::Limit { limit: Limit::Wall, allowed: tenant.limits }),
        }
    }
}

/// Offers what the world `collector` imports, and nothing more: a component that wants anything else can't be linked.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Cycle>> {
    let mut linker = Linker::new(engine);
    let options = http::types::LinkOptions::default();
    http::outgoing_handler::add_to_linker::<Cycle, WasiHttp>(&mut linker, Cycle::http)?;
    http::types::add_to_linker::<Cycle, WasiHttp>(&mut linker, &options, Cycle::http)?;
    tell_errors_of_bodies(&mut linker)?;
    clocks::wall_clock::add_to_linker::<Cycle, WasiClocks>(&mut linker, Cycle::clocks)?;
    clocks::monotonic_clock::add_to_linker::<Cycle, WasiClocks>(&mut linker, Cycle::clocks)?;
    io::error::add_to_linker::<Cycle, Table>(&mut linker, Cycle::table)?;
    io::poll::add_to_linker::<Cycle, Table>(&mut linker, Cycle::table)?;
    io::streams::add_to_linker::<Cycle, Table>(&mut linker, Cycle::table)?;
    wasi::keyvalue::store::add_to_linker::<Cycle, keyvalue::KeyValue>(&mut linker, Cycle::keyvalue)?;
    wasi::config::store::add_to_linker::<Cycle, config::Configuration>(&mut linker, Cycle::config)?;
    wasi::logging::logging::add_to_linker::<Cycle, logging::Logging>(&mut linker, Cycle::logging)?;
    devo::collector::output::add_to_linker::<Cycle, output::Output>(&mut linker, Cycle::output)?;
    Ok(linker)
}

/// Takes the place of wasmtime-wasi-http's `http-error-code`, which looks for another type than the one that its streams
/// fail with: a component would never learn that an answer was too large or too slow.
fn tell_errors_of_bodies(linker: &mut Linker<Cycle>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance("wasi:http/types@0.2.12")?.func_wrap(
        "http-error-code",
        |mut store: StoreContextMut<'_, Cycle>, (error,): (Resource<io::error::Error>,)| {
            Ok((body_error_code(store.data_mut().table().get(&error)?),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The handles of one instance, as wasi:io sees them.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut wasmtime::component::ResourceTable;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that the world `collector` lets a component import.
    const WORLD: [&str; 11] = [
        "devo:collector/output@1.0.0",
        "wasi:clocks/monotonic-clock@0.2.0",
        "wasi:clocks/wall-clock@0.2.0",
        "wasi:config/store@0.2.0-rc.1",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:http/types@0.2.0",
        "wasi:io/error@0.2.0",
        "wasi:io/poll@0.2.0",
        "wasi:io/streams@0.2.0",
        "wasi:keyvalue/store@0.2.0-draft",
        "wasi:logging/logging@0.1.0-draft",
    ];

    #[test]
    fn the_bundled_component_imports_its_world_and_exports_the_service() {
        let engine = Engine::default();
        let component = Component::new(&engine, BUNDLED).unwrap().component_type();
        let mut imports: Vec<_> = component.imports(&engine).map(|(name, _)| name.to_owned()).collect();
        imports.sort();
        assert_eq!(imports, WORLD);
        let exports: Vec<_> = component.exports(&engine).map(|(name, _)| name.to_owned()).collect();
        assert_eq!(exports, ["devo:collector/service@1.0.0"]);
    }
}

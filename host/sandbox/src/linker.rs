//! What components find when they are linked: the imports of the world `collector`.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::p2::bindings::{clocks, io};
use wasmtime_wasi_http::WasiHttp;
use wasmtime_wasi_http::p2::bindings::http;

use crate::bindings::wasi;
use crate::call::CallState;
use crate::host::http::body_error_code;
use crate::host::{config, keyvalue, logging, output};

/// Offers what the world `collector` imports, and nothing more: a component that wants anything else can't be
/// linked.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    let options = http::types::LinkOptions::default();
    http::outgoing_handler::add_to_linker::<CallState, WasiHttp>(&mut linker, CallState::http)?;
    http::types::add_to_linker::<CallState, WasiHttp>(&mut linker, &options, CallState::http)?;
    tell_errors_of_bodies(&mut linker)?;
    clocks::wall_clock::add_to_linker::<CallState, WasiClocks>(&mut linker, CallState::clocks)?;
    clocks::monotonic_clock::add_to_linker::<CallState, WasiClocks>(&mut linker, CallState::clocks)?;
    io::error::add_to_linker::<CallState, Table>(&mut linker, CallState::table)?;
    io::poll::add_to_linker::<CallState, Table>(&mut linker, CallState::table)?;
    io::streams::add_to_linker::<CallState, Table>(&mut linker, CallState::table)?;
    wasi::keyvalue::store::add_to_linker::<CallState, keyvalue::KeyValue>(&mut linker, CallState::keyvalue)?;
    wasi::config::store::add_to_linker::<CallState, config::Config>(&mut linker, CallState::config)?;
    logging::add_to_linker(&mut linker)?;
    output::add_to_linker(&mut linker, CallState::output)?;
    Ok(linker)
}

/// Takes the place of wasmtime-wasi-http's `http-error-code`, which looks for another type than the one that
/// its streams fail with: a component would never learn that an answer was too large or too slow.
fn tell_errors_of_bodies(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance("wasi:http/types@0.2.12")?.func_wrap(
        "http-error-code",
        |mut store: StoreContextMut<'_, CallState>, (error,): (Resource<io::error::Error>,)| {
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

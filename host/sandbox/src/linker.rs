//! What components find when they are linked: the imports of the world `collector`.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::p2::bindings::{clocks, io};
use wasmtime_wasi_http::p2::bindings::http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView};

use crate::bindings::wasi;
use crate::call::CallState;
use crate::host::http::body_error_code;
use crate::host::{config, keyvalue, logging, output};

/// Offers what the world `collector` imports, and nothing more: a component that wants anything else can't be
/// linked.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    http::outgoing_handler::add_to_linker::<CallState, WasiHttp>(&mut linker, CallState::http)?;
    add_http_types(&mut linker, CallState::http)?;
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

/// Offers wasi:http/types as wasmtime-wasi-http has it, but for `http-error-code`: its own looks for another
/// type than the one that its streams fail with, and a component would never learn that an answer was too
/// large or too slow.
fn add_http_types<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> WasiHttpCtxView<'_>,
) -> wasmtime::Result<()> {
    http::types::add_to_linker::<T, WasiHttp>(linker, &http::types::LinkOptions::default(), view)?;
    let name = name_of_http_types(linker.engine(), view)?;
    linker.allow_shadowing(true);
    linker.instance(&name)?.func_wrap(
        HTTP_ERROR_CODE,
        move |mut store: StoreContextMut<'_, T>, (error,): (Resource<io::error::Error>,)| {
            Ok((body_error_code(view(store.data_mut()).table.get(&error)?),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The function of wasi:http/types that has another implementation here.
const HTTP_ERROR_CODE: &str = "http-error-code";

/// The name under which wasmtime-wasi-http offers wasi:http/types. Its version changes with the library,
/// which does not tell it; but a linker that has the function under a name takes no second one.
fn name_of_http_types<T: Send + 'static>(
    engine: &Engine,
    view: fn(&mut T) -> WasiHttpCtxView<'_>,
) -> wasmtime::Result<String> {
    let mut linker = Linker::<T>::new(engine);
    http::types::add_to_linker::<T, WasiHttp>(&mut linker, &http::types::LinkOptions::default(), view)?;
    for patch in 0..=u8::MAX {
        let name = format!("wasi:http/types@0.2.{patch}");
        if linker.instance(&name)?.func_wrap(HTTP_ERROR_CODE, |_, (): ()| Ok(())).is_err() {
            return Ok(name);
        }
    }
    wasmtime::bail!("wasmtime-wasi-http has no wasi:http/types of version 0.2 with {HTTP_ERROR_CODE}")
}

/// The handles of one instance, as wasi:io sees them.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut wasmtime::component::ResourceTable;
}

#[cfg(test)]
mod tests {
    use wasmtime::Store;
    use wasmtime::component::{Component, ResourceTable};
    use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

    use super::*;

    type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;

    /// What wasi:http needs of a call, without one.
    #[derive(Default)]
    struct Bare {
        handles: ResourceTable,
        http: WasiHttpCtx,
        requests: NoRequests,
    }

    #[derive(Default)]
    struct NoRequests;

    impl WasiHttpHooks for NoRequests {
        fn send_request(
            &mut self,
            _request: ::http::Request<WasiBody>,
            _options: Option<RequestOptions>,
            _processed: Worker,
        ) -> Box<dyn Future<Output = Result<(::http::Response<WasiBody>, Worker), Error>> + Send> {
            Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
        }
    }

    fn view(call: &mut Bare) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut call.requests, table: &mut call.handles, ctx: &mut call.http }
    }

    /// Whichever version the library has, a component that is made for the world's has to get this function.
    #[test]
    fn a_component_learns_from_the_error_of_a_stream_that_an_answer_was_too_large() {
        let engine = Engine::default();
        let component = Component::new(&engine, wat::parse_str(include_str!("http_error_code.wat")).unwrap()).unwrap();
        let mut linker = Linker::new(&engine);
        io::error::add_to_linker::<Bare, Table>(&mut linker, |call| &mut call.handles).unwrap();
        add_http_types(&mut linker, view).unwrap();
        let mut store = Store::new(&engine, Bare::default());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let size = instance.get_typed_func::<(Resource<io::error::Error>,), (u64,)>(&mut store, "size").unwrap();
        for (error, told) in [(Error::HttpResponseBodySize(Some(4_711)), 4_711), (Error::HttpRequestDenied, 0)] {
            let handle = store.data_mut().handles.push(wasmtime::Error::from(error)).unwrap();
            assert_eq!(size.call(&mut store, (handle,)).unwrap(), (told,));
        }
    }
}

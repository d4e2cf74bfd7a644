//! Why the host ended a call: a limit exceeded, or a trap.

use std::fmt;

use collector_model::{CallLimit, Limits};
use thiserror::Error;
use wasmtime::component::ResourceTableError;

use crate::budget::NoMemory;

/// A call that the host terminated. It costs the tenant this call and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Terminated {
    /// The component used too much of something.
    #[error("the component {}", describe(*.limit, .allowed))]
    LimitExceeded {
        /// Of what.
        limit: CallLimit,
        /// All limits of the call.
        allowed: Limits,
    },
    /// The host had no memory left for it, or others needed what it had.
    #[error("the component could not go on: {NoMemory}")]
    NoMemory,
    /// It failed by itself.
    #[error("the component failed: {0}")]
    Trap(String),
}

/// Errors of the engine that mean a limit was reached, and for which it has no public type. Tests below make
/// the engine produce each of them, so that one whose text changes is found when the engine is upgraded.
const ENGINE_ERRORS: [(&str, CallLimit); 2] =
    [("fuel allocated for hostcalls", CallLimit::HostCall), ("handle limit exceeded", CallLimit::Handles)];

/// The limit behind an error of the engine.
pub(crate) fn limit_behind(error: &wasmtime::Error) -> Option<CallLimit> {
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Some(CallLimit::Handles);
    }
    let text = error.root_cause().to_string();
    ENGINE_ERRORS.into_iter().find_map(|(part, limit)| text.contains(part).then_some(limit))
}

/// What a component did that its limit does not allow.
fn describe(limit: CallLimit, allowed: &Limits) -> impl fmt::Display {
    let what = match limit {
        CallLimit::Memory => format!("used more than {} bytes of memory", allowed.memory_in_bytes),
        CallLimit::Tables => format!("used more than {} elements of tables", allowed.table_elements),
        CallLimit::Cpu => format!("computed for more than {:?}", allowed.cpu),
        CallLimit::Wall => format!("took longer than {:?}", allowed.wall),
        CallLimit::HostCall => format!("handed over more than {} bytes at once", allowed.host_call_in_bytes),
        CallLimit::Handles => format!("had more than {} handles open", allowed.handles),
        CallLimit::Requests => format!("made more than {} requests", allowed.requests),
        CallLimit::ConcurrentRequests => format!("made more than {} requests at once", allowed.concurrent_requests),
        CallLimit::LogLines => format!("wrote more than {} lines to the log", allowed.log_lines),
    };
    format!("{what} (limits.{})", limit.key())
}

#[cfg(test)]
mod tests {
    use wasmtime::component::{Component, Linker, Resource, ResourceTable, ResourceType};
    use wasmtime::{Engine, Store};

    use super::*;

    /// What a component of these tests may hand over at once, and how many handles it may have open.
    const BYTES: usize = 1_000;
    const HANDLES: usize = 3;

    /// Something that a component can have a handle of.
    struct Thing;

    /// The limit behind the error of a component whose `run` has this body. It can call `take` with bytes,
    /// `make` for a handle with an entry in the table of the host, `mint` for one without, and `look` with a
    /// handle.
    fn limit_of(body: &str) -> Option<CallLimit> {
        let component = format!(
            r#"(component
                (import "host" (instance $host
                    (export "thing" (type $thing (sub resource)))
                    (export "take" (func (param "bytes" (list u8))))
                    (export "make" (func (result (own $thing))))
                    (export "mint" (func (result (own $thing))))
                    (export "look" (func (param "thing" (borrow $thing))))))
                (core module $memory (memory (export "memory") 1))
                (core instance $memory (instantiate $memory))
                (core func $take (canon lower (func $host "take") (memory (core memory $memory "memory"))))
                (core func $make (canon lower (func $host "make")))
                (core func $mint (canon lower (func $host "mint")))
                (core func $look (canon lower (func $host "look")))
                (core module $code
                    (import "" "take" (func $take (param i32 i32)))
                    (import "" "make" (func $make (result i32)))
                    (import "" "mint" (func $mint (result i32)))
                    (import "" "look" (func $look (param i32)))
                    (func (export "run") {body}))
                (core instance $code (instantiate $code (with "" (instance
                    (export "take" (func $take)) (export "make" (func $make))
                    (export "mint" (func $mint)) (export "look" (func $look))))))
                (func (export "run") (canon lift (core func $code "run"))))"#
        );
        let engine = Engine::default();
        let component = Component::new(&engine, wat::parse_str(component).unwrap()).unwrap();
        let mut linker = Linker::<ResourceTable>::new(&engine);
        let mut host = linker.instance("host").unwrap();
        host.resource("thing", ResourceType::host::<Thing>(), |_, _| Ok(())).unwrap();
        host.func_wrap("take", |_, (_,): (Vec<u8>,)| Ok(())).unwrap();
        host.func_wrap("make", |mut store, (): ()| Ok((store.data_mut().push(Thing)?,))).unwrap();
        host.func_wrap("mint", |_, (): ()| Ok((Resource::<Thing>::new_own(0),))).unwrap();
        host.func_wrap("look", |_, (_,): (Resource<Thing>,)| Ok(())).unwrap();
        let mut store = Store::new(&engine, ResourceTable::new());
        store.data_mut().set_max_capacity(HANDLES);
        store.set_hostcall_fuel(BYTES);
        store.set_max_component_handles(HANDLES);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        let error = run.call(&mut store, ()).unwrap_err();
        limit_behind(&error)
    }

    #[test]
    fn too_many_bytes_in_one_call_of_the_host_are_recognised() {
        let hand_over = |bytes: usize| format!("(call $take (i32.const 0) (i32.const {bytes})) unreachable");
        assert_eq!(limit_of(&hand_over(BYTES)), None, "a trap is no limit");
        assert_eq!(limit_of(&hand_over(BYTES + 1)), Some(CallLimit::HostCall));
    }

    #[test]
    fn more_handles_than_the_table_of_the_call_has_room_for_are_recognised() {
        assert_eq!(limit_of("(loop $again (drop (call $make)) (br $again))"), Some(CallLimit::Handles));
    }

    #[test]
    fn more_handles_than_the_engine_allows_are_recognised() {
        assert_eq!(limit_of("(loop $again (drop (call $mint)) (br $again))"), Some(CallLimit::Handles));
    }

    #[test]
    fn a_handle_lent_beyond_what_the_engine_allows_is_recognised() {
        let mint = "(drop (call $mint)) ";
        assert_eq!(limit_of(&format!("{mint} (call $look (call $mint)) unreachable")), None);
        assert_eq!(limit_of(&format!("{mint} {mint} (call $look (call $mint))")), Some(CallLimit::Handles));
    }
}

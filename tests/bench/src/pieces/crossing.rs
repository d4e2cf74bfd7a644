//! The crossing of the boundary alone: a component that hands over events which lie ready in its memory, to a
//! service without outputs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use collector_delivery::{Outputs, RecordLetters};
use collector_files::RootedPath;
use collector_model::metrics::ServiceMetrics;
use collector_sandbox::CallMemory;
use collector_sandbox::host::output::{OutputCall, OutputView, add_to_linker};
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

use super::Repetition;

/// Where in memory the list of events begins; the table's name is at 16, the answer at 0.
const LIST: usize = 1024;

/// Bytes of an event in the list: 8 for seconds, 8 for nanoseconds, 4 for where its body is, 4 for how long
/// it is (the canonical ABI of the component model).
const ENTRY: usize = 24;

struct Service {
    output: OutputView,
    letters_told: AtomicBool,
    metrics: ServiceMetrics,
    memory: CallMemory,
}

/// A repetition hands over these events.
pub(super) fn crossing(events: &[Vec<u8>]) -> wasmtime::Result<Repetition> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.concurrency_support(false);
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, wat::parse_str(component(events))?)?;
    let mut linker = Linker::<Service>::new(&engine);
    add_to_linker(&mut linker, |service| OutputCall {
        view: &service.output,
        letters_told: &service.letters_told,
        metrics: &service.metrics,
        memory: &service.memory,
    })?;
    let table = sandbox::ALERTS_TABLE.parse()?;
    let service = Service {
        output: OutputView {
            outputs: Arc::new(Outputs::new(Vec::new())),
            // None is handed over.
            dead_letters: RecordLetters {
                file: RootedPath::of_operator("letters"),
                service: String::new(),
                required: true,
            },
            table,
        },
        letters_told: AtomicBool::new(false),
        metrics: ServiceMetrics::default(),
        memory: CallMemory::default(),
    };
    let mut store = Store::new(&engine, service);
    store.set_epoch_deadline(u64::MAX);
    let runtime = Arc::new(Runtime::new()?);
    let instance = runtime.block_on(linker.instantiate_async(&mut store, &component))?;
    let send = instance.get_typed_func::<(), (u32,)>(&mut store, "run")?;
    Ok(Box::new(move || {
        let outcome = runtime.block_on(send.call_async(&mut store, ()));
        assert!(matches!(outcome, Ok((0,))), "the events are taken");
    }))
}

fn component(events: &[Vec<u8>]) -> String {
    let (mut list, mut bodies) = (Vec::new(), Vec::new());
    let first = LIST + events.len() * ENTRY;
    for body in events {
        list.extend(1_700_000_000_u64.to_le_bytes());
        list.extend([0; 8]);
        list.extend(((first + bodies.len()) as u32).to_le_bytes());
        list.extend((body.len() as u32).to_le_bytes());
        bodies.extend_from_slice(body);
    }
    let pages = (first + bodies.len()).div_ceil(65_536);
    let data = [list, bodies].concat().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    });
    let (table, count) = (sandbox::ALERTS_TABLE, events.len());
    let length = table.len();
    format!(
        r#"(component
            (import "wasi:clocks/wall-clock@0.2.0" (instance $clock
                (type $t (record (field "seconds" u64) (field "nanoseconds" u32)))
                (export "datetime" (type (eq $t)))))
            (alias export $clock "datetime" (type $datetime))
            (import "devo:collector/output@2.0.0" (instance $output
                (alias outer 1 $datetime (type $t))
                (export "datetime" (type $d (eq $t)))
                (type $e (record (field "time" $d) (field "body" (list u8))))
                (export "event" (type $event (eq $e)))
                (type $r (variant (case "table-refused" string) (case "event-refused" u32) (case "unconfirmed" string)))
                (export "error" (type $error (eq $r)))
                (export "send" (func (param "table" string) (param "events" (list $event)) (result (result (error $error)))))))
            (core module $memory
                (memory (export "memory") {pages})
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (data (i32.const 16) "{table}")
                (data (i32.const {LIST}) "{data}"))
            (core instance $m (instantiate $memory))
            (core func $send (canon lower (func $output "send") (memory (core memory $m "memory"))
                (realloc (core func $m "realloc"))))
            (core module $code
                (import "output" "send" (func $send (param i32 i32 i32 i32 i32)))
                (import "memory" "memory" (memory 1))
                (func (export "run") (result i32)
                    (call $send (i32.const 16) (i32.const {length}) (i32.const {LIST}) (i32.const {count}) (i32.const 0))
                    (i32.load8_u (i32.const 0))))
            (core instance $c (instantiate $code
                (with "output" (instance (export "send" (func $send))))
                (with "memory" (instance $m))))
            (func (export "run") (result u32) (canon lift (core func $c "run"))))"#
    )
}

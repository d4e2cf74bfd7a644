//! Memory that instances take over from those before them. An instance is new for every call and finds its
//! memory as it has to be, for the engine clears what the one before has written; but a page that the system
//! has given once needs no fault when it is touched again, and these faults were an eighth of what a call
//! costs.

use collector_model::Limits;
use wasmtime::{Enabled, PoolingAllocationConfig};

use crate::meter::MAX_ITEMS;

/// Calls of a service that may be under way at once: one of its set-up, and one of its puller.
const CALLS: usize = 2;

/// What an instance leaves to the next one at the most. A chunk of a long history takes less than six
/// megabytes.
const KEPT_IN_BYTES: usize = 8 << 20;

/// What the engine notes of an instance, which grows with the component. It is taken as it is needed.
const NOTES_IN_BYTES: usize = 64 << 20;

/// Room for the calls of services that have these limits. It is address space, of which an instance takes the
/// more the more memories it may have: where there are many services it can't be had.
pub(crate) fn pool(limits: &[Limits]) -> PoolingAllocationConfig {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let calls = limits.len().max(1) * CALLS;
    let (items, each) = (number(calls * MAX_ITEMS), number(MAX_ITEMS));
    let elements = limits.iter().map(|limits| limits.table_elements).max().unwrap_or_default();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(number(calls)).total_stacks(number(calls));
    pool.total_core_instances(items).total_memories(items).total_tables(items);
    pool.max_memories_per_module(each).max_tables_per_module(each).table_elements(elements);
    pool.max_core_instance_size(NOTES_IN_BYTES).max_component_instance_size(NOTES_IN_BYTES);
    pool.linear_memory_keep_resident(KEPT_IN_BYTES).pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine, Instance, InstanceAllocationStrategy, Module, Store};

    use super::*;

    #[test]
    fn an_instance_finds_nothing_of_the_one_before_it() {
        const WRITES_ALL_OF_ITS_MEMORY: &str = r#"(module
            (memory 1 40)
            (data (i32.const 8) "first")
            (func (export "sum") (result i64) (local $at i32) (local $sum i64)
                (drop (memory.grow (i32.const 39)))
                (loop $next
                    (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
                    (i64.store (local.get $at) (i64.const -1))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if $next (i32.lt_u (local.get $at) (i32.const 2621440))))
                (local.get $sum)))"#;
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(&[Limits::default()])));
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, wat::parse_str(WRITES_ALL_OF_ITS_MEMORY).unwrap()).unwrap();
        for _ in 0..5 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let sum = instance.get_typed_func::<(), i64>(&mut store, "sum").unwrap().call(&mut store, ()).unwrap();
            assert_eq!(sum, i64::from_le_bytes(*b"first\0\0\0"));
        }
    }
}

//! Fuzzes the property of the same name in `host/state/src/properties.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| collector_state::properties::redis_answer(input));

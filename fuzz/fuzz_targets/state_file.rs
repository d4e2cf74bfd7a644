//! Fuzzes the law of the same name in `host/src/state/laws.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| devo_collector::state::laws::state_file(input));

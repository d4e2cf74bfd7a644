//! Fuzzes the law of the same name in `host/src/config/laws.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| devo_collector::config::laws::config(input));

//! Fuzzes the property of the same name in `guest/src/properties.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cloudsek_xvigil::properties::answer(input));

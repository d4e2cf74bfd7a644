//! Fuzzes the property of the same name in `host/egress/src/properties.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| collector_egress::properties::gzip(input));

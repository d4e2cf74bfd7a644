//! Fuzzes the property of the same name in `host/delivery/src/tls/properties.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| collector_delivery::properties::certificates(input));

//! `wasi:config/store@0.2.0-rc.1` on a platform that has `0.2.0-draft-2024-09-27`, which is Spin.
//!
//! Spin's variables have no dot in their names, so the `request.` of a setting is written `request_` there,
//! and `request.time_filter.` is `request_time_filter_`.

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg_attr(not(any(test, target_arch = "wasm32")), expect(dead_code, reason = "for the component alone"))]
mod names;

//! The component that this program carries. `build.rs` finds it.

/// Its bytes.
pub const BUNDLED: &[u8] = include_bytes!(env!("COLLECTOR_COMPONENT"));

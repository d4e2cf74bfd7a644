//! What a component can reach, one module per interface that its world imports.
//!
//! Each has a view, which is what the service lets the component reach through that interface, and lives as
//! long as the service; and what one call of the component makes of it, which translates between the
//! component's terms and the crates that do the work. wasi:clocks and wasi:io are the engine's own.

pub mod config;
pub mod http;
pub mod keyvalue;
pub mod logging;
pub mod output;

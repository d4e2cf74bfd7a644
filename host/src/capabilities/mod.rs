//! What a component can reach, one module per interface that its world imports.
//!
//! Each has a view that borrows from the tenant just what the interface needs, and translates between the component's terms
//! and the modules that do the work. wasi:clocks and wasi:io are the engine's own.

pub mod config;
pub mod http;
pub mod keyvalue;
pub mod logging;
pub mod output;

//! A collector component that misbehaves in the way that its setting `behaviour` names.
//!
//! On the tests' side this crate is the list of the ways: a test matches on all of them, so that one without
//! a test does not compile.

mod behaviour;
#[cfg(target_arch = "wasm32")]
mod component;

pub use behaviour::Behaviour;

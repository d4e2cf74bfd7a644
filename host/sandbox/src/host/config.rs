//! `wasi:config/store`: the settings of the service, from the configuration file. No secret is among them.

use std::sync::Arc;

use wasmtime::component::HasData;

use crate::bindings::wasi::config::store::{Error, Host};

/// What a component reads as its configuration: names and values.
pub struct SettingsView(pub Arc<[(String, String)]>);

/// Marks the interface in the linker.
pub(crate) struct Config;

impl HasData for Config {
    type Data<'a> = ConfigCall<'a>;
}

/// The settings that one call reads.
pub(crate) struct ConfigCall<'a>(pub(crate) &'a SettingsView);

impl Host for ConfigCall<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(Ok(self.0.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        Ok(Ok(self.0.0.to_vec()))
    }
}

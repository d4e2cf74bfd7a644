//! `wasi:config/store`: the settings of the service, from the configuration file. No secret is among them.

use wasmtime::component::HasData;

use crate::sandbox::wasi::config::store::{Error, Host};

/// Marks the view in the linker.
pub struct Configuration;

impl HasData for Configuration {
    type Data<'a> = ConfigurationView<'a>;
}

/// The settings that the component reads.
pub struct ConfigurationView<'a> {
    pub settings: &'a [(String, String)],
}

impl Host for ConfigurationView<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(Ok(self.settings.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        Ok(Ok(self.settings.to_vec()))
    }
}

//! Binds the names to the two interfaces.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/drafts/config", "../../../wit"],
        inline: "
            package devo:adapters;
            world config-draft {
                import wasi:config/store@0.2.0-draft-2024-09-27;
                export wasi:config/store@0.2.0-rc.1;
            }
        ",
        generate_all,
    });
}

use crate::names::{setting, variable};
use bindings::exports::wasi::config0_2_0_rc_1::store::{Error, Guest};
use bindings::wasi::config0_2_0_draft_2024_09_27::store as platform;

struct Config;

bindings::export!(Config with_types_in bindings);

impl Guest for Config {
    fn get(key: String) -> Result<Option<String>, Error> {
        platform::get(&variable(&key)).map_err(error)
    }

    fn get_all() -> Result<Vec<(String, String)>, Error> {
        let all = platform::get_all().map_err(error)?;
        Ok(all.into_iter().map(|(name, value)| (setting(&name), value)).collect())
    }
}

fn error(error: platform::Error) -> Error {
    match error {
        platform::Error::Upstream(text) => Error::Upstream(text),
        platform::Error::Io(text) => Error::Io(text),
    }
}

//! A bucket with a name, for platforms such as wasmCloud whose stores have no nameless one: where the
//! collector opens the empty name, this opens what the setting `bucket` says, or `cloudsek-xvigil`.
#![cfg(target_arch = "wasm32")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package devo:adapters;
            world keyvalue-bucket {
                import wasi:config/store@0.2.0-rc.1;
                import wasi:keyvalue/store@0.2.0-draft;
                export wasi:keyvalue/store@0.2.0-draft;
            }
        ",
        generate_all,
    });
}

#[path = "../../keyvalue.rs"]
mod keyvalue;

use bindings::exports::wasi::keyvalue::store::{Bucket, Error, Guest, GuestBucket, KeyResponse};
use bindings::wasi::config::store as config;
use bindings::wasi::keyvalue::store as platform;
use keyvalue::{Store, error};

bindings::export!(Store with_types_in bindings);

const DEFAULT_NAME: &str = "cloudsek-xvigil";

fn name_of(identifier: String) -> Result<String, Error> {
    if !identifier.is_empty() {
        return Ok(identifier);
    }
    let name = config::get("bucket").map_err(|error| match error {
        config::Error::Upstream(text) | config::Error::Io(text) => Error::Other(text),
    })?;
    Ok(name.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_NAME.to_owned()))
}

fn list_keys(bucket: &platform::Bucket, cursor: Option<u64>) -> Result<KeyResponse, Error> {
    let platform::KeyResponse { keys, cursor } = bucket.list_keys(cursor).map_err(error)?;
    Ok(KeyResponse { keys, cursor })
}

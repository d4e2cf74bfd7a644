//! A bucket with a name, for platforms such as wasmCloud whose stores have no nameless one: where the collector opens the empty
//! name, this opens what the setting `bucket` says, or `cloudsek-xvigil`.
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

use bindings::exports::wasi::keyvalue::store::{Bucket, Error, Guest, GuestBucket, KeyResponse};
use bindings::wasi::config::store as config;
use bindings::wasi::keyvalue::store as platform;

const DEFAULT_NAME: &str = "cloudsek-xvigil";

struct Store;

struct Opened(platform::Bucket);

bindings::export!(Store with_types_in bindings);

impl Guest for Store {
    type Bucket = Opened;

    fn open(identifier: String) -> Result<Bucket, Error> {
        let name = if identifier.is_empty() { name()? } else { identifier };
        platform::open(&name).map(|bucket| Bucket::new(Opened(bucket))).map_err(error)
    }
}

impl GuestBucket for Opened {
    fn get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(&key).map_err(error)
    }

    fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.0.set(&key, &value).map_err(error)
    }

    fn delete(&self, key: String) -> Result<(), Error> {
        self.0.delete(&key).map_err(error)
    }

    fn exists(&self, key: String) -> Result<bool, Error> {
        self.0.exists(&key).map_err(error)
    }

    fn list_keys(&self, cursor: Option<u64>) -> Result<KeyResponse, Error> {
        let platform::KeyResponse { keys, cursor } = self.0.list_keys(cursor).map_err(error)?;
        Ok(KeyResponse { keys, cursor })
    }
}

fn name() -> Result<String, Error> {
    let name = config::get("bucket").map_err(|error| match error {
        config::Error::Upstream(text) | config::Error::Io(text) => Error::Other(text),
    })?;
    Ok(name.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_NAME.to_owned()))
}

fn error(error: platform::Error) -> Error {
    match error {
        platform::Error::NoSuchStore => Error::NoSuchStore,
        platform::Error::AccessDenied => Error::AccessDenied,
        platform::Error::Other(text) => Error::Other(text),
    }
}

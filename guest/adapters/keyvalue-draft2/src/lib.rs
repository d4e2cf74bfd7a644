//! `wasi:keyvalue/store@0.2.0-draft` on a platform that has `0.2.0-draft2`, such as Spin.
//!
//! Draft 2 differs in the cursor of `list-keys`, which is text there and a number here. A collector lists no keys, so a
//! cursor that is no number is an error and not a page that would be lost in silence. The bucket that the collector opens by
//! the empty name is the one that such platforms call `default`.
#![cfg(target_arch = "wasm32")]

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/drafts/keyvalue", "../../../wit"],
        inline: "
            package devo:adapters;
            world keyvalue-draft2 {
                import wasi:keyvalue/store@0.2.0-draft2;
                export wasi:keyvalue/store@0.2.0-draft;
            }
        ",
        generate_all,
    });
}

use bindings::exports::wasi::keyvalue0_2_0_draft::store::{Bucket, Error, Guest, GuestBucket, KeyResponse};
use bindings::wasi::keyvalue0_2_0_draft2::store as platform;

struct Store;

struct Opened(platform::Bucket);

bindings::export!(Store with_types_in bindings);

impl Guest for Store {
    type Bucket = Opened;

    fn open(identifier: String) -> Result<Bucket, Error> {
        let name = if identifier.is_empty() { "default" } else { &identifier };
        platform::open(name).map(|bucket| Bucket::new(Opened(bucket))).map_err(error)
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
        let cursor = cursor.map(|number| number.to_string());
        let platform::KeyResponse { keys, cursor } = self.0.list_keys(cursor.as_deref()).map_err(error)?;
        let number = |text: String| text.parse().map_err(|_| Error::Other("the cursor is no number".to_owned()));
        Ok(KeyResponse { keys, cursor: cursor.map(number).transpose()? })
    }
}

fn error(error: platform::Error) -> Error {
    match error {
        platform::Error::NoSuchStore => Error::NoSuchStore,
        platform::Error::AccessDenied => Error::AccessDenied,
        platform::Error::Other(text) => Error::Other(text),
    }
}

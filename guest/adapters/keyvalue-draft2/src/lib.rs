//! `wasi:keyvalue/store@0.2.0-draft` on a platform that has `0.2.0-draft2`, such as Spin.
//!
//! Draft 2 differs in the cursor of `list-keys`, which is text there and a number here. A collector lists no
//! keys, so a cursor that is no number is an error and not a page that would be lost in silence. The bucket
//! that the collector opens by the empty name is the one that such platforms call `default`.
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

#[path = "../../keyvalue.rs"]
mod keyvalue;

use bindings::exports::wasi::keyvalue0_2_0_draft::store::{Bucket, Error, Guest, GuestBucket, KeyResponse};
use bindings::wasi::keyvalue0_2_0_draft2::store as platform;
use keyvalue::{Store, error};

bindings::export!(Store with_types_in bindings);

fn name_of(identifier: String) -> Result<String, Error> {
    Ok(if identifier.is_empty() { "default".to_owned() } else { identifier })
}

fn list_keys(bucket: &platform::Bucket, cursor: Option<u64>) -> Result<KeyResponse, Error> {
    let cursor = cursor.map(|number| number.to_string());
    let platform::KeyResponse { keys, cursor } = bucket.list_keys(cursor.as_deref()).map_err(error)?;
    let number = |text: String| text.parse().map_err(|_| Error::Other("the cursor is no number".to_owned()));
    Ok(KeyResponse { keys, cursor: cursor.map(number).transpose()? })
}

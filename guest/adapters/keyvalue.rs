//! What the adapters of key-value stores have in common: each call is passed on, its errors are the same. A
//! draft's own `Bucket`, `Error` and so on are what the including file calls them; how a bucket is named and
//! its keys are listed is left to it.

use super::{Bucket, Error, Guest, GuestBucket, KeyResponse, list_keys, name_of, platform};

/// The store, as the collector sees it.
pub struct Store;

/// A bucket of the platform's.
pub struct Opened(platform::Bucket);

impl Guest for Store {
    type Bucket = Opened;

    fn open(identifier: String) -> Result<Bucket, Error> {
        platform::open(&name_of(identifier)?).map(|bucket| Bucket::new(Opened(bucket))).map_err(error)
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
        list_keys(&self.0, cursor)
    }
}

/// An error of the platform's.
pub fn error(error: platform::Error) -> Error {
    match error {
        platform::Error::NoSuchStore => Error::NoSuchStore,
        platform::Error::AccessDenied => Error::AccessDenied,
        platform::Error::Other(text) => Error::Other(text),
    }
}

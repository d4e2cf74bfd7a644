//! `wasi:keyvalue/store`: the service's own bucket, and no other.

use std::time::Duration;

use collector_files::NoThread;
use collector_model::Limit;
use collector_model::metrics::ServiceMetrics;
use collector_state::{Bucket, StateError};
use wasmtime::component::{HasData, Resource, ResourceTable};

use crate::bindings::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse};
use crate::budget::CallMemory;

/// Keys are names, not data.
const MAX_KEY_IN_BYTES: usize = 64;

/// Keys of a bucket. The bundled collector has its state, and its memory of what it has delivered in up to 24
/// values, of which only those are written again that have changed.
const MAX_KEYS: usize = 64;

/// How long a call waits for a thread. A disk that needs longer does not answer any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bucket that the empty name opens.
pub struct BucketView(pub Bucket);

/// Marks the interface in the linker.
pub(crate) struct KeyValue;

impl HasData for KeyValue {
    type Data<'a> = KeyValueCall<'a>;
}

/// What one call does with the bucket.
pub(crate) struct KeyValueCall<'a> {
    pub(crate) view: &'a BucketView,
    pub(crate) handles: &'a mut ResourceTable,
    /// The largest value that may be stored.
    pub(crate) max_value_in_bytes: usize,
    pub(crate) metrics: &'a ServiceMetrics,
    pub(crate) memory: &'a CallMemory,
    /// Set where the store fails in a way that may pass.
    pub(crate) store_is_away: &'a mut bool,
}

/// The component's handle to the bucket.
pub struct OpenBucket(Bucket);

impl KeyValueCall<'_> {
    /// Runs a blocking operation of the state store without holding up other tenants.
    async fn blocking<T: Send + 'static>(
        &mut self,
        handle: &Resource<OpenBucket>,
        operation: impl FnOnce(&Bucket) -> Result<T, StateError> + Send + 'static,
    ) -> wasmtime::Result<Result<T, Error>> {
        let bucket = self.handles.get(handle)?.0.clone();
        let outcome = match bucket.threads().map(|(threads, kind)| (threads.clone(), kind)) {
            None => operation(&bucket),
            Some((threads, kind)) => match threads.run(kind, PATIENCE, move || operation(&bucket)).await {
                Ok(outcome) => outcome,
                Err(busy @ NoThread::Busy(_)) => {
                    *self.store_is_away = true;
                    return Ok(Err(Error::Other(format!("the state can't be had: {busy}"))));
                }
                Err(gone @ NoThread::Gone) => return Err(gone.into()),
            },
        };
        Ok(outcome.map_err(|error| {
            *self.store_is_away |= error.may_pass();
            Error::Other(error.to_string())
        }))
    }
}

impl Host for KeyValueCall<'_> {
    async fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<OpenBucket>, Error>> {
        if !identifier.is_empty() {
            return Ok(Err(Error::NoSuchStore));
        }
        Ok(Ok(self.handles.push(OpenBucket(self.view.0.clone()))?))
    }
}

impl HostBucket for KeyValueCall<'_> {
    async fn get(
        &mut self,
        handle: Resource<OpenBucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.blocking(&handle, move |bucket| bucket.get(&key)).await
    }

    async fn set(
        &mut self,
        handle: Resource<OpenBucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let refuse = |reason: String| Ok(Err(Error::Other(reason)));
        if key.len() > MAX_KEY_IN_BYTES {
            return refuse(format!("a key of {} bytes is over the limit of {MAX_KEY_IN_BYTES}", key.len()));
        }
        let (size, limit) = (value.len(), self.max_value_in_bytes);
        self.metrics.note_use(Limit::RefusesValue, size as u64);
        if size > limit {
            self.metrics.add_exceeded(Limit::RefusesValue);
            return refuse(format!("a value of {size} bytes is over the limit of {limit} (limits.state_in_bytes)"));
        }
        // Until it is stored, it is there twice.
        let _held = self.memory.hold(size as u64)?;
        let set = move |bucket: &Bucket| {
            let has_room = bucket.exists(&key)? || bucket.list()?.len() < MAX_KEYS;
            if has_room { bucket.set(&key, &value).map(Some) } else { Ok(None) }
        };
        let outcome = self.blocking(&handle, set).await?;
        Ok(outcome.and_then(|done| {
            done.ok_or_else(|| Error::Other(format!("there are {MAX_KEYS} keys, and no more are allowed")))
        }))
    }

    async fn delete(&mut self, handle: Resource<OpenBucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.blocking(&handle, move |bucket| bucket.delete(&key)).await
    }

    async fn exists(&mut self, handle: Resource<OpenBucket>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        self.blocking(&handle, move |bucket| bucket.exists(&key)).await
    }

    async fn list_keys(
        &mut self,
        handle: Resource<OpenBucket>,
        _cursor: Option<u64>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let keys = self.blocking(&handle, Bucket::list).await?;
        Ok(keys.map(|keys| KeyResponse { keys, cursor: None }))
    }

    async fn drop(&mut self, handle: Resource<OpenBucket>) -> wasmtime::Result<()> {
        self.handles.delete(handle)?;
        Ok(())
    }
}

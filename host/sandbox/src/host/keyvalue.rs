//! `wasi:keyvalue/store`: the service's own bucket, and no other.

use std::time::Duration;

use collector_files::NoThread;
use collector_model::Limit;
use collector_model::metrics::ServiceMetrics;
use collector_state::{Bucket, StateError};
use wasmtime::component::{HasData, Resource, ResourceTable};

use crate::bindings::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse};

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
}

/// The component's handle to the bucket.
pub struct OpenBucket(Bucket);

impl KeyValueCall<'_> {
    fn opened(&self, handle: &Resource<OpenBucket>) -> wasmtime::Result<Bucket> {
        Ok(self.handles.get(handle)?.0.clone())
    }
}

/// Runs a blocking operation of the state store without holding up other tenants.
async fn blocking<T: Send + 'static>(
    bucket: Bucket,
    operation: impl FnOnce(&Bucket) -> Result<T, StateError> + Send + 'static,
) -> wasmtime::Result<Result<T, Error>> {
    let outcome = match bucket.threads().map(|(threads, kind)| (threads.clone(), kind)) {
        None => operation(&bucket),
        Some((threads, kind)) => match threads.run(kind, PATIENCE, move || operation(&bucket)).await {
            Ok(outcome) => outcome,
            Err(busy @ NoThread::Busy(_)) => return Ok(Err(Error::Other(format!("the state can't be had: {busy}")))),
            Err(gone @ NoThread::Gone) => return Err(gone.into()),
        },
    };
    Ok(outcome.map_err(|error| Error::Other(error.to_string())))
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
        blocking(self.opened(&handle)?, move |bucket| bucket.get(&key)).await
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
        self.metrics.note_use(Limit::State, size as u64);
        if size > limit {
            self.metrics.add_exceeded(Limit::State);
            return refuse(format!("a value of {size} bytes is over the limit of {limit} (limits.state_in_bytes)"));
        }
        let set = move |bucket: &Bucket| {
            let has_room = bucket.exists(&key)? || bucket.list()?.len() < MAX_KEYS;
            if has_room { bucket.set(&key, &value).map(Some) } else { Ok(None) }
        };
        let outcome = blocking(self.opened(&handle)?, set).await?;
        Ok(outcome.and_then(|done| {
            done.ok_or_else(|| Error::Other(format!("there are {MAX_KEYS} keys, and no more are allowed")))
        }))
    }

    async fn delete(&mut self, handle: Resource<OpenBucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        blocking(self.opened(&handle)?, move |bucket| bucket.delete(&key)).await
    }

    async fn exists(&mut self, handle: Resource<OpenBucket>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        blocking(self.opened(&handle)?, move |bucket| bucket.exists(&key)).await
    }

    async fn list_keys(
        &mut self,
        handle: Resource<OpenBucket>,
        _cursor: Option<u64>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let keys = blocking(self.opened(&handle)?, Bucket::list).await?;
        Ok(keys.map(|keys| KeyResponse { keys, cursor: None }))
    }

    async fn drop(&mut self, handle: Resource<OpenBucket>) -> wasmtime::Result<()> {
        self.handles.delete(handle)?;
        Ok(())
    }
}

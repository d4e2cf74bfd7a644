//! The platform on which the component's logic runs natively, behind the same host: the same client, sender
//! and state store, without a sandbox between them. What the sandbox costs is the difference.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use cloudsek_xvigil::platform::{
    DeadLetter, Event, Level, OutputError, Platform, Request, Response, SettingsError, StoreError, TransportError,
};
use collector_config::{Plan, Receiver};
use collector_delivery::{DevoHandle, DevoSettings, Framer, Output, Outputs};
use collector_egress::rate::{Kind, Limiter};
use collector_egress::{ApiClient, ResponseBody};
use collector_model::Table;
use collector_state::{Bucket, StateFolder, Store};
use http::header::RETRY_AFTER;
use http_body_util::{BodyExt, Empty};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// What one service may reach, without a sandbox around whoever reaches for it.
pub struct Native {
    runtime: Handle,
    started: Instant,
    api: ApiClient,
    limiter: Limiter,
    bucket: Bucket,
    outputs: Outputs,
    table: Table,
    settings: Vec<(String, String)>,
}

impl Native {
    /// Prepares the first service of a configuration, as the host does. Must be called within a tokio
    /// runtime.
    pub fn prepare(plan: Plan) -> Result<Self> {
        let collector_config::Persistence::Files(folder) = &plan.persistence else {
            return Err(anyhow!("the state is kept in files here"));
        };
        let store = Store::files(StateFolder::open(folder.clone())?);
        let service = plan.services.into_iter().next().context("a service")?;
        let outputs = plan.outputs.iter().map(|output| match &output.receiver {
            Receiver::Devo(settings) => {
                let settings = DevoSettings { queue_in_bytes: service.limits.queue_in_bytes, ..(**settings).clone() };
                Ok(Output::Devo(DevoHandle::start(settings, Framer::of_this_machine())))
            }
            Receiver::Console => Err(anyhow!("the output is a Devo receiver here")),
        });
        let outputs = Outputs::new(outputs.collect::<Result<_>>()?);
        let api = ApiClient::new(service.api)?;
        Ok(Self {
            runtime: Handle::current(),
            started: Instant::now(),
            api,
            limiter: service.limiter,
            bucket: store.bucket(service.identity.storage_name()),
            outputs,
            table: service.table,
            settings: service.settings.to_vec(),
        })
    }
}

/// The head of an answer, and its body as it comes.
pub struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: ResponseBody,
}

impl Platform for Native {
    type Pending = JoinHandle<Result<Answer, TransportError>>;

    fn begin(&self, request: &Request) -> Result<Self::Pending, TransportError> {
        let refused = |error: http::Error| TransportError::Refused(error.to_string());
        let scheme = if request.secure { "https" } else { "http" };
        let uri = format!("{scheme}://{}{}", request.authority, request.path_with_query);
        let mut builder = http::Request::get(uri);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let outgoing = builder.body(Empty::<Bytes>::new()).map_err(refused)?;
        let (api, limiter) = (self.api.clone(), self.limiter.clone());
        Ok(self.runtime.spawn(async move {
            limiter.admit(Kind::Live).await;
            let answer = api.send(outgoing).await.map_err(|error| TransportError::Broken(error.to_string()))?;
            let retry_after =
                answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
            Ok(Answer { status: answer.status().as_u16(), retry_after, body: answer.into_body() })
        }))
    }

    fn finish(&self, pending: Self::Pending) -> Result<Response, TransportError> {
        let broken = |error: &dyn std::fmt::Display| TransportError::Broken(error.to_string());
        self.runtime.block_on(async {
            let Answer { status, retry_after, body: mut frames } = pending.await.map_err(|error| broken(&error))??;
            let mut body = Vec::new();
            while let Some(frame) = frames.frame().await {
                let frame = frame.map_err(|error| broken(&error))?;
                body.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            }
            Ok(Response { status, retry_after, body, close_error: None })
        })
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn wait(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn settings(&self) -> Result<Vec<(String, String)>, SettingsError> {
        Ok(self.settings.clone())
    }

    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.bucket.get(key).map_err(|error| StoreError::Other(error.to_string()))
    }

    fn store(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.bucket.set(key, value).map_err(|error| StoreError::Other(error.to_string()))
    }

    fn send(&self, table: &str, events: &[Event<'_>]) -> Result<(), OutputError> {
        if table != self.table.as_str() {
            return Err(OutputError::TableRefused(table.to_owned()));
        }
        let events: Vec<_> =
            events.iter().map(|&Event { time, body }| collector_delivery::Event { time, body }).collect();
        self.runtime
            .block_on(self.outputs.send(&self.table, &events))
            .map_err(|error| OutputError::Unconfirmed(error.to_string()))
    }

    fn add_dead_letters(&self, _table: &str, letters: &[DeadLetter<'_>]) -> Result<(), OutputError> {
        let reason = letters.first().map_or("", |letter| &letter.reason);
        let text = format!("every record of the benchmark is an event, and of {} it is said: {reason}", letters.len());
        Err(OutputError::Unconfirmed(text))
    }

    fn flush(&self) -> Result<(), OutputError> {
        self.runtime.block_on(self.outputs.flush()).map_err(|error| OutputError::Unconfirmed(error.to_string()))
    }

    fn log(&self, level: Level, message: &str) {
        match level {
            Level::Debug => tracing::debug!(target: "devo_collector", "{message}"),
            Level::Info => tracing::info!(target: "devo_collector", "{message}"),
            Level::Warning => tracing::warn!(target: "devo_collector", "{message}"),
        }
    }
}

//! `wasi:http/outgoing-handler`: requests leave through the tenant's [`ApiClient`], which allows its own origin alone and
//! adds the credential.

use std::time::Instant;

use http_body_util::BodyExt;
use tracing::{Instrument, Span, debug};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::egress::{ApiClient, EgressError};
use crate::rate::Limiter;

/// The way out of one instance.
pub struct Gate {
    api: ApiClient,
    limiter: Limiter,
}

impl Gate {
    /// The way out to one tenant's API, as often as its limits allow.
    pub fn new(api: ApiClient, limiter: Limiter) -> Self {
        Self { api, limiter }
    }
}

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<WasiBody>, Worker), Error>;

impl WasiHttpHooks for Gate {
    /// The time-outs that a component asks for are not honoured: the operator's hold, whatever it wants.
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Worker,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let (api, limiter) = (self.api.clone(), self.limiter.clone());
        // It runs as a task of its own, whose lines are the puller's all the same.
        let span = Span::current();
        let request = async move {
            limiter.admit().await;
            // Neither has a secret: the credential is a header that is added on the way out.
            let line =
                format!("{} {}", request.method(), request.uri().path_and_query().map_or("/", |path| path.as_str()));
            let started = Instant::now();
            let response = api.send(request).await.map_err(|problem| {
                debug!("{line}: {problem}");
                error(problem)
            })?;
            debug!(
                "{line}: status {} after {:.3} seconds",
                response.status().as_u16(),
                started.elapsed().as_secs_f64()
            );
            let worker: Worker = Box::new(std::future::ready(Ok(())));
            Ok((response.map(|body| body.map_err(error).boxed_unsync()), worker))
        };
        Box::new(request.instrument(span))
    }
}

/// The case that the component acts on. Where there is none that says as much as our own text, the text is handed over.
fn error(error: EgressError) -> Error {
    match error {
        EgressError::OriginRefused { .. } | EgressError::MethodRefused { .. } => Error::HttpRequestDenied,
        EgressError::AddressRefused { .. } => Error::DestinationIpProhibited,
        EgressError::ConnectTimeout { .. } => Error::ConnectionTimeout,
        EgressError::HeadersTimeout { .. } => Error::HttpResponseTimeout,
        EgressError::BodyTimeout { .. } => Error::ConnectionReadTimeout,
        EgressError::BodyTooLarge { limit, .. } => Error::HttpResponseBodySize(Some(limit)),
        other => Error::InternalError(Some(other.to_string())),
    }
}

/// What a component is told of the error that a body's stream failed with: those that [`error`] makes of a body's errors.
pub fn body_error_code(error: &wasmtime::Error) -> Option<ErrorCode> {
    match error.downcast_ref::<Error>()? {
        Error::ConnectionReadTimeout => Some(ErrorCode::ConnectionReadTimeout),
        Error::HttpResponseBodySize(limit) => Some(ErrorCode::HttpResponseBodySize(*limit)),
        Error::InternalError(text) => Some(ErrorCode::InternalError(text.clone())),
        _ => None,
    }
}

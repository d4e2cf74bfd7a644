//! `wasi:http/outgoing-handler`: requests leave through the tenant's [`ApiClient`], which allows its own
//! origin alone and adds the credential.

use std::sync::Arc;
use std::time::Instant;

use collector_egress::rate::{Kind, Limiter};
use collector_egress::{ApiClient, EgressError, ResponseBody};
use collector_model::metrics::ServiceMetrics;
use collector_model::{CallLimit, Limit, Limits};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, Span, debug};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::budget::{CallMemory, HeldMemory};
use crate::meter::Exceeded;

/// The way to one tenant's API.
#[derive(Clone)]
pub struct HttpView {
    /// Adds the credential, and allows the API's origin alone.
    pub api: ApiClient,
    /// What each request has to pass. It outlives the calls: what one has used up, the next can't use again.
    pub limiter: Limiter,
}

/// What a request takes of the memory of the process while it is under way: what was read of the connection
/// and not by the component, and what is unpacked of it.
const REQUEST_IN_BYTES: u64 = 512 * 1024;

/// The requests of one call.
pub(crate) struct HttpCall {
    view: HttpView,
    limits: Limits,
    metrics: Arc<ServiceMetrics>,
    /// What they are for.
    kind: Kind,
    /// How many there were.
    made: u32,
    /// The most that were under way together.
    most_at_once: u64,
    /// Permits for requests under way. An answer that is being read keeps its own.
    permits: Arc<Semaphore>,
    memory: CallMemory,
    refused: Option<Exceeded>,
}

impl HttpCall {
    /// As many as the limits of a call allow.
    pub(crate) fn new(
        view: HttpView,
        limits: Limits,
        metrics: Arc<ServiceMetrics>,
        kind: Kind,
        memory: CallMemory,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(limits.concurrent_requests as usize));
        Self { view, limits, metrics, kind, made: 0, most_at_once: 0, permits, memory, refused: None }
    }

    /// For what a request was refused, if one was.
    pub(crate) fn refused(&self) -> Option<Exceeded> {
        self.refused
    }

    /// What was used of what is limited here.
    pub(crate) fn used(&self) -> [(CallLimit, u64); 2] {
        [(CallLimit::Requests, self.made.into()), (CallLimit::ConcurrentRequests, self.most_at_once)]
    }

    /// A permit for one more request.
    fn admit(&mut self) -> Result<(OwnedSemaphorePermit, HeldMemory), Exceeded> {
        let limits = &self.limits;
        if self.made >= limits.requests {
            return Err(Exceeded::Limit(CallLimit::Requests));
        }
        let too_many = |_| Exceeded::Limit(CallLimit::ConcurrentRequests);
        let permit = self.permits.clone().try_acquire_owned().map_err(too_many)?;
        let memory = self.memory.hold(REQUEST_IN_BYTES).map_err(|_| Exceeded::Budget)?;
        self.made += 1;
        let under_way = u64::from(limits.concurrent_requests) - self.permits.available_permits() as u64;
        self.most_at_once = self.most_at_once.max(under_way);
        Ok((permit, memory))
    }
}

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<WasiBody>, Worker), Error>;

impl WasiHttpHooks for HttpCall {
    /// The time-outs that a component asks for are not honoured: the operator's hold, whatever it wants.
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Worker,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let permit = match self.admit() {
            Ok(permit) => permit,
            // The call is ended for it; until then the component learns that it asked for too much.
            Err(exceeded) => {
                self.refused = Some(exceeded);
                return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
            }
        };
        let (view, metrics, kind) = (self.view.clone(), self.metrics.clone(), self.kind);
        // It runs as a task of its own, whose lines are the puller's all the same.
        let span = Span::current();
        let request = async move {
            view.limiter.admit(kind).await;
            // Neither has a secret: the credential is a header that is added on the way out.
            let line =
                format!("{} {}", request.method(), request.uri().path_and_query().map_or("/", |path| path.as_str()));
            let started = Instant::now();
            let response = view.api.send(request).await.map_err(|problem| {
                debug!("{line}: {problem}");
                error(problem)
            })?;
            debug!(
                "{line}: status {} after {:.3} seconds",
                response.status().as_u16(),
                started.elapsed().as_secs_f64()
            );
            let worker: Worker = Box::new(std::future::ready(Ok(())));
            let body = |body: ResponseBody| {
                let (mut size, counted) = (0, metrics.clone());
                let body = body.map_frame(move |frame| {
                    size += frame.data_ref().map_or(0, |data| data.len() as u64);
                    counted.note_use(Limit::CutsAnswer, size);
                    frame
                });
                body.map_err(move |problem| {
                    // The permit is given back when the body is dropped.
                    let _ = &permit;
                    if matches!(problem, EgressError::BodyTooLarge { .. }) {
                        metrics.add_exceeded(Limit::CutsAnswer);
                    }
                    error(problem)
                })
            };
            Ok((response.map(|answer| body(answer).boxed_unsync()), worker))
        };
        Box::new(request.instrument(span))
    }
}

/// The case that the component acts on. Where there is none that says as much as our own text, the text is
/// handed over.
fn error(error: EgressError) -> Error {
    match error {
        EgressError::OriginRefused { .. } | EgressError::MethodRefused { .. } => Error::HttpRequestDenied,
        // The case means that allow_private_addresses would help.
        EgressError::AddressRefused { range, .. } if range.is_allowed(true) => Error::DestinationIpProhibited,
        EgressError::ConnectTimeout { .. } => Error::ConnectionTimeout,
        EgressError::HeadersTimeout { .. } => Error::HttpResponseTimeout,
        EgressError::BodyTimeout { .. } => Error::ConnectionReadTimeout,
        EgressError::BodyTooLarge { limit, .. } => Error::HttpResponseBodySize(Some(limit)),
        other => Error::InternalError(Some(other.to_string())),
    }
}

/// What a component is told of the error that a body's stream failed with: those that [`error`] makes of a
/// body's errors.
pub(crate) fn body_error_code(error: &wasmtime::Error) -> Option<ErrorCode> {
    match error.downcast_ref::<Error>()? {
        Error::ConnectionReadTimeout => Some(ErrorCode::ConnectionReadTimeout),
        Error::HttpResponseBodySize(limit) => Some(ErrorCode::HttpResponseBodySize(*limit)),
        Error::InternalError(text) => Some(ErrorCode::InternalError(text.clone())),
        _ => None,
    }
}

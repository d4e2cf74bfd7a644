//! Sends a component's request to its tenant's API: checks the origin, puts the credential on, keeps
//! connections for the next request, and hands back an answer whose body is bounded. Redirects are not
//! followed, since a followed one would carry the token along; the component sees the 3xx. Rate limits,
//! retries and the meaning of a status are left to others.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use collector_files::{RootedPath, Threads};
use collector_net::{AddressPolicy, check_ca_file, https_client_config};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use secrecy::SecretString;

use super::body::{BodyLimits, ResponseBody};
use super::connector::{Connector, Target};
use super::credential::{self, Credential, CredentialHeader};
use super::echo::Secrets;
use super::encoding::Encoding;
use super::error::{EgressError, ProxyProblem};
use super::hop_by_hop;
use super::origin::{Origin, Scheme};
use super::proxy::{Proxy, ProxySettings};

/// A pull fetches a page while the one before is processed: more than two connections are never busy.
const IDLE_CONNECTIONS: usize = 2;

/// At one pull a minute a connection is not used again, and its buffers take 57 KB: with 30 s, half of all
/// tenants would have one at any time. This is enough between the pages of one pull; what comes later resumes
/// the TLS session.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of an answer's headers, and of a piece of its body. The library's 400 KB would be memory that
/// each tenant's server could claim.
const READ_BUFFER: usize = 64 * 1024;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of any request.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// How to reach one tenant's API.
#[derive(Clone, Debug)]
pub struct ApiClientSettings {
    /// The only origin that can be reached.
    pub origin: Origin,
    /// At which addresses it may be.
    pub addresses: AddressPolicy,
    /// The threads on which names are looked up.
    pub threads: Threads,
    /// PEM file of root certificates to trust besides the machine's.
    pub ca_file: Option<RootedPath>,
    /// The proxy to go through.
    pub proxy: ProxySettings,
    /// Name of the header that carries the token.
    pub auth_header: CredentialHeader,
    /// What stands before the token in that header, blank included.
    pub auth_prefix: String,
    /// The token; none leaves the component's own headers as they are.
    pub token: Option<SecretString>,
    /// For the look-up, TCP, the proxy and TLS together.
    pub connect_timeout: Duration,
    /// From the open connection to the answer's headers.
    pub headers_timeout: Duration,
    /// Longest wait for the next piece of the body.
    pub body_idle_timeout: Duration,
    /// Longest wait for all pieces of the body together.
    pub body_timeout: Duration,
    /// Largest body, in bytes after decompression.
    pub max_body_in_bytes: u64,
}

impl ApiClientSettings {
    /// The defaults for an origin: no token yet, no proxy but the environment's.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            addresses: AddressPolicy::default(),
            threads: Threads::of_operator(),
            ca_file: None,
            proxy: ProxySettings::Environment(super::ProxyVariables::of_this_process()),
            auth_header: CredentialHeader::default(),
            auth_prefix: "Bearer ".to_owned(),
            token: None,
            connect_timeout: Duration::from_secs(10),
            headers_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(30),
            // A page of a hundred alerts is there in a second or two. Five minutes end a server that sends a
            // byte now and then forever.
            body_timeout: Duration::from_secs(300),
            max_body_in_bytes: 64 * 1024 * 1024,
        }
    }
}

impl ApiClientSettings {
    /// Whether a client could be made of these settings, as far as that can be told without one. Reads
    /// `ca_file`.
    ///
    /// # Errors
    /// As [`ApiClient::new`].
    pub fn check(&self) -> Result<(), EgressError> {
        Proxy::for_origin(&self.proxy, &self.origin)?;
        self.ca_file.as_ref().map_or(Ok(()), check_ca_file)?;
        self.token.as_ref().map_or(Ok(()), |token| credential::check(&self.auth_prefix, token))
    }
}

/// A client for one tenant's API. Clones share connections and credential.
#[derive(Clone)]
pub struct ApiClient(Arc<Shared>);

struct Shared {
    http: Client<Connector, RequestBody>,
    connector: Connector,
    origin: Origin,
    credential: Credential,
    headers_timeout: Duration,
    body: BodyLimits,
}

/// What speaks HTTP over the connections that a connector makes, and keeps them for the next request.
pub(super) fn pooled<C: Connect + Clone>(connector: C) -> Client<C, RequestBody> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .http1_max_buf_size(READ_BUFFER)
        .build(connector)
}

impl ApiClient {
    /// Makes a client; nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with the settings: [`EgressError::CaFile`], [`EgressError::NoRootCertificates`],
    /// [`EgressError::ProxySetting`] or [`EgressError::Credential`].
    pub fn new(settings: ApiClientSettings) -> Result<Self, EgressError> {
        let proxy = Proxy::for_origin(&settings.proxy, &settings.origin)?;
        let needs_tls = settings.origin.scheme() == Scheme::Https
            || proxy.as_ref().is_some_and(|proxy| proxy.scheme == Scheme::Https);
        let tls = if needs_tls { Some(https_client_config(settings.ca_file.as_ref())?) } else { None };
        let credential = Credential::new(settings.auth_header, settings.auth_prefix, settings.token.as_ref())?;
        let connector = Connector::new(Target {
            origin: settings.origin.clone(),
            proxy,
            tls,
            addresses: settings.addresses,
            threads: settings.threads,
            connect_timeout: settings.connect_timeout,
        });
        Ok(Self(Arc::new(Shared {
            http: pooled(connector.clone()),
            connector,
            origin: settings.origin,
            credential,
            headers_timeout: settings.headers_timeout,
            body: BodyLimits {
                idle: settings.body_idle_timeout,
                whole: settings.body_timeout,
                bytes: settings.max_body_in_bytes,
            },
        })))
    }

    /// The origin that this client reaches.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Replaces the token for all clones, from the next request on.
    ///
    /// # Errors
    /// [`EgressError::Credential`] when a header can't carry it; the old one then stays.
    pub fn set_credential(&self, token: &SecretString) -> Result<(), EgressError> {
        self.0.credential.replace(token)
    }

    /// Sends a request with an absolute URI and waits for the answer's headers. The body follows with its own
    /// limits.
    ///
    /// # Errors
    /// Any [`EgressError`] but those of the settings and of the body; [`EgressError::BodyTooLarge`] already
    /// here when the server announces a body beyond the limit.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<ResponseBody>, EgressError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Shared { http, origin, headers_timeout, .. } = &*self.0;
        self.check(&request)?;
        let is_head = request.method() == Method::HEAD;
        let accepts_others = request.headers().contains_key(ACCEPT_ENCODING);
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        *request.version_mut() = Version::HTTP_11;
        let secrets = self.rewrite_headers(request.headers_mut());
        let asked = Asked { is_head, accepts_others, secrets };

        let failed = |error| EgressError::from_client_error(&error, origin);
        // The connector has its own time-out; the one for the headers starts when there is a connection.
        let mut connection = capture_connection(&mut request);
        let mut answer = std::pin::pin!(http.request(request));
        tokio::select! {
            biased;
            answer = &mut answer => return self.accept(answer.map_err(failed)?, asked),
            _ = connection.wait_for_connection_metadata() => {}
        }
        let answer = tokio::time::timeout(*headers_timeout, answer)
            .await
            .map_err(|_| EgressError::HeadersTimeout { origin: origin.clone(), after: *headers_timeout })?;
        self.accept(answer.map_err(failed)?, asked)
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), EgressError> {
        let origin = &self.0.origin;
        if !origin.allows(request.uri()) {
            let requested = match Origin::of(request.uri()) {
                Some(requested) => requested.to_string(),
                None => "something other than http(s)://host:port".to_owned(),
            };
            return Err(EgressError::OriginRefused { requested, allowed: origin.clone() });
        }
        if request.method() == Method::CONNECT {
            return Err(EgressError::MethodRefused { method: Method::CONNECT, origin: origin.clone() });
        }
        Ok(())
    }

    /// Takes off what a component has no say in, and puts on what it must not see. Returns the latter.
    pub(super) fn rewrite_headers(&self, headers: &mut HeaderMap) -> Secrets {
        let mut secrets = Secrets::default();
        hop_by_hop::remove(headers);
        // The URI says which host. With another one here, a front end that serves many would take the
        // request, and the token with it, to a stranger's site.
        headers.remove(HOST);
        self.0.credential.put_on(headers, &mut secrets);
        if let Some(value) = self.0.connector.forwarding_authorization() {
            headers.insert(PROXY_AUTHORIZATION, value.clone());
            secrets.add(value, "Basic ".len());
        }
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        secrets
    }

    /// The answer with what is left of its head once its body is undone, and the limits of that body.
    pub(super) fn accept(
        &self,
        answer: Response<Incoming>,
        asked: Asked,
    ) -> Result<Response<ResponseBody>, EgressError> {
        let Shared { origin, body: limits, connector, .. } = &*self.0;
        let (mut parts, body) = answer.into_parts();
        let status = parts.status;
        if let (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(proxy)) = (status, connector.forwarding_proxy()) {
            return Err(EgressError::Proxy { proxy: proxy.to_string(), problem: ProxyProblem::Unauthenticated });
        }
        let is_error = status.as_u16() >= 400;
        let has_no_body = asked.is_head
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || body.is_end_stream();
        let encoding = if has_no_body { Encoding::None } else { Encoding::of(&parts.headers) };
        if is_error || encoding == Encoding::Gzip {
            // They describe the body as it was sent, not as it is handed on.
            parts.headers.remove(CONTENT_ENCODING);
            parts.headers.remove(CONTENT_LENGTH);
        }
        let body = match encoding {
            Encoding::Gzip => ResponseBody::gzip(body, origin, limits),
            // Nobody could take our credentials out of it.
            Encoding::Other(_) if is_error => ResponseBody::plain(body, origin, limits).left_out(),
            Encoding::Other(encoding) if !asked.accepts_others => {
                return Err(EgressError::Encoding { origin: origin.clone(), encoding });
            }
            Encoding::None | Encoding::Other(_) if body.size_hint().lower() > limits.bytes && !is_error => {
                return Err(EgressError::BodyTooLarge { origin: origin.clone(), limit: limits.bytes });
            }
            Encoding::None | Encoding::Other(_) => ResponseBody::plain(body, origin, limits),
        };
        Ok(Response::from_parts(parts, if is_error { body.explaining(asked.secrets) } else { body }))
    }
}

/// What the answer to a request depends on.
pub(super) struct Asked {
    pub(super) is_head: bool,
    /// The component has said itself which encodings it understands.
    pub(super) accepts_others: bool,
    pub(super) secrets: Secrets,
}

/// Shows the origin alone.
impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient").field("origin", &self.0.origin).finish_non_exhaustive()
    }
}

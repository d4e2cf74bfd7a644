//! What a configuration means: outputs, services and state with every value checked and every default filled in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use secrecy::SecretString;
use serde_json::Value;

use super::document::{Document, Input, Output, OutputConfig, Service};
use super::error::{Cause, ConfigError, value};
use super::read::Source;
use super::token::Token;
use crate::egress::{ApiClientSettings, Origin, ProxySettings};
use crate::rate::{self, InputLimiter, Limiter};
use crate::senders::{Address, DevoSettings, Table, Tls, TlsError, TlsFiles, Transport};

/// Devo's port.
const DEFAULT_PORT: u16 = 443;

/// The specification's period.
const DEFAULT_PERIOD_IN_SECONDS: u64 = 60;

/// How often the original checks the credentials again.
const DEFAULT_REFRESH_IN_SECONDS: u64 = 600;

/// Everything that a configuration asks for.
#[derive(Debug)]
pub struct Plan {
    /// Whether the log has more detail.
    pub debug: bool,
    pub persistence: Persistence,
    pub outputs: Vec<OutputPlan>,
    pub services: Vec<ServicePlan>,
    /// What the operator should know although it is no error.
    pub warnings: Vec<String>,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Persistence {
    /// In files of this folder.
    Files(PathBuf),
    /// Nowhere: it ends with the process.
    Memory,
}

/// One output.
#[derive(Debug, Clone)]
pub enum OutputPlan {
    /// A receiver that speaks Devo's protocol.
    Devo(Box<DevoSettings>),
    /// Standard output, by the output's name.
    Console(String),
}

impl OutputPlan {
    /// The output's name in the configuration.
    pub fn name(&self) -> &str {
        match self {
            Self::Devo(settings) => &settings.name,
            Self::Console(name) => name,
        }
    }
}

/// What a service is known by: in the log, in the state, in errors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub input: String,
    pub id: String,
    pub service: String,
}

impl Identity {
    /// The name of the thread that pulls, as the original writes it.
    pub fn puller(&self) -> String {
        format!("CloudSekPuller({},{},{},predefined)", self.input, self.id, self.service)
    }

    /// The name of the thread that stands for the service, as the original writes it.
    pub fn service_thread(&self) -> String {
        format!("ServiceThread({},{},{},predefined)", self.input, self.id, self.service)
    }

    /// The name of the thread that stands for the input, as the original writes it.
    pub fn input_thread(&self) -> String {
        format!("InputThread({},{})", self.input, self.id)
    }

    /// The name of the thread that sets up, as the original writes it.
    pub fn puller_setup(&self) -> String {
        format!("CloudSekPullerSetup({},{}#{},{}#predefined)", self.input, self.input, self.id, self.service)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{};{}", self.input, self.id, self.service)
    }
}

/// One service: what is pulled, how often, and what it may use.
#[derive(Debug)]
pub struct ServicePlan {
    pub identity: Identity,
    /// From the start of one pull to the start of the next.
    pub period: Duration,
    /// From one check of the credentials to the next.
    pub refresh: Duration,
    /// How to reach the API, the credential with it.
    pub api: ApiClientSettings,
    /// Where the credential comes from; it may change.
    pub token: Token,
    /// The `override_*` keys that are set.
    pub overrides: Vec<&'static str>,
    /// The only table that the component may write to.
    pub table: Table,
    /// What each request has to pass.
    pub limiter: Limiter,
    /// What the component is told: flat names and values, never a secret.
    pub settings: Vec<(String, String)>,
    pub limits: Limits,
}

/// What one call of the component may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories together.
    pub memory_in_bytes: usize,
    /// Time in which the component's own code runs.
    pub cpu: Duration,
    /// Time from the start to the end of the call, waits included.
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A piece of 4 MiB, a page of the largest size on top of it, and the ids of a busy day.
            memory_in_bytes: 256 * 1024 * 1024,
            cpu: Duration::from_secs(60),
            // A piece takes 30 s of pulling, three waits of 60 s at the most, and a flush with all of its attempts.
            wall: Duration::from_secs(600),
        }
    }
}

impl Plan {
    /// Checks a configuration and fills in what it leaves open.
    pub fn new(source: Source) -> Result<Self, ConfigError> {
        let Source { document, product, mut warnings } = source;
        check_name(document.globals.name.as_deref())?;
        let persistence = persistence(&document, &product, &mut warnings)?;
        let mut outputs = Vec::new();
        for (name, output) in &document.outputs {
            outputs.push(output_plan(name, output, &product, &mut warnings)?);
        }
        if outputs.is_empty() {
            return Err(
                Cause::KeyMissing("outputs".to_owned()).cure("Add an output, for example of the type devo_platform.")
            );
        }
        let mut services = Vec::new();
        for (name, input) in document.inputs.iter().filter(|(_, input)| input.enabled) {
            let limits = rate::read(input.requests_limits.as_ref(), input.requests_per_second.as_ref())?;
            let limiter = InputLimiter::new(&limits);
            for (service_name, service) in &input.services {
                services.push(service_plan(name, input, service_name, service, &limiter, &product, &mut warnings)?);
            }
        }
        if services.is_empty() {
            return Err(Cause::KeyMissing("inputs.<name>.services".to_owned())
                .cure("Add an enabled input with the service alerts."));
        }
        Ok(Self { debug: document.globals.debug, persistence, outputs, services, warnings })
    }
}

/// The original's rule for `globals.name`, after it has made `.`, `#` and blanks a `_`.
fn check_name(name: Option<&str>) -> Result<(), ConfigError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '#' | ' ');
    match name {
        Some(name) if name.is_empty() || !name.chars().all(allowed) => Err(value(
            "globals.name",
            format!("{name:?} has other characters than letters, digits, - and _"),
            "Give the collector a plain name.",
        )),
        _ => Ok(()),
    }
}

fn persistence(document: &Document, product: &Path, warnings: &mut Vec<String>) -> Result<Persistence, ConfigError> {
    let Some(persistence) = &document.globals.persistence else {
        warnings.push(
            "No persistence is set: the state is kept in memory and lost at the end. Set globals.persistence."
                .to_owned(),
        );
        return Ok(Persistence::Memory);
    };
    match persistence.kind.as_str() {
        "filesystem" | "json" => {
            let folder = persistence.config.directory_name.as_deref().unwrap_or("state");
            Ok(Persistence::Files(product.join(folder)))
        }
        "memory" => Ok(Persistence::Memory),
        other => Err(value(
            "globals.persistence.type",
            format!("{other} is not a type that this version has"),
            "Use filesystem, json or memory.",
        )),
    }
}

fn output_plan(
    name: &str,
    output: &Output,
    product: &Path,
    warnings: &mut Vec<String>,
) -> Result<OutputPlan, ConfigError> {
    match output.kind.as_str() {
        "devo_platform" | "relay" => {
            let settings = devo_settings(name, &output.config, product)?;
            warn_of_unused_output_keys(name, &output.config, warnings);
            Ok(OutputPlan::Devo(Box::new(settings)))
        }
        "console" | "stdout" => Ok(OutputPlan::Console(name.to_owned())),
        other => Err(value(
            format!("outputs.{name}.type"),
            format!("{other} is not a type that this version has"),
            "Use devo_platform, relay, console or stdout.",
        )),
    }
}

fn devo_settings(name: &str, config: &OutputConfig, product: &Path) -> Result<DevoSettings, ConfigError> {
    let key = |field: &str| format!("outputs.{name}.config.{field}");
    let required = |field: &str, value: &Option<String>| {
        value.clone().ok_or_else(|| Cause::KeyMissing(key(field)).cure("Add it; see README.md for an example."))
    };
    let host = required("address", &config.address)?;
    let address = Address::new(&host, config.port.unwrap_or(DEFAULT_PORT))
        .map_err(|error| value(key("address"), error.to_string(), "Correct the address."))?;
    let files = TlsFiles {
        chain: certificate(product, &required("chain", &config.chain)?),
        cert: certificate(product, &required("cert", &config.cert)?),
        key: certificate(product, &required("key", &config.key)?),
    };
    let tls = Tls::from_files(&files).map_err(|error: TlsError| {
        Cause::Certificates { output: name.to_owned(), reason: error.to_string() }
            .cure("Download the certificates of your Devo domain again if in doubt.")
    })?;
    let mut settings = DevoSettings::new(name, address, Transport::Tls(tls));
    let seconds = |field: &str, given: Option<f64>, default: Duration| match given {
        None => Ok(default),
        Some(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| value(key(field), format!("{seconds} is not a time"), "Give a number of seconds.")),
    };
    settings.confirm_timeout =
        seconds("confirm_timeout_in_seconds", config.confirm_timeout_in_seconds, settings.confirm_timeout)?;
    settings.sending_timeout = seconds("sending_timeout", config.sending_timeout, settings.sending_timeout)?;
    settings.connecting_initial_wait = seconds(
        "connecting_initial_wait_in_seconds",
        config.connecting_initial_wait_in_seconds,
        settings.connecting_initial_wait,
    )?;
    settings.connecting_max_wait =
        seconds("connecting_max_wait_in_seconds", config.connecting_max_wait_in_seconds, settings.connecting_max_wait)?;
    settings.connecting_retries = config.connecting_retries.unwrap_or(settings.connecting_retries);
    settings.sending_retries = config.sending_retries.unwrap_or(settings.sending_retries);
    Ok(settings)
}

/// Keys of the original that change how events travel, not whether: to leave them without effect does no harm, but the
/// operator should know.
fn warn_of_unused_output_keys(name: &str, config: &OutputConfig, warnings: &mut Vec<String>) {
    let compresses = config.threshold_for_using_gzip_in_transport_layer.is_some_and(|threshold| threshold <= 1.0);
    let unused = [
        ("concurrent_connections", config.concurrent_connections.is_some()),
        ("period_sender_stats_in_seconds", config.period_sender_stats_in_seconds.is_some()),
        ("threshold_for_using_gzip_in_transport_layer", compresses),
        ("compression_level", compresses && config.compression_level.is_some()),
        ("compression_buffer_in_bytes", compresses && config.compression_buffer_in_bytes.is_some()),
    ];
    for (field, _) in unused.into_iter().filter(|(_, set)| *set) {
        warnings.push(format!("The key outputs.{name}.config.{field} has no effect in this version"));
    }
}

/// A relative certificate name is looked up in `certs/` as the original does, then beside it.
fn certificate(product: &Path, name: &str) -> PathBuf {
    let in_certs = product.join("certs").join(name);
    let beside = product.join(name);
    if beside.is_file() && !in_certs.is_file() { beside } else { in_certs }
}

fn service_plan(
    input_name: &str,
    input: &Input,
    service_name: &str,
    service: &Service,
    limiter: &InputLimiter,
    product: &Path,
    warnings: &mut Vec<String>,
) -> Result<ServicePlan, ConfigError> {
    let key = |field: &str| format!("inputs.{input_name}.{field}");
    let service_key = |field: &str| format!("inputs.{input_name}.services.{service_name}.{field}");
    if service_name != "alerts" {
        return Err(value(
            format!("inputs.{input_name}.services"),
            format!("there is no service {service_name}"),
            "Use alerts.",
        ));
    }
    if service.types.is_some() {
        warnings.push(format!("The key {} has no effect in this version", service_key("types")));
    }
    let base_url = [&service.override_base_url, &service.base_url, &input.base_url, &input.credentials.base_url]
        .into_iter()
        .find_map(Clone::clone)
        .ok_or_else(|| Cause::KeyMissing(key("base_url")).cure("Set it to the address of your CloudSEK instance."))?;
    let text = input.credentials.token.clone().or_else(|| input.token.clone());
    let file = input.credentials.token_file.as_ref().or(input.token_file.as_ref());
    let token = match (text, file) {
        (_, Some(file)) => Token::File(product.join(file)),
        (Some(text), None) => Token::Text(text),
        (None, None) => {
            return Err(Cause::KeyMissing(key("credentials.token"))
                .cure("Set it to the API token from your CloudSEK admin portal, or token_file to a file with it."));
        }
    };
    let current = token
        .read()
        .map_err(|error| value(key("credentials.token"), error.to_string(), "Nothing is pulled without a token."))?;
    let period = service.request_period_in_seconds.unwrap_or(DEFAULT_PERIOD_IN_SECONDS);
    if period == 0 {
        return Err(value(service_key("request_period_in_seconds"), "0 would never wait", "Give at least 1."));
    }
    let refresh = input.autoconfig.refresh_interval_in_seconds.unwrap_or(DEFAULT_REFRESH_IN_SECONDS);
    if refresh == 0 {
        return Err(value(key("autoconfig.refresh_interval_in_seconds"), "0 would never wait", "Give at least 1."));
    }
    let id =
        scalar(&input.id).ok_or_else(|| value(key("id"), "it is neither a text nor a number", "Give a short name."))?;
    let table = service.override_devo_tag.as_deref().unwrap_or("drp.cloudsek.xvigil.alerts");
    Ok(ServicePlan {
        identity: Identity { input: input_name.to_owned(), id, service: service_name.to_owned() },
        period: Duration::from_secs(period),
        refresh: Duration::from_secs(refresh),
        api: api_settings(&key, input, &base_url, current, product)?,
        token,
        overrides: [
            ("override_base_url", service.override_base_url.is_some()),
            ("override_devo_tag", service.override_devo_tag.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, set)| set.then_some(key))
        .collect(),
        table: table
            .parse()
            .map_err(|error| value(service_key("override_devo_tag"), format!("{error}"), "Correct the tag."))?,
        limiter: limiter.service(&rate::read(service.requests_limits.as_ref(), service.requests_per_second.as_ref())?),
        settings: component_settings(input, service, base_url),
        limits: limits(input),
    })
}

fn api_settings(
    key: &impl Fn(&str) -> String,
    input: &Input,
    base_url: &str,
    token: SecretString,
    product: &Path,
) -> Result<ApiClientSettings, ConfigError> {
    let origin = Origin::parse(base_url, input.allow_http)
        .map_err(|error| value(key("base_url"), error.to_string(), "Correct base_url."))?;
    let mut settings = ApiClientSettings::new(origin);
    settings.allow_private_addresses = input.allow_private_addresses;
    settings.ca_file = input.ca_file.as_ref().map(|file| certificate(product, file));
    if let Some(url) = &input.proxy_url {
        settings.proxy = ProxySettings::Url(url.clone());
    }
    if let Some(name) = &input.request.auth_header {
        settings.auth_header = HeaderName::try_from(name.as_str()).map_err(|_| {
            value(key("request.auth_header"), format!("{name} is not a header's name"), "Correct the name.")
        })?;
    }
    if let Some(prefix) = &input.request.auth_prefix {
        settings.auth_prefix.clone_from(prefix);
    }
    settings.token = Some(token);
    if let Some(cap) = input.max_body_in_bytes {
        settings.max_body_in_bytes = cap;
    }
    Ok(settings)
}

fn limits(input: &Input) -> Limits {
    let default = Limits::default();
    Limits {
        memory_in_bytes: input.limits.memory_in_bytes.unwrap_or(default.memory_in_bytes),
        cpu: input.limits.cpu_in_milliseconds.map_or(default.cpu, Duration::from_millis),
        wall: input.limits.wall_in_seconds.map_or(default.wall, Duration::from_secs),
    }
}

/// What the component reads through its configuration interface. No secret may be among it.
fn component_settings(input: &Input, service: &Service, base_url: String) -> Vec<(String, String)> {
    let request = &input.request;
    let filter = request.time_filter.as_ref();
    let optional = [
        ("environment", input.environment.clone()),
        ("initial_start_time_in_utc", service.initial_start_time_in_utc.as_ref().and_then(scalar)),
        ("reset_persistence_auth", service.reset_persistence_auth.as_ref().and_then(scalar)),
        ("obfuscation_data", service.obfuscation_data.as_ref().map(Value::to_string)),
        ("overlap_in_seconds", service.overlap_in_seconds.map(|seconds| seconds.to_string())),
        ("override_devo_tag", service.override_devo_tag.clone()),
        ("request.path", request.path.clone()),
        ("request.page_param", request.page_param.clone()),
        ("request.limit_param", request.limit_param.clone()),
        ("request.limit", request.limit.map(|limit| limit.to_string())),
        ("request.records", request.records.clone()),
        ("request.id", request.id.clone()),
        ("request.time", request.time.clone()),
        ("request.time_filter.param", filter.map(|filter| filter.param.clone())),
        ("request.time_filter.form", filter.and_then(|filter| filter.form.clone())),
    ];
    let given = optional.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
    std::iter::once(("base_url".to_owned(), base_url)).chain(given).collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(document: Value) -> Result<Plan, ConfigError> {
        let document = serde_json::from_value(document).unwrap();
        Plan::new(Source { document, product: PathBuf::from("product"), warnings: Vec::new() })
    }

    fn document(input: Value, service: Value) -> Value {
        let mut input = input;
        input["id"] = "cloudsek_1".into();
        input["services"] = serde_json::json!({"alerts": service});
        serde_json::json!({
            "globals": {"persistence": {"type": "filesystem"}},
            "outputs": {"devo_us_1": {"type": "console"}},
            "inputs": {"cloudsek": input},
        })
    }

    fn usual() -> Value {
        serde_json::json!({"base_url": "https://api.example.com", "credentials": {"token": "secret"}})
    }

    #[test]
    fn an_originals_configuration_needs_nothing_of_ours() {
        let plan = plan(document(usual(), serde_json::json!({}))).unwrap();
        let service = &plan.services[0];
        assert_eq!(service.identity.puller(), "CloudSekPuller(cloudsek,cloudsek_1,alerts,predefined)");
        assert_eq!(
            service.identity.puller_setup(),
            "CloudSekPullerSetup(cloudsek,cloudsek#cloudsek_1,alerts#predefined)"
        );
        assert_eq!(service.period, Duration::from_secs(60));
        assert_eq!(service.table.as_str(), "drp.cloudsek.xvigil.alerts");
        assert_eq!(plan.persistence, Persistence::Files(PathBuf::from("product/state")));
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    }

    #[test]
    fn the_component_is_never_told_the_token() {
        let plan = plan(document(usual(), serde_json::json!({}))).unwrap();
        assert!(!format!("{plan:?}").contains("secret"));
        assert!(plan.services[0].settings.iter().all(|(_, value)| !value.contains("secret")));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_its_key() {
        let error = |input, service| plan(document(input, service)).unwrap_err().to_string();
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let none = serde_json::json!({});
        assert!(error(json(r#"{"base_url":"https://a"}"#), none.clone()).contains("inputs.cloudsek.credentials.token"));
        assert!(error(json(r#"{"token":"t"}"#), none.clone()).contains("inputs.cloudsek.base_url"));
        assert!(error(json(r#"{"token":"t","base_url":"http://a"}"#), none).contains("allow_http"));
        let period = json(r#"{"request_period_in_seconds":0}"#);
        assert!(error(usual(), period).contains("inputs.cloudsek.services.alerts.request_period_in_seconds"));
        let mut named = document(usual(), json("{}"));
        named["globals"]["name"] = "a/b".into();
        assert!(plan(named).unwrap_err().to_string().contains("globals.name"));
    }

    #[test]
    fn a_disabled_input_is_left_alone() {
        let mut input = usual();
        input["enabled"] = false.into();
        assert!(plan(document(input, serde_json::json!({}))).unwrap_err().to_string().contains("services"));
    }
}

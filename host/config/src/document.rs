//! The configuration file as it is written: Devo's on-premise `config.yaml`, with the settings of our own.
//!
//! The types say which keys there are; what they mean together is checked in `plan`. They are also where keys
//! are documented: their comments, defaults and ranges become the JSON schema and the tables of
//! `docs/configuration.md`. A test holds the defaults and ranges against what the collector does.

use std::collections::BTreeMap;
use std::time::Duration;

use collector_model::Name;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::schema;

/// The configuration of devo-collector, `config.yaml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::document::<Self>)]
pub struct Document {
    #[serde(default)]
    pub globals: Globals,
    /// Where events go, by instance name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Output>")]
    pub outputs: BTreeMap<Name, Output>,
    /// What is collected, by input name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Input>")]
    pub inputs: BTreeMap<Name, Input>,
}

/// Settings of the whole collector.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Globals {
    /// More detail in the log.
    #[serde(default)]
    pub debug: bool,
    /// Sent with the collector's messages to Devo.
    pub id: Option<Text>,
    /// The collector's name in its messages to Devo.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.# -]+$"), extend("default" = "collector"))]
    pub name: Option<String>,
    /// Where state is kept. Without it, in memory, and a warning says so.
    pub persistence: Option<Persistence>,
}

/// Where state is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::persistence::<Self>)]
pub struct Persistence {
    /// Where: in files (`json` is the same), in a redis server, or in memory, where it is lost at the end.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["filesystem", "json", "redis", "memory"]))]
    pub kind: String,
    #[serde(default)]
    pub config: PersistenceConfig,
}

/// Where state files or the redis server are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct PersistenceConfig {
    /// The state folder, relative to the product folder.
    #[schemars(extend("default" = "state"))]
    pub directory_name: Option<String>,
    /// The host of the redis server. Required with `redis`.
    pub host: Option<String>,
    /// Its port.
    #[schemars(extend("default" = 6379))]
    pub port: Option<u16>,
    /// Its user. Without it, the server's default user.
    pub username: Option<String>,
    /// The user's password.
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// A file with that password, read for each connection.
    pub password_file: Option<String>,
    /// The number of the redis database.
    #[schemars(extend("default" = 0))]
    pub db: Option<i64>,
    /// Connects to redis over TLS.
    #[serde(default)]
    pub tls: bool,
    /// With TLS, root certificates to trust instead of the system's, PEM.
    pub ca_file: Option<String>,
}

/// One output.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::output::<Self>)]
pub struct Output {
    /// What is at the other end, and how it is spoken to.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = [
        "devo_platform", "relay", "in_house_relay", "syslog", "sidecar", "console", "stdout"
    ]))]
    pub kind: String,
    #[serde(default)]
    pub config: OutputConfig,
}

/// The settings of one output.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct OutputConfig {
    /// Host name or IP address of the receiver. Required, except for standard output.
    #[serde(alias = "url", alias = "location")]
    #[schemars(extend("x-also" = ["url", "location"]))]
    pub address: Option<String>,
    /// Its port. 443 with TLS, required without.
    pub port: Option<u16>,
    /// `SSL`. Read by the original, and here implied by the type of the output.
    #[serde(rename = "type")]
    #[allow(dead_code, reason = "accepted because every original configuration has it")]
    pub transport: Option<String>,
    /// Certificates of the receiver's authority, PEM; a relative name is looked up in `certs/`. Required with
    /// TLS.
    #[serde(alias = "chain_loc")]
    #[schemars(extend("x-also" = ["chain_loc"]))]
    pub chain: Option<String>,
    /// The client's certificate, likewise.
    #[serde(alias = "cert_loc")]
    #[schemars(extend("x-also" = ["cert_loc"]))]
    pub cert: Option<String>,
    /// The key of that certificate, likewise.
    #[serde(alias = "key_loc")]
    #[schemars(extend("x-also" = ["key_loc"]))]
    pub key: Option<String>,
    /// Attempts to connect before a delivery fails.
    #[schemars(extend("default" = 5))]
    pub connecting_retries: Option<u32>,
    /// The wait before the second attempt; it grows.
    #[schemars(range(min = 0, max = 31_536_000), extend("default" = 2))]
    pub connecting_initial_wait_in_seconds: Option<f64>,
    /// The longest wait between attempts.
    #[schemars(range(min = 0, max = 31_536_000), extend("default" = 60))]
    pub connecting_max_wait_in_seconds: Option<f64>,
    /// Seconds within which the receiver must accept some bytes.
    #[schemars(range(min = 0, max = 31_536_000), extend("default" = 5))]
    pub sending_timeout: Option<f64>,
    /// Retries of an interrupted delivery.
    #[schemars(extend("default" = 5))]
    pub sending_retries: Option<u32>,
    /// How long a flush waits for the acknowledgement: the receiver's end of file.
    #[schemars(range(min = 0, max = 31_536_000), extend("default" = 30))]
    pub confirm_timeout_in_seconds: Option<f64>,
    /// Connections that events are spread over.
    #[schemars(range(min = 1, max = 64), extend("default" = 1))]
    pub concurrent_connections: Option<usize>,
    /// Interval between reports of what was sent.
    #[schemars(range(min = 60, max = 1800), extend("default" = 300))]
    pub period_sender_stats_in_seconds: Option<u64>,
    /// How full the queue must be for events to be compressed: negative is always, more than 1 is never.
    #[schemars(range(min = -1, max = 1.1), extend("default" = 1.1))]
    pub threshold_for_using_gzip_in_transport_layer: Option<f64>,
    /// From 1 (fast) to 9 (small), and 0 for none.
    #[schemars(range(min = 0, max = 9), extend("default" = 6))]
    pub compression_level: Option<u32>,
    /// How many bytes of events are compressed together.
    #[schemars(extend("default" = 51_200))]
    pub compression_buffer_in_bytes: Option<usize>,
    /// Certificate and key in one file, instead of `cert` and `key`.
    pub pkcs: Option<Pkcs>,
    /// The receiver's certificate must be for `address`. The original does not check it: `false`.
    #[schemars(extend("default" = true))]
    pub verify_hostname: Option<bool>,
    /// A larger event is not sent but kept in `dead_letters_file` with the reason; the others are delivered.
    /// Without it, no limit.
    pub max_event_in_bytes: Option<usize>,
    /// Where larger events are kept. Without it, `dead_letters/<output>.ndjson` in the product folder.
    pub dead_letters_file: Option<String>,
    /// Telemetry: the collector's own log and metrics are sent to this output too, to `devo.collectors.out.*`
    /// and `devo.collector.metric.message_sent`. Never to standard output.
    #[schemars(extend("default" = true))]
    pub internal_messages: Option<bool>,
}

/// A PKCS#12 file.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Pkcs {
    /// The PKCS#12 file; a relative name is looked up in `certs/`.
    pub path: String,
    /// Its password. Without it, an empty one.
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// A file with that password.
    pub password_file: Option<String>,
}

/// One input: an account at the vendor.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Input {
    /// Part of the service's identity, in the log and in the state: at most 64 characters, all of them
    /// visible.
    pub id: Text,
    /// An input that is not enabled is left alone.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Address of the CloudSEK instance; it may have a path. Required here, in `credentials` or on the
    /// service.
    pub base_url: Option<String>,
    #[serde(default)]
    pub credentials: Credentials,
    /// The same as `credentials.token`, which is used if both are set.
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// The same as `credentials.token_file`, which is used if both are set.
    pub token_file: Option<String>,
    /// Rate limits of requests to the API; those of a service apply in addition to those of its input. If
    /// neither has any, 20 requests a minute.
    #[serde(default)]
    #[schemars(schema_with = "schema::requests_limits")]
    pub requests_limits: Option<Value>,
    /// One more such limit, as a rate. Below 1 it is a longer interval: 0.5 is one request in two seconds.
    #[serde(default)]
    #[schemars(schema_with = "schema::requests_per_second")]
    pub requests_per_second: Option<Value>,
    #[serde(default)]
    pub autoconfig: Autoconfig,
    /// Added to every event as `@devo_environment`.
    pub environment: Option<String>,
    /// `base_url` may be plain http.
    #[serde(default)]
    pub allow_http: bool,
    /// `base_url` may resolve to loopback, link-local or private addresses.
    #[serde(default)]
    pub allow_private_addresses: bool,
    /// Additional certificates to trust for the API, PEM: roots, or an intermediate one that the server does
    /// not send.
    pub ca_file: Option<String>,
    /// A proxy for the API. Without it, `HTTPS_PROXY` and `NO_PROXY` of the environment apply.
    #[schemars(with = "Option<String>")]
    pub proxy_url: Option<SecretString>,
    /// A file with the address of that proxy, which may have a password in it.
    pub proxy_url_file: Option<String>,
    /// How pages are requested, where it differs from what is known of the API.
    #[serde(default)]
    pub request: Request,
    /// The largest answer of the API that is accepted. The same as `limits.max_body_in_bytes`, which is used
    /// if both are set.
    #[schemars(extend("default" = collector_model::Limits::default().max_body_in_bytes))]
    pub max_body_in_bytes: Option<u64>,
    /// What one call of the component may use.
    #[serde(default)]
    pub limits: Limits,
    /// Another collector component instead of the bundled one: its file, relative to the product folder.
    /// Keys of the input, its services and `request` that are not known here are settings of it.
    pub component: Option<String>,
    /// What is collected from this account: the settings of each service, by its name. The bundled component
    /// has one service, `alerts`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Service>")]
    pub services: BTreeMap<Name, Service>,
    /// The component's own settings as flat names, with their values.
    #[serde(skip)]
    pub others: Settings,
}

/// What a component is told: flat names, and their values.
pub type Settings = Vec<(String, String)>;

/// How often the set-up is repeated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Autoconfig {
    /// Interval between checks of the credentials.
    #[schemars(range(min = 1, max = 31_536_000), extend("default" = 600))]
    pub refresh_interval_in_seconds: Option<u64>,
}

/// How pages are requested.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Request {
    /// The path of the API, below that of `base_url`.
    #[schemars(extend("default" = "/api/historic/alerts"))]
    pub path: Option<String>,
    /// The query parameter with the page's number, counted from 1.
    #[schemars(extend("default" = "page"))]
    pub page_param: Option<String>,
    /// The query parameter with the page's size.
    #[schemars(extend("default" = "limit"))]
    pub limit_param: Option<String>,
    /// Records in one page.
    #[schemars(range(min = 1), extend("default" = 100))]
    pub limit: Option<u32>,
    /// The header that carries the token. None that says where a request goes or how it is sent, such as
    /// `Host`, `Content-Length`, `Connection` or `Proxy-*`.
    #[schemars(extend("default" = "Authorization"))]
    pub auth_header: Option<String>,
    /// What stands before the token in that header.
    #[schemars(extend("default" = "Bearer "))]
    pub auth_prefix: Option<String>,
    /// JSON pointer to the records of an answer. Without it, the places that the API is known to use, such as
    /// `/data`.
    #[schemars(regex(pattern = "^(/.*)?$"))]
    pub records: Option<String>,
    /// JSON pointer to a record's id.
    #[schemars(regex(pattern = "^(/.*)?$"), extend("default" = "/id"))]
    pub id: Option<String>,
    /// JSON pointer to a record's time.
    #[schemars(regex(pattern = "^(/.*)?$"), extend("default" = "/incident_time"))]
    pub time: Option<String>,
    /// A query parameter of the API for alerts since a time. Without it, none is sent.
    pub time_filter: Option<TimeFilter>,
}

/// A query parameter that asks for alerts since a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct TimeFilter {
    /// The name of the query parameter for alerts since a time.
    pub param: String,
    /// How that time is written; `days` are whole days back from now.
    #[schemars(extend(
        "enum" = ["days", "rfc3339", "epoch_seconds", "epoch_milliseconds", null],
        "default" = "rfc3339"
    ))]
    pub form: Option<String>,
}

/// What one call of the component may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Limits {
    /// All linear memories together.
    #[schemars(extend("default" = collector_model::Limits::default().memory_in_bytes))]
    pub memory_in_bytes: Option<usize>,
    /// Elements of all tables together.
    #[schemars(extend("default" = collector_model::Limits::default().table_elements))]
    pub table_elements: Option<usize>,
    /// Time in which the component's own code runs.
    #[schemars(extend("default" = 60_000))]
    pub cpu_in_milliseconds: Option<u64>,
    /// Time from the start of the call to its end, waits included.
    #[schemars(extend("default" = 600))]
    pub wall_in_seconds: Option<u64>,
    /// What one host call may pass to the host.
    #[schemars(extend("default" = collector_model::Limits::default().host_call_in_bytes))]
    pub host_call_in_bytes: Option<usize>,
    /// Requests, bodies and streams open at the same time.
    #[schemars(extend("default" = collector_model::Limits::default().handles))]
    pub handles: Option<usize>,
    /// Requests to the API.
    #[schemars(extend("default" = collector_model::Limits::default().requests))]
    pub requests: Option<u32>,
    /// Requests at the same time.
    #[schemars(extend("default" = collector_model::Limits::default().concurrent_requests))]
    pub concurrent_requests: Option<u32>,
    /// Lines in the log.
    #[schemars(extend("default" = collector_model::Limits::default().log_lines))]
    pub log_lines: Option<u32>,
    /// The largest answer of the API, after decompression.
    #[schemars(extend("default" = collector_model::Limits::default().max_body_in_bytes))]
    pub max_body_in_bytes: Option<u64>,
    /// The largest value that it may store; up to 64 of them.
    #[schemars(extend("default" = collector_model::Limits::default().state_in_bytes))]
    pub state_in_bytes: Option<usize>,
    /// Events that wait for an output or for its acknowledgement.
    #[schemars(extend("default" = collector_model::Limits::default().queue_in_bytes))]
    pub queue_in_bytes: Option<usize>,
}

impl Limits {
    /// What is asked for, and `default` for the rest.
    pub fn over(&self, default: collector_model::Limits) -> collector_model::Limits {
        collector_model::Limits {
            memory_in_bytes: self.memory_in_bytes.unwrap_or(default.memory_in_bytes),
            table_elements: self.table_elements.unwrap_or(default.table_elements),
            cpu: self.cpu_in_milliseconds.map_or(default.cpu, Duration::from_millis),
            wall: self.wall_in_seconds.map_or(default.wall, Duration::from_secs),
            host_call_in_bytes: self.host_call_in_bytes.unwrap_or(default.host_call_in_bytes),
            handles: self.handles.unwrap_or(default.handles),
            requests: self.requests.unwrap_or(default.requests),
            concurrent_requests: self.concurrent_requests.unwrap_or(default.concurrent_requests),
            log_lines: self.log_lines.unwrap_or(default.log_lines),
            max_body_in_bytes: self.max_body_in_bytes.unwrap_or(default.max_body_in_bytes),
            state_in_bytes: self.state_in_bytes.unwrap_or(default.state_in_bytes),
            queue_in_bytes: self.queue_in_bytes.unwrap_or(default.queue_in_bytes),
        }
    }
}

/// The account's secrets.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Credentials {
    /// The API token. Required, or a file with it.
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// A file with the API token, relative to the product folder; it is read again whenever the credentials
    /// are checked.
    pub token_file: Option<String>,
    /// The same as `base_url` of the input, which is used if both are set.
    pub base_url: Option<String>,
}

/// One service of an input.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct Service {
    /// Interval between pull starts.
    #[schemars(range(min = 1, max = 31_536_000), extend("default" = 60))]
    pub request_period_in_seconds: Option<u64>,
    /// Alerts from before this time are left out; it must be in the past, such as `2022-01-01T00:00:00Z`.
    /// Without it, everything is collected.
    #[schemars(extend("type" = ["string", "number", "null"]))]
    pub initial_start_time_in_utc: Option<Text>,
    /// How far back the hourly check for late alerts reaches; older ones are found by the daily check.
    #[schemars(extend("default" = 86_400))]
    pub overlap_in_seconds: Option<u64>,
    /// An alert is delivered again when its content has changed under the same id. Half as many delivered
    /// alerts are then remembered (500,000).
    #[schemars(extend("default" = false))]
    pub deliver_changes: Option<bool>,
    /// A new value resets the persistence, once.
    pub reset_persistence_auth: Option<Text>,
    /// The Devo table. Without it `drp.cloudsek.xvigil.alerts`; required with `component`.
    pub override_devo_tag: Option<String>,
    /// Replaces `base_url` for this service.
    pub override_base_url: Option<String>,
    /// The same as on the input, which it replaces.
    pub base_url: Option<String>,
    /// As on the input, in addition to its limits.
    #[serde(default)]
    #[schemars(schema_with = "schema::requests_limits")]
    pub requests_limits: Option<Value>,
    /// As on the input, in addition to its limits.
    #[serde(default)]
    #[schemars(schema_with = "schema::requests_per_second")]
    pub requests_per_second: Option<Value>,
    /// Masks of fields, see below.
    #[serde(default)]
    #[schemars(schema_with = "schema::obfuscation_data")]
    pub obfuscation_data: Option<Value>,
    /// Read by the original; there is only `predefined`.
    pub types: Option<Vec<String>>,
    /// Settings of the input's own component, as flat names with their values.
    #[serde(skip)]
    pub others: Settings,
}

fn enabled() -> bool {
    true
}

/// A text, or a number or a flag as it would be written.
#[derive(Debug, Clone)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Bool(flag) => Ok(Self(flag.to_string())),
            _ => Err(de::Error::custom("it is neither a text nor a number")),
        }
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "number", "boolean"]})
    }
}

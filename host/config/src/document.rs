//! The configuration file as it is written: Devo's on-premise `config.yaml`, with the settings of our own.
//!
//! The types say which keys there are; what they mean together is checked in `plan`.

use std::collections::BTreeMap;
use std::time::Duration;

use collector_model::Name;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

/// The whole file.
#[derive(Debug, Deserialize, JsonSchema)]
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
pub struct Globals {
    /// Adds detail to the log.
    #[serde(default)]
    pub debug: bool,
    /// Not used, as in the original.
    #[allow(dead_code, reason = "accepted because every original configuration has it")]
    pub id: Option<Value>,
    /// The collector's name.
    pub name: Option<String>,
    pub persistence: Option<Persistence>,
}

/// Where state is kept.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Persistence {
    /// `filesystem`, `json` (the same), `redis` or `memory`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub config: PersistenceConfig,
}

/// Where state files or the redis server are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct PersistenceConfig {
    /// The state folder, relative to the product folder. `state` if not given.
    pub directory_name: Option<String>,
    /// The redis server's host.
    pub host: Option<String>,
    /// The redis server's port; 6379 if not given.
    pub port: Option<u16>,
    /// The redis user; the server's default one if not given.
    pub username: Option<String>,
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// A file with the password.
    pub password_file: Option<String>,
    /// The number of the redis database; 0 if not given.
    pub db: Option<i64>,
    /// Whether to speak TLS with the redis server.
    #[serde(default)]
    pub tls: bool,
    /// With TLS, root certificates in place of the system's, PEM.
    pub ca_file: Option<String>,
}

/// One output.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Output {
    /// `devo_platform`, `relay` (TLS), `in_house_relay`, `syslog`, `sidecar` (TCP), `console` or `stdout`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub config: OutputConfig,
}

/// The settings of one output. `address`, `chain`, `cert` and `key` have older names too.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct OutputConfig {
    #[serde(alias = "url", alias = "location")]
    pub address: Option<String>,
    pub port: Option<u16>,
    /// `SSL`; read by the original, and implied by the output's type.
    #[serde(rename = "type")]
    #[allow(dead_code, reason = "accepted because every original configuration has it")]
    pub transport: Option<String>,
    #[serde(alias = "chain_loc")]
    pub chain: Option<String>,
    #[serde(alias = "cert_loc")]
    pub cert: Option<String>,
    #[serde(alias = "key_loc")]
    pub key: Option<String>,
    pub connecting_retries: Option<u32>,
    pub connecting_initial_wait_in_seconds: Option<f64>,
    pub connecting_max_wait_in_seconds: Option<f64>,
    pub sending_timeout: Option<f64>,
    pub sending_retries: Option<u32>,
    /// How long a flush waits for the receiver's end of file.
    pub confirm_timeout_in_seconds: Option<f64>,
    /// How many connections events are spread over.
    pub concurrent_connections: Option<usize>,
    /// How often it is reported how much was sent: 60 to 1800, 300 if not given.
    pub period_sender_stats_in_seconds: Option<u64>,
    /// How full the queue must be for events to be compressed: negative is always, 1.1 never.
    pub threshold_for_using_gzip_in_transport_layer: Option<f64>,
    /// 1 (fast) to 9 (small); 6 if not given.
    pub compression_level: Option<u32>,
    /// Events are gathered up to this size before they are compressed; 51200 if not given.
    pub compression_buffer_in_bytes: Option<usize>,
    /// Certificate and key in one file, instead of `cert` and `key`.
    pub pkcs: Option<Pkcs>,
    /// Whether the name in the receiver's certificate must be that of `address`; yes if not given.
    pub verify_hostname: Option<bool>,
    /// Larger events are not sent but put aside; no limit if not given.
    pub max_event_in_bytes: Option<usize>,
    /// Where they are put; `dead_letters/<output>.ndjson` in the product folder if not given.
    pub dead_letters_file: Option<String>,
    /// Whether the collector's own messages and metrics are sent there too; yes if not given.
    pub internal_messages: Option<bool>,
}

/// A PKCS#12 file.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Pkcs {
    pub path: String,
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// A file with the password.
    pub password_file: Option<String>,
}

/// One input: an account at the vendor.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Input {
    /// Part of the service's identity, in the log and in the state.
    pub id: Value,
    #[serde(default = "enabled")]
    pub enabled: bool,
    #[serde(default)]
    pub credentials: Credentials,
    /// Address of the CloudSEK instance.
    pub base_url: Option<String>,
    /// The API token, if it does not stand in `credentials`.
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// A file with the API token, read again whenever the credentials are checked.
    pub token_file: Option<String>,
    pub requests_limits: Option<Value>,
    pub requests_per_second: Option<Value>,
    #[serde(default)]
    pub autoconfig: Autoconfig,
    /// Added to every event as `@devo_environment`.
    pub environment: Option<String>,
    /// What is collected from this account.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Service>")]
    pub services: BTreeMap<Name, Service>,
    /// `base_url` may be plain http.
    #[serde(default)]
    pub allow_http: bool,
    /// `base_url` may resolve to loopback, link-local or private addresses.
    #[serde(default)]
    pub allow_private_addresses: bool,
    /// Further root certificates for the API, PEM.
    pub ca_file: Option<String>,
    /// A proxy for the API.
    #[schemars(with = "Option<String>")]
    pub proxy_url: Option<SecretString>,
    /// A file with the address of that proxy, which may have a password in it.
    pub proxy_url_file: Option<String>,
    /// How pages are asked for, where it differs from what is known of the API.
    #[serde(default)]
    pub request: Request,
    /// The largest answer of the API, in bytes; the same as `limits.max_body_in_bytes`, which counts more.
    pub max_body_in_bytes: Option<u64>,
    /// What one call of the component may use.
    #[serde(default)]
    pub limits: Limits,
    /// Another collector component in place of the bundled one: its file, relative to the product folder.
    /// Keys of the input and its services that are not known here are its settings.
    pub component: Option<String>,
    /// Those keys as flat names, with their values.
    #[serde(skip)]
    pub others: Settings,
}

/// What a component is told: flat names, and their values.
pub type Settings = Vec<(String, String)>;

/// How often the set-up is repeated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Autoconfig {
    pub refresh_interval_in_seconds: Option<u64>,
}

/// How pages are asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Request {
    pub path: Option<String>,
    pub page_param: Option<String>,
    pub limit_param: Option<String>,
    pub limit: Option<u32>,
    pub auth_header: Option<String>,
    pub auth_prefix: Option<String>,
    /// JSON pointer to the records of an answer.
    pub records: Option<String>,
    /// JSON pointer to a record's id.
    pub id: Option<String>,
    /// JSON pointer to a record's time.
    pub time: Option<String>,
    pub time_filter: Option<TimeFilter>,
}

/// A query parameter that asks for alerts since a time.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TimeFilter {
    pub param: String,
    /// `days`, `rfc3339`, `epoch_seconds` or `epoch_milliseconds`.
    pub form: Option<String>,
}

/// What one call of the component may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Limits {
    pub memory_in_bytes: Option<usize>,
    pub table_elements: Option<usize>,
    pub cpu_in_milliseconds: Option<u64>,
    pub wall_in_seconds: Option<u64>,
    /// What it may hand over in one call of a host function.
    pub host_call_in_bytes: Option<usize>,
    /// Handles that are open at the same time.
    pub handles: Option<usize>,
    /// Requests to the API.
    pub requests: Option<u32>,
    pub concurrent_requests: Option<u32>,
    pub log_lines: Option<u32>,
    /// The largest answer of the API, in bytes.
    pub max_body_in_bytes: Option<u64>,
    /// The largest value that it may store.
    pub state_in_bytes: Option<usize>,
    /// Events that wait for one output, or for its confirmation.
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
pub struct Credentials {
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// A file with the API token, read again whenever the credentials are checked.
    pub token_file: Option<String>,
    pub base_url: Option<String>,
}

/// One service of an input.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Service {
    pub request_period_in_seconds: Option<u64>,
    pub base_url: Option<String>,
    pub initial_start_time_in_utc: Option<Value>,
    /// A new value starts the persistence anew.
    pub reset_persistence_auth: Option<Value>,
    pub requests_limits: Option<Value>,
    pub requests_per_second: Option<Value>,
    pub obfuscation_data: Option<Value>,
    /// Read by the original; there is only `predefined`.
    pub types: Option<Vec<String>>,
    /// How far a pull looks back for alerts that appear late.
    pub overlap_in_seconds: Option<u64>,
    /// Whether an alert is delivered again when its content has changed under the same id; no if not given.
    pub deliver_changes: Option<bool>,
    pub override_devo_tag: Option<String>,
    pub override_base_url: Option<String>,
    /// Settings of the input's own component, as flat names with their values.
    #[serde(skip)]
    pub others: Settings,
}

fn enabled() -> bool {
    true
}

//! `host.yaml`: what the operator of a hosting process decides, and what no tenant can overrule. Read once,
//! at the start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use collector_files::RootedPath;
use collector_model::{CallBounds, CompilationLimits, Limits};
use collector_net::Network;
use schemars::JsonSchema;
use serde::Deserialize;

use super::admin::{AdminAddress, AdminSettings};
use super::document::Limits as AskedLimits;
use super::maps::list_for_map;
use super::policy::{Hosts, Policy};
use super::quota::Quota;
use super::read::MAX_FILE_IN_BYTES;
use super::redis_server::RedisServer;
use super::schema;

/// Its name beside the folder of the tenants.
const FILE: &str = "host.yaml";

/// What the operator decides.
#[derive(Debug, Clone, PartialEq)]
pub struct HostConfig {
    /// Whether the log has more detail.
    pub debug: bool,
    /// Where metrics and health are served, and to whom.
    pub admin: AdminSettings,
    /// What tenants may ask for.
    pub policy: Policy,
    /// What the calls of all of them may use together.
    pub calls: CallBounds,
    /// What compiling a component of a tenant may use.
    pub compilation: CompilationLimits,
}

/// The operator's settings of a process that hosts tenants, `host.yaml`.
// A key that is not known is an error: one that is misspelt would leave open what was to be closed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
pub(crate) struct Document {
    /// More detail in the log, for all tenants.
    debug: bool,
    /// Where metrics, health and a status page are served, such as `127.0.0.1:9464` or
    /// `unix:/run/collector.sock`. Without it, nowhere.
    #[schemars(with = "Option<String>", regex(pattern = r"^unix:.|:[0-9]{1,5}$"))]
    admin: Option<AdminAddress>,
    /// Names of the machine by which they may be asked for, besides its IP addresses and `localhost`.
    admin_names: Vec<String>,
    /// A file with a token that whoever asks must know, relative to the folder that the process runs in. It
    /// is read at the start.
    admin_token_file: Option<PathBuf>,
    /// The most that one call of a tenant's component may use, and what it may use if its configuration does
    /// not say.
    limits: AskedLimits,
    /// The most that a tenant may have.
    quota: Quota,
    /// All calls of all tenants together that are under way at one time.
    calls: Calls,
    /// Where tenants may connect to.
    egress: Egress,
    /// Tenants may use a component of their own. It is looked at and compiled before it runs, in a sandbox.
    allow_components: bool,
    /// What compiling one of them may use. It happens in a process of its own, one at a time.
    compilation: Compilation,
    /// Redis servers in which tenants may keep their state.
    redis_servers: Vec<RedisServer>,
    /// Tenants may keep their state in any other redis server, at addresses that they may reach otherwise.
    allow_redis: bool,
    /// `${NAME}` in a tenant's configuration reads the environment of the process.
    allow_environment_variables: bool,
}

/// All calls of all tenants together that are under way at one time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
struct Calls {
    /// Memory for them: linear memories, answers and events on their way. Without it, half of what the
    /// machine or the control group has. At least 32 MiB.
    #[schemars(range(min = CallBounds::LEAST_MEMORY))]
    memory_in_bytes: Option<u64>,
    /// How many of them there are; others wait for their turn. At most as many as have 4 MiB each in half of
    /// that memory.
    #[schemars(range(min = 1), extend("default" = CallBounds::MOST_AT_ONCE))]
    at_once: Option<usize>,
}

/// What compiling a tenant's component may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
struct Compilation {
    /// Address space of that process, about 40 MB for the program itself included.
    memory_in_bytes: u64,
    /// Time in which it computes.
    cpu_in_seconds: u64,
    /// Time from its start to its end.
    wall_in_seconds: u64,
}

impl Default for Compilation {
    fn default() -> Self {
        let CompilationLimits { memory_in_bytes, cpu, wall } = CompilationLimits::default();
        Self { memory_in_bytes, cpu_in_seconds: cpu.as_secs(), wall_in_seconds: wall.as_secs() }
    }
}

/// Where tenants may connect to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, transform = schema::ordered::<Self>)]
struct Egress {
    /// Tenants may reach loopback, link-local and private addresses.
    allow_private_addresses: bool,
    /// Networks that nobody may connect to, such as public addresses of the operator's own: `203.0.113.0/24`.
    #[schemars(with = "Vec<String>")]
    deny_networks: Vec<Network>,
    /// Their `base_url` may be plain http.
    allow_http: bool,
    /// They may name a proxy for the API.
    allow_proxy: bool,
    /// Which hosts `base_url` may name.
    api_hosts: Hosts,
    /// Which hosts outputs may name.
    output_hosts: Hosts,
}

impl HostConfig {
    /// Reads the file that was named, or the `host.yaml` beside the folder of the tenants if there is one.
    /// Without any, tenants are allowed nothing that needs the operator's permission.
    ///
    /// # Errors
    /// The named file is missing, or what is there can't be read or understood.
    pub fn read(named: Option<&Path>, tenants: &Path) -> Result<Self> {
        let beside = || {
            let folder = tenants.canonicalize().ok()?;
            Some(folder.parent()?.join(FILE)).filter(|file| file.exists())
        };
        let file: Option<PathBuf> = named.map(Path::to_owned).or_else(beside);
        let Some(file) = file else { return Self::of(Document::default()) };
        let shown = file.display();
        let content = RootedPath::of_operator(&file)
            .read(MAX_FILE_IN_BYTES)
            .with_context(|| format!("the operator's file {shown} can't be read; nothing was started"))?;
        let parsed = String::from_utf8(content).map_err(anyhow::Error::from).and_then(|text| Self::parse(&text));
        parsed.with_context(|| format!("the operator's file {shown} is not valid; nothing was started"))
    }

    fn parse(text: &str) -> Result<Self> {
        // An empty file, or one of comments alone, leaves everything as it is.
        let options = serde_saphyr::options! { with_snippet: false };
        let value: serde_json::Value = serde_saphyr::from_str_with_options(text, options)?;
        if value.is_null() {
            return Self::of(Document::default());
        }
        if let Some(key) = list_for_map(schemars::schema_for!(Document).as_value(), &value) {
            bail!("the key {key}: it is a list, where a map belongs");
        }
        let mut unknown = Vec::new();
        let mut note = |key: serde_ignored::Path<'_>| unknown.push(key.to_string());
        let reader = serde_ignored::Deserializer::new(value, &mut note);
        let document = serde_path_to_error::deserialize(reader)
            .map_err(|error| anyhow!("the key {}: {}", error.path(), error.inner()))?;
        if let Some(key) = unknown.first() {
            bail!("the key {key} is not known");
        }
        Self::of(document)
    }

    fn of(document: Document) -> Result<Self> {
        let Document { debug, admin, limits, quota, calls, compilation, egress, .. } = document;
        if calls.memory_in_bytes.is_some_and(|bytes| bytes < CallBounds::LEAST_MEMORY) {
            bail!("the key calls.memory_in_bytes: {} is the least that calls can do with", CallBounds::LEAST_MEMORY);
        }
        if calls.at_once == Some(0) {
            bail!("the key calls.at_once: no call could be made");
        }
        let admin =
            AdminSettings { address: admin, names: document.admin_names, token_file: document.admin_token_file };
        let policy = Policy {
            limits: Some(limits.over(Limits::default())),
            quota,
            allow_private_addresses: egress.allow_private_addresses,
            deny_networks: egress.deny_networks.into(),
            allow_http: egress.allow_http,
            allow_proxy: egress.allow_proxy,
            // Standard output is the operator's, and so is how much is logged.
            allow_console: false,
            allow_debug: false,
            allow_components: document.allow_components,
            redis_servers: document.redis_servers,
            allow_redis: document.allow_redis,
            allow_environment: document.allow_environment_variables,
            api_hosts: egress.api_hosts,
            output_hosts: egress.output_hosts,
        };
        let calls = CallBounds::new(calls.memory_in_bytes, calls.at_once);
        let Compilation { memory_in_bytes, cpu_in_seconds, wall_in_seconds } = compilation;
        let (cpu, wall) = (Duration::from_secs(cpu_in_seconds), Duration::from_secs(wall_in_seconds));
        let compilation = CompilationLimits { memory_in_bytes, cpu, wall };
        Ok(Self { debug, admin, policy, calls, compilation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_of_the_operator_everything_that_needs_leave_is_closed() {
        for text in ["", "# nothing\n", "{}"] {
            assert_eq!(HostConfig::parse(text).unwrap().policy, Policy::hosted(), "{text:?}");
        }
    }

    #[test]
    fn what_the_operator_says_holds() {
        let text = "
debug: true
admin: 127.0.0.1:9464
admin_names: [collector.internal]
admin_token_file: token
limits: {memory_in_bytes: 1000, wall_in_seconds: 9}
quota: {services: 2, shortest_period_in_seconds: 30, log_in_bytes_a_minute: 3000}
calls: {memory_in_bytes: 104857600, at_once: 7}
egress:
  allow_private_addresses: true
  deny_networks: [8.8.8.0/24, '2606:4700::/32', 1.1.1.1]
  allow_http: true
  allow_proxy: true
  api_hosts: {allow: [api.cloudsek.com]}
  output_hosts: {deny: ['*.example.com']}
allow_components: true
compilation: {cpu_in_seconds: 5}
redis_servers: [{host: redis.internal}, {host: 10.0.0.7, port: 7000, dbs: [1, 2]}]
allow_redis: true
allow_environment_variables: true
";
        let HostConfig { debug, admin, policy, calls, compilation } = HostConfig::parse(text).unwrap();
        assert_eq!(compilation, CompilationLimits { cpu: Duration::from_secs(5), ..CompilationLimits::default() });
        assert_eq!(admin.address, Some(AdminAddress::Tcp(([127, 0, 0, 1], 9464).into())));
        assert_eq!((admin.names, admin.token_file), (vec!["collector.internal".to_owned()], Some("token".into())));
        assert_eq!((calls.memory_in_bytes, calls.at_once), (100 << 20, 7));
        let shortest_period = Duration::from_secs(30);
        let quota = Quota { services: 2, shortest_period, log_in_bytes_a_minute: 3_000, ..Quota::default() };
        assert_eq!(policy.quota, quota);
        let limits = policy.limits.unwrap();
        assert!(debug);
        assert_eq!((limits.memory_in_bytes, limits.wall), (1000, Duration::from_secs(9)));
        assert_eq!(limits.cpu, Limits::default().cpu);
        let denied = |address: &str| !policy.addresses(true).range(address.parse().unwrap()).is_allowed(true);
        assert!(["8.8.8.8", "2606:4700::1111", "1.1.1.1"].into_iter().all(denied) && !denied("8.8.4.4"));
        assert!(policy.allow_private_addresses && policy.allow_http && policy.allow_proxy);
        assert!(policy.allow_redis && policy.allow_components && policy.allow_environment);
        assert!(policy.redis_servers[0].is_at("redis.internal", 6379) && policy.redis_servers[0].has(0));
        assert!(policy.redis_servers[1].is_at("10.0.0.7", 7000) && policy.redis_servers[1].has(2));
        assert!(!policy.allow_console && !policy.allow_debug);
        assert_ne!(policy.api_hosts, Hosts::default());
        assert_ne!(policy.output_hosts, Hosts::default());
    }

    #[test]
    fn a_key_that_is_misspelt_is_an_error_and_not_an_open_door() {
        for (text, key) in [
            ("egres: {}", "egres"),
            ("egress: {output_hosts: {denny: [a]}}", "egress.output_hosts"),
            ("limits: {memory_in_bytes: lots}", "limits.memory_in_bytes"),
            ("limits: {memory: 1}", "limits.memory"),
            ("quota: {outputs: many}", "quota.outputs"),
            ("quota: {output: 1}", "quota.output"),
            ("calls: {memory_in_bytes: 1000000}", "calls.memory_in_bytes"),
            ("calls: {at_once: 0}", "calls.at_once"),
            ("calls: {number: 1}", "calls.number"),
            ("admin: 9464", "admin"),
            ("admin: localhost:9464", "admin"),
            ("egress: {deny_networks: [8.8.8.0/33]}", "egress.deny_networks"),
            ("egress: {allow_htp: true}", "egress.allow_htp"),
            ("egress: {api_hosts: {allow: ['*']}}", "egress.api_hosts"),
            ("egress: [true]", "egress"),
            ("redis_servers: [{host: a, db: 1}]", "db"),
            ("redis_servers: [{port: 1}]", "redis_servers"),
            ("redis_servers: {host: a}", "redis_servers"),
            ("redis_servers: [[a, 1, [0]]]", "redis_servers[0]"),
            ("quota: []", "quota"),
            ("compilation: {memory: 1}", "compilation.memory"),
        ] {
            let error = HostConfig::parse(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}

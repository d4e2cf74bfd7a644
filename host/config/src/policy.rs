//! What the operator lets a configuration ask for. A configuration of the operator's own may ask for
//! everything; one that a tenant of a hosting process wrote may not, for it shares the machine, its network
//! and its secrets with others.
//!
//! Pure: each rule takes what a key asks for and gives a refusal that names the key and the policy behind it.

use std::net::IpAddr;
use std::sync::Arc;

use collector_egress::Origin;
use collector_model::{Limit, Limits};
use collector_net::{AddressPolicy, AddressRange, Network};
use schemars::JsonSchema;
use serde::Deserialize;

use super::document;
use super::error::{ConfigError, refused};
use super::quota::{self, Quota};
use super::redis_server::RedisServer;
use super::schema;

/// What configurations may ask for. By default: nothing of what needs permission.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// The most that a call may use, which is also what it gets that asks for nothing. None: no bound.
    pub limits: Option<Limits>,
    /// The most of everything else.
    pub quota: Quota,
    /// Whether APIs and receivers may be at loopback, link-local or private addresses.
    pub allow_private_addresses: bool,
    /// Networks that nobody may connect to.
    pub deny_networks: Arc<[Network]>,
    /// Whether APIs may be spoken to over plain HTTP.
    pub allow_http: bool,
    /// Whether a proxy for the API may be named.
    pub allow_proxy: bool,
    /// Whether events may go to standard output.
    pub allow_console: bool,
    /// Whether an input may bring a component of its own.
    pub allow_components: bool,
    /// The operator's redis servers, in which state may be kept.
    pub redis_servers: Vec<RedisServer>,
    /// Whether it may be kept in any other one.
    pub allow_redis: bool,
    /// Whether `${NAME}` may read the environment of the process.
    pub allow_environment: bool,
    /// Whether the log's detail is for the configuration to set.
    pub allow_debug: bool,
    /// Which hosts `base_url` may name.
    pub api_hosts: Hosts,
    /// Which hosts outputs may name.
    pub output_hosts: Hosts,
}

impl Policy {
    /// For hosted tenants, where the operator says nothing else.
    pub fn hosted() -> Self {
        Self { limits: Some(Limits::default()), ..Self::default() }
    }

    /// For a configuration of the operator's own.
    pub fn permissive() -> Self {
        Self {
            limits: None,
            quota: Quota::unlimited(),
            allow_private_addresses: true,
            deny_networks: Arc::default(),
            allow_http: true,
            allow_proxy: true,
            allow_console: true,
            allow_components: true,
            redis_servers: Vec::new(),
            allow_redis: true,
            allow_environment: true,
            allow_debug: true,
            api_hosts: Hosts::default(),
            output_hosts: Hosts::default(),
        }
    }

    /// What a call may use. `input` is the key of the input, such as `inputs.cloudsek`, and `body` the
    /// largest answer that it asks for beside its limits.
    ///
    /// # Errors
    /// A limit above the operator's.
    pub(super) fn limits(
        &self,
        input: &str,
        asked: &document::Limits,
        body: Option<u64>,
    ) -> Result<Limits, ConfigError> {
        let most = self.limits.unwrap_or_default();
        let mut limits = asked.over(most);
        if let (None, Some(body)) = (asked.max_body_in_bytes, body) {
            limits.max_body_in_bytes = body;
        }
        if self.limits.is_none() {
            return Ok(limits);
        }
        for limit in Limit::ALL {
            quota::at_most(format!("{input}.limits.{}", limit.key()), limits.amount(limit), most.amount(limit))?;
        }
        Ok(limits)
    }

    /// Whether the key `flag` may be set, which opens what `allowed` is about.
    pub(super) fn flag(&self, key: &str, is_set: bool, allowed: bool, what: &str) -> Result<(), ConfigError> {
        permit(!is_set || allowed, key, || format!("{what} are not for tenants of this host"))
    }

    /// Whether the API may be at this origin.
    pub(super) fn api(&self, key: &str, origin: &Origin) -> Result<(), ConfigError> {
        permit(self.api_hosts.admit(origin.host()), key, || format!("the host {} is not allowed", origin.host()))
    }

    /// Whether an output may be at this host, a name or an address.
    pub(super) fn output(&self, key: &str, host: &str) -> Result<(), ConfigError> {
        permit(self.output_hosts.admit(host), key, || format!("the host {host} is not allowed"))?;
        self.literal(key, host)
    }

    /// Whether state may be kept in this database of this redis server, and at which addresses the server may
    /// be. `key` gives the name of a key beside those of the server. One that the operator lists is there by
    /// the operator's own word, in a private network too.
    pub(super) fn redis(
        &self,
        key: impl Fn(&str) -> String,
        host: &str,
        port: u16,
        db: i64,
    ) -> Result<AddressPolicy, ConfigError> {
        let listed: Vec<_> = self.redis_servers.iter().filter(|server| server.is_at(host, port)).collect();
        if !listed.is_empty() {
            let has = listed.iter().any(|server| server.has(db));
            permit(has, &key("db"), || format!("the database {db} of {host}:{port} is not for tenants of this host"))?;
            return Ok(self.addresses(true));
        }
        permit(self.allow_redis, &key("host"), || format!("the server {host}:{port} is not for tenants of this host"))?;
        self.literal(&key("host"), host)?;
        Ok(self.addresses(self.allow_private_addresses))
    }

    /// Whether a host may be connected to, as far as its own text says. Where a name leads is checked when it
    /// is looked up.
    fn literal(&self, key: &str, host: &str) -> Result<(), ConfigError> {
        let Ok(address) = host.parse::<IpAddr>() else { return Ok(()) };
        let range = self.addresses(self.allow_private_addresses).range(address);
        permit(range != AddressRange::Denied, key, || format!("{host} is in a network that is denied"))?;
        permit(self.allow_private_addresses || range.is_allowed(false), key, || {
            format!("{host} is an address of the host's own network")
        })
    }

    /// Where connections may go, if `allow_private` is its permission for private networks.
    pub(super) fn addresses(&self, allow_private: bool) -> AddressPolicy {
        AddressPolicy { allow_private, denied: self.deny_networks.clone() }
    }

    /// Whether a kind of thing may be used at all, such as redis.
    pub(super) fn permit(&self, key: &str, allowed: bool, what: &str) -> Result<(), ConfigError> {
        permit(allowed, key, || format!("{what} is not for tenants of this host"))
    }
}

fn permit(allowed: bool, key: &str, reason: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if allowed {
        return Ok(());
    }
    Err(refused(key, reason(), "Change it, or ask the operator, who can allow it in host.yaml."))
}

/// Which hosts may be named: those on the list, or all if there is none, and never one that is denied.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = schema::ordered::<Self>)]
pub struct Hosts {
    /// Names or addresses; `*.example.com` is every name below it. Without this list, all.
    allow: Option<Vec<Pattern>>,
    /// Those that may not be named even so.
    #[serde(default)]
    deny: Vec<Pattern>,
}

impl Hosts {
    fn admit(&self, host: &str) -> bool {
        let on = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(host));
        self.allow.as_deref().is_none_or(on) && !on(&self.deny)
    }
}

/// A host, or `*.domain` for every name below that domain.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String", extend("pattern" = r"^(\*\.)?[^*/ ]+$"))]
struct Pattern(String);

impl Pattern {
    fn matches(&self, host: &str) -> bool {
        // The dot at the end of a whole DNS name changes nothing about where it leads.
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self.0.strip_prefix('*') {
            Some(domain) => host.strip_suffix(domain).is_some_and(|below| !below.is_empty()),
            None => host == self.0,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_prefix("*.").unwrap_or(&text);
        if name.is_empty() || name.contains(['*', '/', ' ']) {
            return Err(format!("{text:?} is neither a host nor *.domain"));
        }
        Ok(Self(text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hosts(text: &str) -> Hosts {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_host_must_be_on_the_list_if_there_is_one_and_on_no_list_of_denied_ones() {
        assert!(hosts("{}").admit("anything.example"));
        let listed = hosts(r#"{"allow": ["api.cloudsek.com", "*.devo.io"], "deny": ["bad.devo.io"]}"#);
        for host in ["api.cloudsek.com", "API.cloudsek.com.", "us.devo.io", "a.b.devo.io"] {
            assert!(listed.admit(host), "{host}");
        }
        for host in ["cloudsek.com", "x.api.cloudsek.com", "devo.io", "evildevo.io", "bad.devo.io", "Bad.Devo.io."] {
            assert!(!listed.admit(host), "{host}");
        }
    }

    #[test]
    fn a_pattern_that_would_never_match_is_refused() {
        for text in ["", "*", "*.", "a.*", "https://a", "a b"] {
            assert!(serde_json::from_value::<Pattern>(text.into()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_tenant_may_ask_for_less_and_never_for_more() {
        let (cpu, wall) = (Duration::from_millis(20), Duration::from_secs(30));
        let most = Limits { memory_in_bytes: 1000, cpu, wall, requests: 40, ..Limits::default() };
        let policy = Policy { limits: Some(most), ..Policy::default() };
        let ask = |text: &str| policy.limits("inputs.a", &serde_json::from_str(text).unwrap(), None);
        assert_eq!(ask("{}").unwrap(), most);
        assert_eq!(ask(r#"{"memory_in_bytes": 999}"#).unwrap(), Limits { memory_in_bytes: 999, ..most });
        for (text, field) in [
            (r#"{"memory_in_bytes": 1001}"#, "memory_in_bytes"),
            (r#"{"cpu_in_milliseconds": 21}"#, "cpu_in_milliseconds"),
            (r#"{"wall_in_seconds": 31}"#, "wall_in_seconds"),
            (r#"{"requests": 41}"#, "requests"),
        ] {
            let error = ask(text).unwrap_err().to_string();
            assert!(error.contains("[CODE:0008]") && error.contains(&format!("inputs.a.limits.{field}")), "{error}");
            assert!(error.contains("operator"), "{error}");
        }
        let body = |body| policy.limits("inputs.a", &document::Limits::default(), Some(body));
        assert_eq!(body(7).unwrap().max_body_in_bytes, 7);
        assert!(body(1 << 40).unwrap_err().to_string().contains("inputs.a.limits.max_body_in_bytes"));
        let more: document::Limits = serde_json::from_str(r#"{"memory_in_bytes": 1000000000000}"#).unwrap();
        assert_eq!(Policy::permissive().limits("inputs.a", &more, None).unwrap().memory_in_bytes, 1_000_000_000_000);
    }

    #[test]
    fn the_operator_decides_which_redis_servers_and_databases_there_are() {
        let ask =
            |policy: &Policy, host: &str, port, db| policy.redis(|field| format!("config.{field}"), host, port, db);
        let refused = |policy: &Policy, host: &str, port, db| ask(policy, host, port, db).unwrap_err().to_string();
        let servers = r#"[{"host": "redis.internal"}, {"host": "10.0.0.7", "port": 7000, "dbs": [3, 4]}]"#;
        let listing = Policy { redis_servers: serde_json::from_str(servers).unwrap(), ..Policy::hosted() };
        // What is listed may be in a private network, and in none that is denied.
        let denied: Arc<[Network]> = ["10.0.0.0/24".parse().unwrap()].into();
        let listing = Policy { deny_networks: denied.clone(), ..listing };
        let addresses = AddressPolicy { allow_private: true, denied };
        assert_eq!(ask(&listing, "redis.internal", 6379, 0).unwrap(), addresses);
        assert_eq!(ask(&listing, "10.0.0.7", 7000, 4).unwrap(), addresses);
        for any in [false, true] {
            let listing = Policy { allow_redis: any, ..listing.clone() };
            for (host, port, db) in [("redis.internal", 6379, 1), ("::ffff:10.0.0.7", 7000, 0), ("10.0.0.7", 7000, -1)]
            {
                let error = refused(&listing, host, port, db);
                assert!(error.contains("config.db") && error.contains("[CODE:0008]"), "{error}");
            }
        }
        for (host, port) in
            [("127.0.0.1", 6379), ("redis.internal", 6380), ("10.0.0.7", 6379), ("redis.example.com", 6379)]
        {
            let error = refused(&listing, host, port, 0);
            assert!(error.contains("config.host") && error.contains("[CODE:0008]"), "{error}");
        }
        // Any other server is as far away as an output.
        let any = Policy { allow_redis: true, ..Policy::hosted() };
        assert!(!ask(&any, "redis.example.com", 6379, 7).unwrap().allow_private);
        for host in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "10.1.2.3"] {
            assert!(refused(&any, host, 6379, 0).contains("config.host"), "{host}");
            ask(&Policy { allow_private_addresses: true, ..any.clone() }, host, 6379, 0).unwrap();
            ask(&Policy::permissive(), host, 6379, 0).unwrap();
        }
    }

    #[test]
    fn an_address_of_the_hosts_own_network_is_refused_in_an_output() {
        let policy = Policy::hosted();
        for host in ["127.0.0.1", "::1", "169.254.169.254", "10.1.2.3", "::ffff:10.1.2.3"] {
            assert!(policy.output("outputs.a.config.address", host).is_err(), "{host}");
            assert!(Policy::permissive().output("outputs.a.config.address", host).is_ok(), "{host}");
        }
        assert!(policy.output("outputs.a.config.address", "collector-us.devo.io").is_ok());
        assert!(policy.output("outputs.a.config.address", "1.1.1.1").is_ok());
    }
}

//! What a configuration means: outputs, services and state with every value checked and every default filled
//! in.

mod component;
mod output;
mod service;
mod settings;

use std::time::Duration;

use collector_egress::rate::{self, InputLimiter};
use collector_files::RootedPath;
use collector_model::{KnownSecrets, Secret};
use collector_state::RedisSettings;

use crate::document::{Document, Globals, PersistenceConfig, Text};
use crate::error::{Cause, ConfigError, value};
use crate::files::Files;
use crate::permissions;
use crate::policy::Policy;
use crate::quota;
use crate::read::Source;
use crate::redis_server::REDIS_PORT;

pub use component::Component;
pub use output::{OutputPlan, Receiver};
pub use service::ServicePlan;

/// The collector's name where the configuration gives it none.
const DEFAULT_NAME: &str = "collector";

/// The longest period or wait that can be asked for, a year: a clock can't be set to what lies far beyond.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Everything that a configuration asks for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `globals.id`, which the collector's messages to Devo carry.
    pub id: String,
    /// `globals.name`, which they carry too.
    pub name: String,
    /// Whether the log has more detail.
    pub debug: bool,
    /// Where state is kept.
    pub persistence: Persistence,
    /// What the values that are kept there may have together; none: everything.
    pub stored_in_bytes: Option<u64>,
    /// Where events go.
    pub outputs: Vec<OutputPlan>,
    /// What is pulled.
    pub services: Vec<ServicePlan>,
    /// The inputs that are not enabled, by their names.
    pub disabled: Vec<String>,
    /// Every secret in it: none may be shown.
    pub secrets: KnownSecrets,
    /// What the operator should know although it is no error.
    pub warnings: Vec<String>,
}

/// Where state is kept.
#[derive(Debug, Clone)]
pub enum Persistence {
    /// In files of this folder.
    Files(RootedPath),
    /// In a redis server.
    Redis(RedisSettings),
    /// Nowhere: it ends with the process.
    Memory,
}

impl Plan {
    /// Checks a configuration and fills in what it leaves open. `policy` is the operator's.
    pub fn new(source: Source, policy: &Policy) -> Result<Self, ConfigError> {
        let Source { document, files, mut warnings } = source;
        let name = collector_name(document.globals.name.as_deref())?;
        let secrets = KnownSecrets::default();
        let persistence = persistence(&document, &files, policy, &secrets, &mut warnings)?;
        if document.globals.debug && !policy.allow_debug {
            warnings.push("globals.debug has no effect: the log of this host is its operator's".to_owned());
        }
        quota::at_most("outputs", document.outputs.len(), policy.quota.outputs)?;
        let mut outputs = Vec::new();
        for (name, output) in &document.outputs {
            outputs.push(OutputPlan::new(name, output, &files, policy, &secrets, &mut warnings)?);
        }
        if outputs.is_empty() {
            return Err(
                Cause::KeyMissing("outputs".to_owned()).remedy("Add an output, for example of the type devo_platform.")
            );
        }
        let inputs = document.inputs.values().filter(|input| input.enabled);
        quota::at_most("inputs.*.services", inputs.map(|input| input.services.len()).sum(), policy.quota.services)?;
        let mut services = Vec::new();
        for (name, input) in document.inputs.iter().filter(|(_, input)| input.enabled) {
            let limits = rate::read(input.requests_limits.as_ref(), input.requests_per_second.as_ref())?;
            let limiter = InputLimiter::new(&limits);
            for (service_name, service) in &input.services {
                let (files, secrets) = (&files, &secrets);
                let keys = service::Keys { input_name: name, input, service_name, service, files, policy, secrets };
                services.push(keys.plan(&limiter, &mut warnings)?);
            }
        }
        let disabled = document.inputs.iter().filter(|(_, input)| !input.enabled);
        let disabled: Vec<_> = disabled.map(|(name, _)| name.to_string()).collect();
        if services.is_empty() && disabled.is_empty() {
            return Err(Cause::KeyMissing("inputs.<name>.services".to_owned())
                .remedy("Add an enabled input with the service alerts."));
        }
        let Globals { debug, id, .. } = document.globals;
        let id = id.map(|Text(id)| id).unwrap_or_default();
        let stored_in_bytes = Some(policy.quota.stored_in_bytes).filter(|bytes| *bytes != u64::MAX);
        Ok(Self { id, name, debug, persistence, stored_in_bytes, outputs, services, disabled, secrets, warnings })
    }
}

/// The original's rule for `globals.name`, after it has made `.`, `#` and blanks a `_`.
fn collector_name(name: Option<&str>) -> Result<String, ConfigError> {
    let name = name.unwrap_or(DEFAULT_NAME).replace(['.', '#', ' '], "_");
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(value(
            "globals.name",
            format!("{name:?} has other characters than letters, digits, - and _"),
            "Give the collector a plain name.",
        ));
    }
    Ok(name)
}

fn persistence(
    document: &Document,
    files: &Files,
    policy: &Policy,
    secrets: &KnownSecrets,
    warnings: &mut Vec<String>,
) -> Result<Persistence, ConfigError> {
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
            Ok(Persistence::Files(files.writable("globals.persistence.config.directory_name", folder)?))
        }
        "redis" => {
            let allowed = policy.allow_redis || !policy.redis_servers.is_empty();
            policy.permit("globals.persistence.type", allowed, "redis")?;
            Ok(Persistence::Redis(redis(&persistence.config, files, policy, secrets, warnings)?))
        }
        "memory" => Ok(Persistence::Memory),
        other => Err(value(
            "globals.persistence.type",
            format!("{other} is not a type that this version has"),
            "Use filesystem, json, redis or memory.",
        )),
    }
}

fn redis(
    config: &PersistenceConfig,
    files: &Files,
    policy: &Policy,
    secrets: &KnownSecrets,
    warnings: &mut Vec<String>,
) -> Result<RedisSettings, ConfigError> {
    let key = |field: &str| format!("globals.persistence.config.{field}");
    let host = config
        .host
        .clone()
        .ok_or_else(|| Cause::KeyMissing(key("host")).remedy("Set it to the redis server's host."))?;
    let (port, db) = (config.port.unwrap_or(REDIS_PORT), config.db.unwrap_or(0));
    let addresses = policy.redis(key, &host, port, db)?;
    let file = config.password_file.as_ref().map(|file| files.readable(&key("password_file"), file)).transpose()?;
    let password = Secret::new(config.password.as_ref(), file);
    if let Some(Secret::File(file)) = &password {
        warnings.extend(permissions::warning("a password", file));
    }
    // One that can't be read is an error of whoever connects.
    if let Some(Ok(password)) = password.as_ref().map(Secret::read) {
        secrets.add(&password);
    }
    Ok(RedisSettings {
        host,
        port,
        addresses,
        username: config.username.clone(),
        password,
        db,
        tls: config.tls,
        ca_file: config.ca_file.as_ref().map(|name| files.certificate(&key("ca_file"), name)).transpose()?,
        tenant: files.tenant().cloned(),
        threads: files.threads(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::quota::Quota;

    fn plan(document: Value) -> Result<Plan, ConfigError> {
        plan_within(document, &Policy::permissive())
    }

    fn plan_within(document: Value, policy: &Policy) -> Result<Plan, ConfigError> {
        let document = serde_json::from_value(document).unwrap();
        Plan::new(Source { document, files: Files::anywhere("product".into()), warnings: Vec::new() }, policy)
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
        serde_json::json!({"base_url": "https://api.example.com", "credentials": {"token": "t0ken-of-a-test"}})
    }

    #[test]
    fn an_originals_configuration_needs_nothing_of_ours() {
        let plan = plan(document(usual(), serde_json::json!({}))).unwrap();
        let service = &plan.services[0];
        assert_eq!(
            (service.identity.to_string(), &service.component),
            ("cloudsek;cloudsek_1;alerts".into(), &Component::Bundled)
        );
        assert_eq!(service.period, Duration::from_secs(60));
        assert_eq!(service.table.as_str(), "drp.cloudsek.xvigil.alerts");
        assert!(matches!(plan.persistence, Persistence::Files(folder) if folder.path() == Path::new("product/state")));
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        assert_eq!(plan.stored_in_bytes, None, "an operator of one has no quota");
    }

    #[test]
    fn a_token_stands_in_the_settings_of_the_api_alone_and_its_file_is_known() {
        let inline = plan(document(usual(), serde_json::json!({}))).unwrap();
        assert_eq!(inline.services[0].token_file, None);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let mut input = usual();
        input["credentials"] = serde_json::json!({"token_file": file.path()});
        let service = &plan(document(input, serde_json::json!({}))).unwrap().services[0];
        assert_eq!(service.token_file.as_ref().map(RootedPath::path), Some(file.path()));
        assert_eq!(service.api.token.as_ref().map(ExposeSecret::expose_secret), Some("secret"));
    }

    #[test]
    fn a_name_with_a_line_break_is_refused_under_its_key() {
        let mut document = document(usual(), serde_json::json!({}));
        document["inputs"]["cloudsek"]["id"] = "a\nERROR".into();
        let error = plan(document).unwrap_err().to_string();
        assert!(error.contains("inputs.cloudsek.id") && error.contains("characters that end a line"), "{error}");
    }

    #[test]
    fn a_tenant_may_have_no_more_of_anything_than_the_operators_quota() {
        let shortest_period = Duration::from_secs(120);
        let quota = Quota { services: 1, outputs: 1, concurrent_connections: 2, shortest_period, ..Quota::default() };
        let policy = Policy { quota, ..Policy::permissive() };
        let plan = plan_within(document(usual(), serde_json::json!({})), &policy).unwrap();
        let service = &plan.services[0];
        assert_eq!((service.period, service.refresh), (Duration::from_secs(120), Duration::from_secs(600)));
        assert_eq!(plan.stored_in_bytes, Some(256 * 1024 * 1024));
        let with = |pointer: &str, value: Value| {
            let mut document = document(usual(), serde_json::json!({}));
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[key] = value;
            plan_within(document, &policy).unwrap_err().to_string()
        };
        let syslog = |connections: usize| {
            let config = serde_json::json!({"address": "a", "port": 1, "concurrent_connections": connections});
            serde_json::json!({"type": "syslog", "config": config})
        };
        for (key, error) in [
            ("outputs", with("/outputs/other", syslog(1))),
            ("outputs.devo_us_1.config.concurrent_connections", with("/outputs/devo_us_1", syslog(3))),
            ("inputs.*.services", with("/inputs/other", serde_json::json!({"id": 1, "services": {"alerts": {}}}))),
            (
                "inputs.cloudsek.services.alerts.request_period_in_seconds",
                with("/inputs/cloudsek/services/alerts/request_period_in_seconds", 119.into()),
            ),
            (
                "inputs.cloudsek.autoconfig.refresh_interval_in_seconds",
                with("/inputs/cloudsek/autoconfig", serde_json::json!({"refresh_interval_in_seconds": 60})),
            ),
        ] {
            assert!(error.contains("[CODE:0008]") && error.contains(&format!("the key {key} ")), "{key}: {error}");
            assert!(error.contains("the operator's"), "{error}");
        }
    }

    #[test]
    fn the_component_is_never_told_the_token() {
        let plan = plan(document(usual(), serde_json::json!({}))).unwrap();
        assert!(!format!("{plan:?}").contains("t0ken-of-a-test"));
        assert!(plan.services[0].settings.iter().all(|(_, value)| !value.contains("t0ken-of-a-test")));
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
        let endless = json(r#"{"request_period_in_seconds":18446744073709551615}"#);
        assert!(error(usual(), endless).contains("more than a year"));
        let mut named = document(usual(), json("{}"));
        named["globals"]["name"] = "a/b".into();
        assert!(plan(named).unwrap_err().to_string().contains("globals.name"));
    }

    #[test]
    fn an_input_with_its_own_component_names_its_services_and_table_itself() {
        let mut input = usual();
        input["component"] = "acme.wasm".into();
        let mut document = document(input, serde_json::json!({}));
        let missing = plan(document.clone()).unwrap_err().to_string();
        assert!(missing.contains("the key inputs.cloudsek.services.alerts.override_devo_tag is missing"), "{missing}");
        let service = serde_json::json!({"override_devo_tag": "my.app.acme.events", "types": ["any"]});
        document["inputs"]["cloudsek"]["services"] = serde_json::json!({ "events": service });
        let plan_of = plan(document.clone()).unwrap();
        let Component::File { path, key } = &plan_of.services[0].component else { panic!("the bundled one") };
        assert_eq!((path.path(), &**key), (Path::new("product/acme.wasm"), "inputs.cloudsek.component"));
        assert!(plan_of.warnings.is_empty(), "{:?}", plan_of.warnings);
        document["inputs"]["cloudsek"]["component"] = Value::Null;
        let unknown = plan(document).unwrap_err().to_string();
        assert!(unknown.contains("there is no service events") && unknown.contains("inputs.cloudsek.component"));
    }

    #[test]
    fn state_can_be_in_redis() {
        let mut redis = document(usual(), serde_json::json!({}));
        let config = serde_json::json!({"host": "redis.internal", "password": "hunter2"});
        redis["globals"]["persistence"] = serde_json::json!({"type": "redis", "config": config});
        let plan_of = plan(redis.clone()).unwrap();
        assert!(!format!("{plan_of:?}").contains("hunter2"));
        let Persistence::Redis(settings) = plan_of.persistence else { panic!("{:?}", plan_of.persistence) };
        assert_eq!((&*settings.host, settings.port, settings.db), ("redis.internal", 6379, 0));
        redis["globals"]["persistence"]["config"] = serde_json::json!({});
        assert!(plan(redis).unwrap_err().to_string().contains("globals.persistence.config.host"));
    }

    #[test]
    fn a_disabled_input_is_left_alone() {
        let mut input = usual();
        input["enabled"] = false.into();
        let plan_of = plan(document(input, serde_json::json!({}))).unwrap();
        assert!(plan_of.services.is_empty());
        assert_eq!(plan_of.disabled, ["cloudsek"]);
    }

    #[test]
    fn what_the_operator_does_not_allow_is_refused_with_its_key() {
        let policy = Policy::hosted();
        let mut hosted = document(usual(), serde_json::json!({}));
        hosted["outputs"]["devo_us_1"] =
            serde_json::json!({"type": "syslog", "config": {"address": "relay.example.com", "port": 601}});
        plan_within(hosted.clone(), &policy).unwrap();
        for (pointer, key, given) in [
            ("/outputs/devo_us_1", "outputs.devo_us_1.type", serde_json::json!({"type": "console"})),
            ("/outputs/devo_us_1/config/address", "outputs.devo_us_1.config.address", "127.0.0.1".into()),
            ("/globals/persistence/type", "globals.persistence.type", "redis".into()),
            ("/inputs/cloudsek/allow_http", "inputs.cloudsek.allow_http", true.into()),
            ("/inputs/cloudsek/allow_private_addresses", "inputs.cloudsek.allow_private_addresses", true.into()),
            ("/inputs/cloudsek/proxy_url", "inputs.cloudsek.proxy_url", "http://proxy".into()),
            ("/inputs/cloudsek/proxy_url_file", "inputs.cloudsek.proxy_url", "proxy".into()),
            ("/inputs/cloudsek/limits", "limits.memory_in_bytes", serde_json::json!({"memory_in_bytes": 1u64 << 40})),
        ] {
            let mut asked = hosted.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            asked.pointer_mut(parent).unwrap()[name] = given;
            let error = plan_within(asked, &policy).unwrap_err().to_string();
            assert!(error.contains("[CODE:0008]") && error.contains(key) && error.contains("operator"), "{error}");
        }
    }

    #[test]
    fn the_operators_list_of_hosts_holds_for_apis_and_for_outputs() {
        let only = |host: &str| serde_json::from_value(serde_json::json!({"allow": [host]})).unwrap();
        let mut hosted = document(usual(), serde_json::json!({}));
        hosted["outputs"]["devo_us_1"] =
            serde_json::json!({"type": "syslog", "config": {"address": "relay.example.com", "port": 601}});
        let refusal = |policy: Policy| plan_within(hosted.clone(), &policy).unwrap_err().to_string();
        let apis = refusal(Policy { api_hosts: only("api.cloudsek.com"), ..Policy::hosted() });
        assert!(apis.contains("inputs.cloudsek.base_url") && apis.contains("api.example.com"), "{apis}");
        let outputs = refusal(Policy { output_hosts: only("*.devo.io"), ..Policy::hosted() });
        assert!(outputs.contains("outputs.devo_us_1.config.address"), "{outputs}");
    }
}

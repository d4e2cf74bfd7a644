//! The schemas in `docs` are those of the types, and say the same as the collector.
//!
//! Full configurations are broken in every place: each key is left out, misspelt, and given every kind of
//! value. Schema and collector (with the component, which checks what is its own) must come to the same
//! verdict, apart from what `difference` lists with a reason. A key that the collector only warns about
//! counts as refused: the warning is all that it can do for configurations that ran with the original.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use chrono::{DateTime, Utc};
use cloudsek_xvigil::settings::Settings;
use collector_config::{Component, HostConfig, Place, Plan, Policy, Schema, ServicePlan, read};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A schema, ready to check with.
struct Checker {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Checker {
    fn new(schema: Schema) -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let url = "https://example.com/schema.json";
        compiler.add_resource(url, serde_json::from_str(&schema.text()).unwrap()).unwrap();
        let index = compiler.compile(url, &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        self.schemas.validate(value, self.index).map_err(|error| format!("{error:#}"))
    }
}

/// A product folder with the certificates that the configurations name.
struct Product(TempDir);

impl Product {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["certs", "config"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        for (name, text) in [("certs/chain.crt", cert.pem()), ("certs/domain.key", key.serialize_pem())] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        for name in ["token", "proxy", "acme.wasm"] {
            std::fs::write(folder.path().join(name), "http://t0ken").unwrap();
        }
        Self(folder)
    }

    /// What the collector and its component say about a configuration.
    fn check(&self, configuration: &Value) -> Result<String, String> {
        let path = self.0.path().join("config/config.json");
        write_anew(&path, configuration);
        let source = read(&Place::OnPremise(path)).map_err(|error| error.to_string())?;
        let plan = Plan::new(source, &Policy::permissive()).map_err(|error| error.to_string())?;
        let unknown = ["is not known", "Illegal global", "is not given to the component"];
        if let Some(warning) = plan.warnings.iter().find(|line| unknown.iter().any(|words| line.contains(words))) {
            return Err(warning.clone());
        }
        let now: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut meaning =
            format!("{:?}{:?}{:?}{:?}{:?}", plan.id, plan.name, plan.debug, plan.persistence, plan.outputs);
        for service in &plan.services {
            // Not the limiter, which has a clock, nor what the component is told: what it makes of it counts.
            let ServicePlan { identity, period, refresh, api, overrides, table, limits, .. } = service;
            meaning += &format!("{identity}{period:?}{refresh:?}{api:?}{overrides:?}{table:?}{limits:?}");
            if service.component == Component::Bundled {
                let settings = Settings::read(service.settings.to_vec(), now).map_err(|error| error.to_string())?;
                meaning += &format!("{settings:?}");
            }
        }
        Ok(meaning)
    }
}

/// Writes a file that is not there. A file system brings one to the disk that takes the place of another,
/// which would take most of the time of these tests.
fn write_anew(path: &Path, value: &Value) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, value.to_string()).unwrap();
}

/// Every key of an input but those of another component, and every key of an output. Not one with TLS, whose
/// certificates would be loaded two thousand times.
fn full() -> Value {
    json!({
        "globals": {
            "debug": false, "id": "not_used", "name": "cloudsek",
            "persistence": {"type": "filesystem", "config": {"directory_name": "state"}},
        },
        "outputs": {"devo_us_1": {"type": "syslog", "config": {
            "address": "collector-us.devo.io", "port": 443, "type": "SSL",
            "chain": "chain.crt", "cert": "chain.crt", "key": "domain.key",
            "connecting_retries": 5, "connecting_initial_wait_in_seconds": 2, "connecting_max_wait_in_seconds": 60,
            "sending_timeout": 5.0, "sending_retries": 5, "confirm_timeout_in_seconds": 30,
            "concurrent_connections": 2, "period_sender_stats_in_seconds": 300,
            "threshold_for_using_gzip_in_transport_layer": 0.5, "compression_level": 6,
            "compression_buffer_in_bytes": 51200, "verify_hostname": true, "max_event_in_bytes": 1_000_000,
            "dead_letters_file": "dead_letters/large.ndjson", "internal_messages": true,
        }}},
        "inputs": {"cloudsek": {
            "id": "cloudsek_1", "enabled": true, "base_url": "https://api.cloudsek.com",
            "credentials": {"token": "t0ken", "token_file": "token", "base_url": "https://api.cloudsek.com"},
            "token": "t0ken", "token_file": "token",
            "requests_limits": [{"period": "1d", "number_of_requests": -1}, {"period": "1h", "number_of_requests": 9}],
            "requests_per_second": 0.5, "autoconfig": {"refresh_interval_in_seconds": 600},
            "environment": "prod", "allow_http": false, "allow_private_addresses": false, "ca_file": "chain.crt",
            "proxy_url": "http://proxy:8080", "proxy_url_file": "proxy",
            "request": {
                "path": "/api", "page_param": "page", "limit_param": "limit", "limit": 100,
                "auth_header": "Authorization", "auth_prefix": "Bearer ", "records": "/data", "id": "/id",
                "time": "/incident_time", "time_filter": {"param": "since", "form": "days"},
            },
            "max_body_in_bytes": 1000, "limits": {
                "memory_in_bytes": 1000, "table_elements": 1000, "cpu_in_milliseconds": 1000, "wall_in_seconds": 10,
                "host_call_in_bytes": 1000, "handles": 10, "requests": 10, "concurrent_requests": 1, "log_lines": 10,
                "max_body_in_bytes": 1000, "state_in_bytes": 1000, "queue_in_bytes": 1000,
            },
            "services": {"alerts": {
                "request_period_in_seconds": 60, "base_url": "https://api.cloudsek.com",
                "initial_start_time_in_utc": "2022-01-01T00:00:00Z", "reset_persistence_auth": "2",
                "requests_limits": [{"period": "1m", "number_of_requests": 20}], "requests_per_second": 2,
                "obfuscation_data": [
                    {"name": ["user", "*", 0], "value": "****"}, {"name": "email", "string_patterns": ["^[^@]+"]},
                ],
                "types": ["predefined"], "overlap_in_seconds": 60, "deliver_changes": true,
                "override_devo_tag": "my.app.cloudsek.alerts", "override_base_url": "https://api.cloudsek.com",
            }},
        }},
    })
}

/// What an on-premise configuration of the original has.
fn original() -> Value {
    json!({
        "globals": {
            "debug": false, "id": "not_used", "name": "cloudsek",
            "persistence": {"type": "filesystem", "config": {"directory_name": "state"}},
        },
        "outputs": {"devo_us_1": {"type": "devo_platform", "config": {
            "address": "collector-us.devo.io", "port": 443, "type": "SSL",
            "chain": "chain.crt", "cert": "chain.crt", "key": "domain.key",
        }}},
        "inputs": {"cloudsek": {
            "id": "cloudsek_1", "enabled": true, "base_url": "https://api.cloudsek.com",
            "credentials": {"token": "t0ken"},
            "services": {"alerts": {"request_period_in_seconds": 60}},
        }},
    })
}

/// The kinds of outputs and of persistence that the full one does not have, the older names, and a token in a
/// file.
fn other() -> Value {
    json!({
        "globals": {"persistence": {"type": "redis", "config": {
            "host": "redis", "port": 6379, "username": "u", "password": "p", "password_file": "token", "db": 0,
            "tls": true, "ca_file": "chain.crt",
        }}},
        "outputs": {
            "relay": {"type": "relay", "config": {
                "url": "localhost", "chain_loc": "chain.crt", "cert_loc": "chain.crt", "key_loc": "domain.key",
            }},
            "syslog": {"type": "syslog", "config": {
                "location": "localhost", "port": 601,
                "pkcs": {"path": "domain.p12", "password": "p", "password_file": "token"},
            }},
            "sidecar": {"type": "sidecar", "config": {"address": "localhost", "port": 601}},
            "in_house_relay": {"type": "in_house_relay", "config": {"address": "localhost", "port": 601}},
            "screen": {"type": "console", "config": {}},
            "out": {"type": "stdout"},
        },
        "inputs": {"cloudsek": {
            "id": 7, "token_file": "token", "credentials": {"base_url": "https://api.cloudsek.com"},
            "services": {"alerts": {}},
        }},
    })
}

/// An input with a component of its own, and settings of it.
fn component() -> Value {
    json!({
        "globals": {"persistence": {"type": "memory"}},
        "outputs": {"screen": {"type": "console"}},
        "inputs": {"acme": {
            "id": "acme_1", "component": "acme.wasm", "token": "t0ken", "poll": {"next": "/next", "kinds": ["a", 1]},
            "request": {"cursor": "c", "time_filter": {"param": "since", "zone": "utc"}},
            "limits": {"requests": 10},
            "services": {"events": {
                "base_url": "https://api.acme.example", "override_devo_tag": "my.app.acme.events", "poll": {"limit": 20},
            }},
        }},
    })
}

/// Every key of the operator's file.
fn operators() -> Value {
    json!({
        "debug": false, "admin": "127.0.0.1:9464",
        "limits": {
            "memory_in_bytes": 1000, "table_elements": 1000, "cpu_in_milliseconds": 1000, "wall_in_seconds": 10,
            "host_call_in_bytes": 1000, "handles": 10, "requests": 10, "concurrent_requests": 1, "log_lines": 10,
            "max_body_in_bytes": 1000, "state_in_bytes": 1000, "queue_in_bytes": 1000,
        },
        "quota": {"services": 16, "outputs": 4, "concurrent_connections": 8, "shortest_period_in_seconds": 1},
        "egress": {
            "allow_private_addresses": false, "allow_http": false, "allow_proxy": false,
            "api_hosts": {"allow": ["api.cloudsek.com"], "deny": []},
            "output_hosts": {"allow": ["*.devo.io"], "deny": ["bad.devo.io"]},
        },
        "redis_servers": [{"host": "redis.internal", "port": 6379, "dbs": [0, 1]}],
        "allow_components": false, "allow_redis": false, "allow_environment_variables": false,
    })
}

/// What is done to one place.
#[derive(Debug, Clone)]
enum Change {
    LeaveOut,
    Misspell,
    Put(Value),
}

fn changes() -> Vec<Change> {
    let values = json!([
        null, true, false, 0, 1, 7, 7.0, -1, 0.5, 1e300, 4_294_967_296_u64, u64::MAX, "", "text", "2022-01-01", [],
        ["text"], [7], [{}], [[]], {}, {"text": "text"}, {"text": {}}
    ]);
    let puts = values.as_array().unwrap().iter().cloned().map(Change::Put);
    puts.chain([Change::LeaveOut, Change::Misspell]).collect()
}

/// The way to every key and element.
fn places(value: &Value, here: &[String], found: &mut Vec<Vec<String>>) {
    let mut go = |name: String, value: &Value| {
        let place = [here, &[name]].concat();
        found.push(place.clone());
        places(value, &place, found);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| go(name.clone(), value)),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, value)| go(index.to_string(), value));
        }
        _ => {}
    }
}

fn changed(value: &Value, place: &[String], change: &Change) -> Option<Value> {
    let mut value = value.clone();
    let (name, parents) = place.split_last()?;
    let parent = parents.iter().fold(&mut value, |value, name| match value {
        Value::Array(elements) => &mut elements[name.parse::<usize>().unwrap()],
        other => &mut other[name],
    });
    match (parent, change) {
        (Value::Object(members), Change::Put(value)) => drop(members.insert(name.clone(), value.clone())),
        (Value::Object(members), Change::LeaveOut) => drop(members.remove(name)),
        (Value::Object(members), Change::Misspell) => {
            let value = members.remove(name)?;
            members.insert(format!("{name}x"), value);
        }
        (Value::Array(elements), Change::Put(value)) => elements[name.parse::<usize>().unwrap()] = value.clone(),
        _ => return None,
    }
    Some(value)
}

/// Keys whose texts mean something: addresses, files, secrets, hosts, tables and times.
const TEXTS: [&str; 18] = [
    "cert_loc",
    "chain_loc",
    "key_loc",
    "address",
    "auth_header",
    "base_url",
    "ca_file",
    "cert",
    "chain",
    "initial_start_time_in_utc",
    "key",
    "location",
    "override_base_url",
    "override_devo_tag",
    "proxy_url_file",
    "token",
    "token_file",
    "url",
];

const TEXT: &str = "what a text means, such as the name of a file, only the collector knows";
const WHOLE: &str = "to JSON Schema 7.0 is a whole number";
const EMPTY: &str = "the component takes an empty text for none";

/// Why the two verdicts may differ there, if they may. `is_stricter` says that the schema refuses what the
/// collector takes.
fn difference(place: &[String], change: &Change, is_stricter: bool) -> Option<&'static str> {
    let key = place.last().map(String::as_str)?;
    let Change::Put(put) = change else { return None };
    match (key, put) {
        _ if TEXTS.contains(&key) && put.is_string() && !is_stricter => Some(TEXT),
        ("initial_start_time_in_utc", Value::Number(_)) if !is_stricter => Some(TEXT),
        ("form", Value::String(text)) if text.is_empty() && is_stricter => Some(EMPTY),
        _ if *put == json!(7.0) && !is_stricter => Some(WHOLE),
        _ => None,
    }
}

/// How a schema and a reader judge a configuration that is broken in every place.
fn compare(
    full: &Value,
    schema: &Checker,
    reader: impl Fn(&Value) -> Result<String, String>,
) -> BTreeSet<&'static str> {
    schema.check(full).unwrap();
    reader(full).unwrap();
    let mut found = Vec::new();
    places(full, &[], &mut found);
    let (mut reasons, mut unexplained, mut agreed) = (BTreeSet::new(), Vec::new(), [0, 0]);
    for place in &found {
        for change in changes() {
            let Some(value) = changed(full, place, &change) else { continue };
            let (by_schema, by_reader) = (schema.check(&value), reader(&value));
            if by_schema.is_ok() == by_reader.is_ok() {
                agreed[usize::from(by_schema.is_ok())] += 1;
                continue;
            }
            match difference(place, &change, by_schema.is_err()) {
                Some(reason) => drop(reasons.insert(reason)),
                None => {
                    let refusal = by_schema.err().map(|error| format!("the schema alone refuses: {error}"));
                    let refusal = refusal.or(by_reader.err().map(|error| format!("the schema takes: {error}")));
                    unexplained.push(format!("{} {change:?}: {}", place.join("."), refusal.unwrap_or_default()));
                }
            }
        }
    }
    assert!(unexplained.is_empty(), "{} differences:\n{}", unexplained.len(), unexplained.join("\n"));
    assert!(agreed[0] > 10 * found.len() && agreed[1] > 0, "{agreed:?} of {} places", found.len());
    reasons
}

fn compare_configuration(configuration: &Value) -> BTreeSet<&'static str> {
    let (schema, product) = (Checker::new(Schema::Config), Product::new());
    compare(configuration, &schema, |value| product.check(value))
}

#[test]
fn schema_and_collector_judge_a_full_configuration_alike() {
    let reasons = compare_configuration(&full());
    assert_eq!(reasons, [TEXT, WHOLE, EMPTY].into(), "each difference occurs");
}

#[test]
fn schema_and_collector_judge_an_originals_configuration_alike() {
    compare_configuration(&original());
}

#[test]
fn schema_and_collector_judge_every_kind_of_output_alike() {
    compare_configuration(&other());
}

#[test]
fn schema_and_collector_judge_an_input_with_its_own_component_alike() {
    compare_configuration(&component());
}

#[test]
fn schema_and_host_judge_the_operators_file_alike() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.yaml");
    let read = |value: &Value| {
        write_anew(&file, value);
        HostConfig::read(Some(&file), folder.path())
            .map(|host| format!("{host:?}"))
            .map_err(|error| format!("{error:#}"))
    };
    compare(&operators(), &Checker::new(Schema::Host), read);
}

#[test]
fn what_operators_misspell_is_refused() {
    let schema = Checker::new(Schema::Config);
    for (pointer, old, new) in [
        ("/outputs/devo_us_1/config", "chain", "chian"),
        ("/inputs/cloudsek", "base_url", "baseurl"),
        ("/inputs/cloudsek/services", "alerts", "alert"),
        ("/inputs/cloudsek/services/alerts", "request_period_in_seconds", "request_period"),
        ("", "globals", "global"),
    ] {
        let mut value = original();
        let members = value.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        let moved = members.remove(old).unwrap();
        members.insert(new.to_owned(), moved);
        let error = schema.check(&value).unwrap_err();
        assert!(error.contains(new), "{error}");
    }
    let mut kind = original();
    kind["outputs"]["devo_us_1"]["type"] = "devo".into();
    assert!(schema.check(&kind).unwrap_err().contains("devo_platform"));
}

/// A default is true if the configuration means the same with it as without the key, and something else with
/// another value.
#[test]
fn the_defaults_of_the_schema_are_those_of_the_collector() {
    let (schema, product) = (Schema::Config.annotated(), Product::new());
    let mut full = full();
    // Of two that say the same, the other one would be used.
    full["inputs"]["cloudsek"]["limits"].as_object_mut().unwrap().remove("max_body_in_bytes");
    let mut redis = other();
    redis["outputs"] = full["outputs"].clone();
    let (mut seen, mut without_effect) = (BTreeSet::new(), Vec::new());
    for configuration in [full, redis] {
        let mut found = Vec::new();
        places(&configuration, &[], &mut found);
        for place in found {
            let Some(default) = default_at(&schema, &place) else { continue };
            let meaning = |change: &Change| product.check(&changed(&configuration, &place, change).unwrap());
            let place = place.join(".");
            let without = meaning(&Change::LeaveOut).unwrap();
            assert!(meaning(&Change::Put(default.clone())).as_ref() == Ok(&without), "{place}: not {default}");
            let another = match &default {
                Value::Bool(flag) => json!(!flag),
                Value::String(text) if place.ends_with(".form") => {
                    json!(if text == "days" { "rfc3339" } else { "days" })
                }
                Value::String(text) => json!(format!("{text}x")),
                Value::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
                _ => json!(0.25),
            };
            if meaning(&Change::Put(another)).as_ref() == Ok(&without) {
                without_effect.push(place.clone());
            }
            seen.insert(place);
        }
    }
    assert!(seen.len() > 45, "{seen:?}");
    // Here: the address is https, and this output has no TLS.
    without_effect.dedup();
    let expected = ["inputs.cloudsek.allow_http", "outputs.devo_us_1.config.verify_hostname"];
    assert_eq!(without_effect, expected, "no other value has an effect");
}

/// The default of the key at a place.
fn default_at(schema: &Value, place: &[String]) -> Option<Value> {
    let resolve = |part: &Value| -> Value {
        let reference =
            part.get("$ref").or_else(|| part.pointer("/anyOf/0/$ref")).or_else(|| part.pointer("/else/$ref"));
        let pointer = reference.and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        pointer.and_then(|pointer| schema.pointer(pointer)).unwrap_or(part).clone()
    };
    let mut part = schema.clone();
    for name in place {
        let whole = resolve(&part);
        part = whole["properties"].get(name).or_else(|| whole.get("additionalProperties"))?.clone();
    }
    part.get("default").cloned()
}

#[test]
fn every_key_is_described_and_every_name_that_is_read_is_a_key() {
    fn walk(part: &Value, seen: &mut usize) {
        if let (Some(order), Some(Value::Object(properties))) = (part.get("x-order"), part.get("properties")) {
            let read: BTreeSet<_> = order.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), read);
            for (name, key) in properties {
                let is_described = key.get("description").or(key.get("$ref")).or(key.get("anyOf")).is_some();
                assert!(is_described, "{name} has no comment: {key}");
                *seen += 1;
            }
            assert!(part["additionalProperties"].is_boolean(), "{part}");
        }
        match part {
            Value::Object(members) => members.values().for_each(|member| walk(member, seen)),
            Value::Array(elements) => elements.iter().for_each(|element| walk(element, seen)),
            _ => {}
        }
    }
    for schema in [Schema::Config, Schema::Host] {
        let mut seen = 0;
        walk(&schema.annotated(), &mut seen);
        assert!(seen > 20, "{seen}");
    }
}

#[test]
fn the_schemas_in_docs_are_those_of_the_types() {
    for (schema, name) in [(Schema::Config, "config.schema.json"), (Schema::Host, "host.schema.json")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == schema.text(), "docs/{name} is out of date: run `just reference`");
    }
}

//! The JSON schemas of `config.yaml` and `host.yaml`, for editors, checks before a roll-out and the reference
//! pages.
//!
//! The types of `document` and `host_config` say which keys there are, with their values, ranges and
//! defaults. What a derive can't say is added here: keys that only some outputs need, older names of a key,
//! and an input with a component of its own, whose further keys are that component's settings.
//!
//! The schema of `config.yaml` is closed: a misspelt key is an error to it, where the collector warns and
//! goes on. `tests/schema.rs` lists where the two differ.

use schemars::{Schema as Part, SchemaGenerator, json_schema, schema_for};
use serde::de::value::Error;
use serde::de::{self, DeserializeOwned, Visitor};
use serde_json::{Value, json};

use super::document::Document;
use super::host_config;

/// The keys of a struct in the order of its fields. No JSON schema has an order; the reference pages need it.
const ORDER: &str = "x-order";

/// Older names of a key.
const ALSO: &str = "x-also";

/// A file with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `config.yaml`.
    Config,
    /// The operator's `host.yaml`.
    Host,
}

impl Schema {
    /// The schema as it is published, in `docs`.
    pub fn text(self) -> String {
        let mut schema = self.annotated();
        strip(&mut schema);
        // Numbers, names and texts are always JSON.
        serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
    }

    /// The schema with the order of its keys: each object with `properties` has their names in `x-order`.
    pub fn annotated(self) -> Value {
        let mut schema = match self {
            Self::Config => {
                let mut schema = schema_for!(Document).to_value();
                schema["title"] = "config.yaml".into();
                split_inputs(&mut schema);
                schema
            }
            Self::Host => {
                let mut schema = schema_for!(host_config::Document).to_value();
                schema["title"] = "host.yaml".into();
                schema
            }
        };
        tidy(&mut schema);
        schema
    }
}

/// Notes the order of a struct's keys.
pub fn ordered<T: DeserializeOwned>(schema: &mut Part) {
    schema.insert(ORDER.to_owned(), json!(fields::<T>()));
}

/// A configuration without an output, or without an input, is refused.
pub fn document<T: DeserializeOwned>(schema: &mut Part) {
    ordered::<T>(schema);
    schema.insert("required".to_owned(), json!(["outputs", "inputs"]));
    for key in ["outputs", "inputs"] {
        if let Some(map) = schema.pointer_mut(&format!("/properties/{key}")).and_then(Value::as_object_mut) {
            map.insert("minProperties".to_owned(), json!(1));
        }
    }
}

/// A redis server has no address that could be taken for granted.
pub fn persistence<T: DeserializeOwned>(schema: &mut Part) {
    ordered::<T>(schema);
    let config = json!({"required": ["config"], "properties": {"config": given("host")}});
    schema.insert("allOf".to_owned(), json!([{"if": of_type(&["redis"]), "then": config}]));
}

/// What each type of output can't do without.
pub fn output<T: DeserializeOwned>(schema: &mut Part) {
    ordered::<T>(schema);
    let config = |needs: Value| json!({"required": ["config"], "properties": {"config": {"allOf": needs}}});
    let address = one_of(&["address", "url", "location"]);
    let files = json!({"allOf": [
        one_of(&["chain", "chain_loc"]), one_of(&["cert", "cert_loc"]), one_of(&["key", "key_loc"])
    ]});
    schema.insert(
        "allOf".to_owned(),
        json!([
            {
                "if": of_type(&["devo_platform", "relay"]),
                "then": config(json!([address, {"anyOf": [files, given("pkcs")]}])),
            },
            {
                "if": of_type(&["in_house_relay", "syslog", "sidecar"]),
                "then": config(json!([address, given("port")])),
            },
        ]),
    );
}

/// `requests_limits`, as `collector_egress::rate` reads it.
pub fn requests_limits(_: &mut SchemaGenerator) -> Part {
    json_schema!({
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "properties": {
                "period": {
                    "description": "How long: a number and `s`, `m`, `h`, `d`, `w`, `M` (30 days) or `y` (365 days).",
                    "type": "string",
                    "pattern": "^0*[1-9][0-9]{0,9}[smhdwMy]$",
                },
                "number_of_requests": {
                    "description": "How many requests in any stretch of that length; -1 is no limit.",
                    "type": "integer",
                    "minimum": -1,
                    "maximum": u32::MAX,
                    "not": {"const": 0},
                },
            },
            "required": ["period", "number_of_requests"],
            "additionalProperties": false,
            ORDER: ["period", "number_of_requests"],
        },
    })
}

/// `requests_per_second`: from once a day to a million.
pub fn requests_per_second(_: &mut SchemaGenerator) -> Part {
    json_schema!({"type": ["number", "null"], "minimum": 1.0 / 86_400.0, "maximum": 1_000_000})
}

/// `obfuscation_data`, as the bundled component reads it.
pub fn obfuscation_data(_: &mut SchemaGenerator) -> Part {
    let step = json!([{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0, "maximum": u64::MAX}]);
    json_schema!({
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "properties": {
                "name": {
                    "description": "The path to a field: a key, or a list of keys and indexes; `*` is every key or element.",
                    "anyOf": [step[0], step[1], {"type": "array", "minItems": 1, "items": {"anyOf": step}}],
                },
                "value": {
                    "description": "What takes the field's place. Without it, a mask of the field's own type.",
                    "type": ["string", "number", "boolean", "null"],
                },
                "string_patterns": {
                    "description": "Regular expressions: only what matches is replaced.",
                    "type": ["array", "null"],
                    "items": {"type": "string"},
                },
            },
            "required": ["name"],
            "additionalProperties": false,
            ORDER: ["name", "value", "string_patterns"],
        },
    })
}

/// What an enabled input needs, and who knows its keys: the bundled component no others than ours, another
/// component its own beside them.
fn split_inputs(schema: &mut Value) {
    let secret = json!([given("token"), given("token_file")]);
    let in_credentials = |needs: Value| json!({"required": ["credentials"], "properties": {"credentials": needs}});
    let every_service = |needs: Value| json!({"properties": {"services": {"additionalProperties": needs}}});
    let url_of_service = every_service(json!({"anyOf": [given("override_base_url"), given("base_url")]}));
    let needs = json!({
        "required": ["services"],
        "properties": {"services": {"minProperties": 1}},
        "allOf": [
            {"anyOf": [secret[0], secret[1], in_credentials(json!({"anyOf": secret}))]},
            {"anyOf": [given("base_url"), in_credentials(given("base_url")), url_of_service]},
        ],
    });
    let disabled = json!({"required": ["enabled"], "properties": {"enabled": {"const": false}}});
    let table = every_service(given("override_devo_tag"));
    schema["properties"]["inputs"]["additionalProperties"] = json!({
        "if": given("component"),
        "then": {"$ref": "#/$defs/InputWithComponent"},
        "else": {"$ref": "#/$defs/Input"},
        "allOf": [{"if": disabled, "else": needs}],
    });
    let definitions = &mut schema["$defs"];

    let mut open = definitions["Input"].clone();
    open["description"] = "An input with another component, which may have settings of its own.".into();
    open["properties"]["request"]["$ref"] = "#/$defs/RequestWithComponent".into();
    open["properties"]["services"]["additionalProperties"]["$ref"] = "#/$defs/ServiceWithComponent".into();
    open["allOf"] = json!([{"if": disabled, "else": table}]);
    definitions["InputWithComponent"] = open;
    for name in ["Service", "Request", "TimeFilter"] {
        definitions[format!("{name}WithComponent")] = definitions[name].clone();
    }
    let filter = &mut definitions["RequestWithComponent"]["properties"]["time_filter"]["anyOf"][0];
    filter["$ref"] = "#/$defs/TimeFilterWithComponent".into();
    for name in ["Input", "Service", "Request", "TimeFilter"] {
        definitions[format!("{name}WithComponent")]["additionalProperties"] = true.into();
    }

    let services = &mut definitions["Input"]["properties"]["services"];
    services["properties"] = json!({"alerts": services["additionalProperties"]});
    services["additionalProperties"] = false.into();
}

/// That a key has a value. One that is null is one that is left out.
fn given(key: &str) -> Value {
    json!({"required": [key], "properties": {key: {"not": {"type": "null"}}}})
}

/// That a key has a value under exactly one of its names.
fn one_of(names: &[&str]) -> Value {
    json!({"oneOf": names.iter().map(|name| given(name)).collect::<Vec<_>>()})
}

fn of_type(types: &[&str]) -> Value {
    json!({"required": ["type"], "properties": {"type": {"enum": types}}})
}

/// Older names become keys, what Rust calls a number becomes its range, and a comment one line.
fn tidy(schema: &mut Value) {
    if let Value::Object(members) = schema {
        if let Some(Value::String(description)) = members.get_mut("description") {
            *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        if members.get("default").is_some_and(Value::is_null) {
            members.remove("default");
        }
        if let Some(format) = members.remove("format") {
            let (least, most) = match format.as_str() {
                Some("uint16") => (None, Some(json!(u16::MAX))),
                Some("uint32") => (None, Some(json!(u32::MAX))),
                Some("uint64" | "uint") => (None, Some(json!(u64::MAX))),
                Some("int64") => (Some(json!(i64::MIN)), Some(json!(i64::MAX))),
                _ => (None, None),
            };
            for (key, bound) in [("minimum", least), ("maximum", most)] {
                if let Some(bound) = bound {
                    members.entry(key).or_insert(bound);
                }
            }
        }
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            let names: Vec<String> = properties.keys().cloned().collect();
            for name in names {
                add_older_names(properties, &name);
            }
        }
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(tidy),
        Value::Array(elements) => elements.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn add_older_names(properties: &mut serde_json::Map<String, Value>, name: &str) {
    let Some(Value::Object(key)) = properties.get_mut(name) else { return };
    let Some(Value::Array(older)) = key.remove(ALSO) else { return };
    let kind = key.get("type").cloned();
    let older: Vec<&str> = older.iter().filter_map(Value::as_str).collect();
    if let Some(Value::String(description)) = key.get_mut("description") {
        let names: Vec<_> = older.iter().map(|name| format!("`{name}`")).collect();
        description.push_str(&format!(" Also called {}.", names.join(", ")));
    }
    for older in older {
        let description = format!("An older name of `{name}`.");
        properties.insert(older.to_owned(), json!({"description": description, "type": kind, "deprecated": true}));
    }
}

/// Takes out what no JSON schema knows.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove(ORDER);
            members.values_mut().for_each(strip);
        }
        Value::Array(elements) => elements.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The names of a struct's fields, older ones included, in their order: what serde tells a deserializer.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &[&str] = &[];
    // It fails on purpose: there is nothing to read.
    let _ = T::deserialize(Fields(&mut names));
    names
}

struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> de::Deserializer<'de> for Fields<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(de::Error::custom("only the names were asked for"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

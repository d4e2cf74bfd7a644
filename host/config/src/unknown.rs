//! Keys that the document does not know: the settings of an input's own component, or somebody's mistake.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_ignored::Path;
use serde_json::Value;

use super::document::{Document, Input, Settings};
use super::permissions;

/// Where in the configuration a key stands: the names on the way to it. A name may have dots in it.
pub struct Key(Vec<String>);

impl From<&Path<'_>> for Key {
    fn from(path: &Path<'_>) -> Self {
        let (parent, name) = match path {
            Path::Root => return Self(Vec::new()),
            Path::Seq { parent, index } => (parent, Some(index.to_string())),
            Path::Map { parent, key } => (parent, Some(key.clone())),
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
        };
        let mut key = Self::from(*parent);
        key.0.extend(name);
        key
    }
}

impl Key {
    /// Whether it is one of the globals, and not within one.
    pub fn is_global(&self) -> bool {
        self.0.len() == 2 && self.0[0] == "globals"
    }

    fn find<'a>(&self, configuration: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(configuration, |value, name| match value {
            Value::Array(elements) => elements.get(name.parse::<usize>().ok()?),
            other => other.get(name),
        })
    }
}

/// Gives each key to the component that it is a setting of. Warnings of all others, and of what sounds like a
/// secret: no component is given one.
pub fn place(unknown: &[Key], configuration: &Value, document: &mut Document) -> Vec<String> {
    let mut nobodys = Named::new("keys are not known and have no effect");
    let mut long = Named::new("keys are not given to the component, for they are too long");
    let mut secrets = Named::new("keys are not given to the component, for they have the names of secrets");
    for key in unknown {
        let Some((settings, name)) = owner(key, document) else {
            nobodys.add(|| describe(key));
            continue;
        };
        let prefix = key.0[..key.0.len() - name.len()].join(".");
        let mut found = Settings::new();
        flatten(&name.join("."), key.find(configuration).unwrap_or(&Value::Null), &mut found, &mut long);
        for (name, value) in found {
            if permissions::sounds_secret(&name) {
                secrets.add(|| {
                    format!(
                        "The key {} is not given to the component, for it has the name of a secret. Put an API token in \
                         credentials.token: the host adds it to each request",
                        shortened(&format!("{prefix}.{name}"))
                    )
                });
            } else {
                settings.push((name, value));
            }
        }
    }
    nobodys.warnings().chain(secrets.warnings()).chain(long.warnings()).collect()
}

/// Warnings that are alike: the first ones, and how many there are besides. A configuration of 1 MB can cause
/// a hundred thousand, and what is computed and written for each is at the cost of all tenants.
pub struct Named {
    first: Vec<String>,
    more: usize,
    /// What the others are, as the end of a sentence.
    what: &'static str,
}

/// So many are named.
const NAMED: usize = 20;

impl Named {
    /// None so far.
    pub fn new(what: &'static str) -> Self {
        Self { first: Vec::new(), more: 0, what }
    }

    /// One more, whose warning is made only if it is named.
    pub fn add(&mut self, warning: impl FnOnce() -> String) {
        if self.first.len() < NAMED { self.first.push(warning()) } else { self.more += 1 }
    }

    /// All that is said.
    pub fn warnings(self) -> impl Iterator<Item = String> {
        let Self { first, more, what } = self;
        first.into_iter().chain((more > 0).then(|| format!("{more} more {what}")))
    }
}

/// The settings that a key belongs to, and its name there: those of an input with a component of its own, or
/// of a service of it. What stands within a key of the host's, such as `limits`, is nobody's but the host's.
fn owner<'a, 'k>(key: &'k Key, document: &'a mut Document) -> Option<(&'a mut Settings, &'k [String])> {
    let (first, rest) = key.0.split_first()?;
    let (input, name) = rest.split_first()?;
    let input =
        document.inputs.get_mut(input.as_str()).filter(|input| first == "inputs" && input.component.is_some())?;
    let Input { services, others, .. } = input;
    match name {
        [services_key, service, name @ ..] if services_key == "services" => {
            (name.len() == 1).then_some((&mut services.get_mut(service.as_str())?.others, name))
        }
        [_] => Some((others, name)),
        [request, ..] if request == "request" => Some((others, name)),
        _ => None,
    }
}

/// The texts, numbers and flags in a value, each under the names that lead to it. Those with a long name are
/// left out: a long one that leads to many others would be there as often as they are.
fn flatten(name: &str, value: &Value, found: &mut Settings, long: &mut Named) {
    match value {
        Value::Null => {}
        _ if name.len() > LONGEST_SETTING => {
            long.add(|| {
                let name = shortened(name);
                format!("The key {name} is not given to the component: it has more than {LONGEST_SETTING} characters")
            });
        }
        Value::String(text) => found.push((name.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => found.push((name.to_owned(), value.to_string())),
        Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(index, value)| flatten(&format!("{name}.{index}"), value, found, long));
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, found, long));
        }
    }
}

fn describe(key: &Key) -> String {
    let last = key.0.last().map_or("", String::as_str);
    format!("The key {} is not known and has no effect{}", shortened(&key.0.join(".")), nearest(last))
}

/// The schema of the types: made once, for hosts read thousands of configurations.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(Document).to_value());
    &SCHEMA
}

/// A key as it is shown.
pub fn shortened(key: &str) -> Cow<'_, str> {
    match key.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => Cow::Owned(format!("{}..", &key[..end])),
        None => Cow::Borrowed(key),
    }
}

/// So much of a key is shown.
const SHOWN_CHARACTERS: usize = 200;

/// The longest name of a component's setting, with those that lead to it.
const LONGEST_SETTING: usize = 256;

/// No key is as long as that: what is, is no misspelt one.
const LONGEST_KEY: usize = 64;

/// All keys that there are.
static KNOWN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut known = BTreeSet::new();
    collect_keys(schema(), &mut known);
    known
});

/// A guess at what was meant, from all keys that there are.
pub fn nearest(key: &str) -> String {
    let key = if key.len() <= LONGEST_KEY { key } else { return String::new() };
    let similar = KNOWN
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(key.len()) / 3 + 1)
        .min();
    similar.map(|(_, candidate)| format!("; did you mean {candidate}?")).unwrap_or_default()
}

fn collect_keys(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            // The entries of lists are read elsewhere: none of their keys is ever unknown here.
            let below = members.iter().filter(|(name, _)| *name != "items");
            below.for_each(|(_, member)| collect_keys(member, keys));
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect_keys(element, keys)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::read::{Source, understand};
    use crate::{Files, Policy};

    fn source(input: serde_json::Value) -> Source {
        let path = std::path::Path::new("config/config.yaml");
        let files = Files::anywhere("/nowhere".into());
        understand(json!({"inputs": {"acme.eu": input}}), path, files, &Policy::permissive()).unwrap()
    }

    fn settings(settings: &[(String, String)]) -> Vec<(&str, &str)> {
        settings.iter().map(|(name, value)| (&**name, &**value)).collect()
    }

    #[test]
    fn what_the_host_does_not_know_is_a_setting_of_the_inputs_own_component() {
        let Source { document, warnings, .. } = source(json!({
            "id": 1, "component": "acme.wasm", "region": "eu", "request": {"path": "/a", "cursor": "/next"},
            "services": {"events": {"request_period_in_seconds": 5, "poll": {"limit": 20, "kinds": ["a", true, null]}}},
        }));
        let input = &document.inputs["acme.eu"];
        assert_eq!(settings(&input.others), [("region", "eu"), ("request.cursor", "/next")]);
        assert_eq!(
            settings(&input.services["events"].others),
            [("poll.kinds.0", "a"), ("poll.kinds.1", "true"), ("poll.limit", "20")]
        );
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn without_a_component_of_its_own_the_same_keys_are_warned_about() {
        let Source { document, warnings, .. } =
            source(json!({"id": 1, "region": "eu", "services": {"alerts": {"cursor": {"limit": 20}}}}));
        assert!(document.inputs["acme.eu"].others.is_empty());
        assert_eq!(
            warnings,
            [
                "The key inputs.acme.eu.region is not known and has no effect",
                "The key inputs.acme.eu.services.alerts.cursor is not known and has no effect",
            ]
        );
    }

    #[test]
    fn of_many_unknown_keys_the_first_are_named_and_the_others_counted() {
        let mut input = json!({"id": 1, "services": {"alerts": {}}});
        (0..1000).for_each(|number| input[format!("key{number:03}")] = number.into());
        let Source { warnings, .. } = source(input.clone());
        assert_eq!((warnings.len(), &*warnings[20]), (21, "980 more keys are not known and have no effect"));
        input["component"] = "acme.wasm".into();
        (0..30).for_each(|number| input[format!("password{number:02}")] = "T".into());
        let Source { document, warnings, .. } = source(input);
        assert_eq!(document.inputs["acme.eu"].others.len(), 1000);
        assert!(warnings[20].starts_with("10 more keys are not given to the component"), "{warnings:?}");
        let Source { document, warnings, .. } =
            source(json!({"id": 1, "component": "a.wasm", "x".repeat(1_000_000): vec![1; 100_000]}));
        assert!(document.inputs["acme.eu"].others.is_empty() && warnings[0].len() < 400, "{warnings:?}");
        let Source { warnings, .. } = source(json!({"id": 1, "x".repeat(1_000_000): 1}));
        assert!(warnings[0].len() < 300 && warnings[0].contains("xxx.. is not known"), "{warnings:?}");
    }

    #[test]
    fn a_misspelt_key_within_one_of_the_hosts_is_no_setting() {
        let Source { document, warnings, .. } =
            source(json!({"id": 1, "component": "acme.wasm", "limits": {"wall_in_second": 5}}));
        assert!(document.inputs["acme.eu"].others.is_empty());
        assert!(warnings[0].ends_with("did you mean wall_in_seconds?"), "{warnings:?}");
    }

    #[test]
    fn what_sounds_like_a_secret_is_not_given_to_a_component() {
        let Source { document, warnings, .. } = source(json!({
            "id": 1, "component": "acme.wasm", "token": "T0", "credentials": {"token": "T1", "user": "T2"},
            "token_two": "T3", "proxy_url": "http://T4", "client": [{"Client_Secret": "T5", "name": "x"}],
            "services": {"events": {"password": "T6"}},
        }));
        let input = &document.inputs["acme.eu"];
        assert_eq!(settings(&input.others), [("client.0.name", "x")]);
        assert!(input.services["events"].others.is_empty());
        for key in
            ["acme.eu.credentials.user", "acme.eu.token_two", "acme.eu.client.0.Client_Secret", "events.password"]
        {
            assert!(warnings.iter().any(|warning| warning.contains(key)), "{key}: {warnings:?}");
        }
        assert!(warnings.iter().all(|warning| !warning.contains("T3") && !warning.contains("T5")));
    }
}

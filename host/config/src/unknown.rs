//! Keys that the document does not know: the settings of an input's own component, or somebody's mistake.

use std::collections::BTreeSet;

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
    /// Whether it stands under this member of the whole file.
    pub fn starts_with(&self, member: &str) -> bool {
        self.0.first().is_some_and(|first| first == member)
    }

    fn find<'a>(&self, configuration: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(configuration, |value, name| match value {
            Value::Array(elements) => elements.get(name.parse::<usize>().ok()?),
            other => other.get(name),
        })
    }
}

/// Gives each key to the component that it is a setting of. A warning for every other, and for what sounds
/// like a secret: no component is given one.
pub fn place(unknown: &[Key], configuration: &Value, document: &mut Document) -> Vec<String> {
    let mut warnings = Vec::new();
    for key in unknown {
        let Some((settings, name)) = owner(key, document) else {
            warnings.push(describe(key));
            continue;
        };
        let prefix = key.0[..key.0.len() - name.len()].join(".");
        let mut found = Settings::new();
        flatten(&name.join("."), key.find(configuration).unwrap_or(&Value::Null), &mut found);
        for (name, value) in found {
            if permissions::sounds_secret(&name) {
                warnings.push(format!(
                    "The key {prefix}.{name} is not given to the component, for it has the name of a secret. Put an API token \
                     in credentials.token: the host adds it to each request"
                ));
            } else {
                settings.push((name, value));
            }
        }
    }
    warnings
}

/// The settings that a key belongs to, and its name there: those of an input with a component of its own, or
/// of a service of it. What stands within a key of the host's, such as `limits`, is nobody's but the host's.
fn owner<'a, 'k>(key: &'k Key, document: &'a mut Document) -> Option<(&'a mut Settings, &'k [String])> {
    let (first, rest) = key.0.split_first()?;
    let (input, name) = rest.split_first()?;
    let input = document.inputs.get_mut(input.as_str()).filter(|input| first == "inputs" && input.component.is_some())?;
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

/// The texts, numbers and flags in a value, each under the names that lead to it.
fn flatten(name: &str, value: &Value, found: &mut Settings) {
    match value {
        Value::Null => {}
        Value::String(text) => found.push((name.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => found.push((name.to_owned(), value.to_string())),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, value)| flatten(&format!("{name}.{index}"), value, found));
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, found));
        }
    }
}

fn describe(key: &Key) -> String {
    let last = key.0.last().map_or("", String::as_str);
    format!("The key {} is not known and has no effect{}", key.0.join("."), nearest(last))
}

/// A guess at what was meant, from all keys that there are.
pub fn nearest(key: &str) -> String {
    let mut known = BTreeSet::new();
    collect_keys(schemars::schema_for!(Document).as_value(), &mut known);
    let similar = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, &candidate), candidate))
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
            members.values().for_each(|member| collect_keys(member, keys));
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

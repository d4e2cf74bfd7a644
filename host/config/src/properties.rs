//! What holds for every configuration, whatever the bytes are. The property is one function, which the target
//! in `fuzz/` and the replay of its corpus below both call. It panics where the property does not hold.

use std::path::Path;

use serde_json::Value;

use super::read::{lay_over, parse_text, understand, with_globals};
use super::{Files, Plan, Policy};

/// Stands for a secret: as a text, in the text that is parsed, and as a number.
const SECRET: &str = "S3CRET-T0KEN";
const SECRET_NUMBER: u64 = 8_675_309_314_159;

/// A configuration is used or refused, and no secret of it is in what the operator is told. What begins with
/// a brace is JSON, all else YAML.
pub fn config(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let name = if text.trim_start().starts_with('{') { "config.json" } else { "config.yaml" };
    let path = Path::new("/nowhere/config").join(name);
    let value = match parse_text(text, &path) {
        Ok(value) => value,
        Err(error) => {
            let error = error.to_string();
            // A key is named, whatever it is.
            if !error.contains("duplicate mapping key") {
                told(&error);
            }
            return;
        }
    };

    let mut twice = value.clone();
    lay_over(&mut twice, value.clone());
    assert_eq!(twice, value, "a file laid over itself is itself");

    let mut value = with_globals(value);
    put_secrets(&mut value, false);
    let source = match understand(value, &path, Files::anywhere("/nowhere".into()), &Policy::permissive()) {
        Ok(source) => source,
        Err(error) => return told(&error.to_string()),
    };
    source.warnings.iter().for_each(|warning| told(warning));
    match Plan::new(source, &Policy::permissive()) {
        Ok(plan) => {
            told(&format!("{plan:?}"));
            for service in &plan.services {
                service.settings.iter().for_each(|(_, value)| told(value));
            }
        }
        Err(error) => told(&error.to_string()),
    }
}

fn told(text: &str) {
    assert!(!text.contains(SECRET) && !text.contains(&SECRET_NUMBER.to_string()), "a secret is told: {text}");
}

/// Puts the secret in the place of every text and number that is one, and takes it out of all other places.
/// Files that are named are not looked for in the machine.
fn put_secrets(value: &mut Value, is_secret: bool) {
    match value {
        Value::String(text) if is_secret => *text = format!("x{SECRET}x"),
        Value::Number(_) if is_secret => *value = SECRET_NUMBER.into(),
        Value::String(text) => *text = without_secrets(text).trim_start_matches('/').to_owned(),
        Value::Number(number) if without_secrets(&number.to_string()) != number.to_string() => *value = 0.into(),
        Value::Array(elements) => elements.iter_mut().for_each(|element| put_secrets(element, is_secret)),
        Value::Object(members) => {
            let entries = std::mem::take(members).into_iter().map(|(key, mut member)| {
                put_secrets(&mut member, ["token", "password", "proxy_url", "credentials", "pkcs"].contains(&&*key));
                (without_secrets(&key), member)
            });
            *members = entries.collect();
        }
        _ => {}
    }
}

fn without_secrets(text: &str) -> String {
    text.replace(SECRET, "x").replace(&SECRET_NUMBER.to_string(), "x")
}

#[cfg(test)]
mod tests {
    use crate::replay::replay;

    #[test]
    fn the_corpus_of_configurations_keeps_its_property() {
        replay("config", super::config);
    }
}

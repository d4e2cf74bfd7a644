//! `${NAME}` in the texts of a configuration: the value of an environment variable, so that secrets need not
//! stand in files.

use std::fmt;

use serde_json::Value;

use super::error::{ConfigError, value};

/// What a lookup comes to, which is given the key and the variable's name: a value, none, or a refusal.
type Found = Result<Option<String>, ConfigError>;

/// Replaces every `${NAME}` in the texts of `document` by what `lookup` finds. `$${` stands for `${` itself.
pub fn resolve(document: &mut Value, lookup: impl Fn(&str, &str) -> Found) -> Result<(), ConfigError> {
    resolve_at(Key::Root, document, &lookup)
}

/// Where a value stands. It becomes a text only where one is told: the name of a value that a hundred
/// thousand others stand in may be long.
#[derive(Clone, Copy)]
enum Key<'a> {
    Root,
    Member(&'a Key<'a>, &'a str),
    Element(&'a Key<'a>, usize),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, index) => write!(f, "{parent}.{index}"),
        }
    }
}

fn resolve_at(key: Key<'_>, value: &mut Value, lookup: &impl Fn(&str, &str) -> Found) -> Result<(), ConfigError> {
    match value {
        Value::String(text) if text.contains("${") => *text = substitute(key, text, lookup)?,
        Value::Object(members) => {
            for (name, member) in members {
                resolve_at(Key::Member(&key, name), member, lookup)?;
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter_mut().enumerate() {
                resolve_at(Key::Element(&key, index), element, lookup)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn substitute(key: Key<'_>, text: &str, lookup: &impl Fn(&str, &str) -> Found) -> Result<String, ConfigError> {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &from[2..];
            continue;
        }
        result.push_str(before);
        let end = from
            .find('}')
            .ok_or_else(|| value(key.to_string(), "a ${ has no }", "Write ${NAME}, or $${ for ${ itself."))?;
        let name = &from[2..end];
        let found = lookup(&key.to_string(), name)?.ok_or_else(|| {
            value(
                key.to_string(),
                format!("the environment variable {name} is not set"),
                format!("Set {name}, or write $${{ for ${{ itself."),
            )
        })?;
        result.push_str(&found);
        rest = &from[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resolved(mut document: Value) -> Result<Value, String> {
        let lookup = |_: &str, name: &str| Ok((name == "TOKEN").then(|| "t0ken".to_owned()));
        resolve(&mut document, lookup).map(|()| document).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_are_replaced_wherever_texts_stand() {
        let document = json!({"a": [{"b": "x${TOKEN}y${TOKEN}"}], "c": 1});
        assert_eq!(resolved(document).unwrap(), json!({"a": [{"b": "xt0keny" .to_owned() + "t0ken"}], "c": 1}));
    }

    #[test]
    fn a_doubled_dollar_stands_for_itself() {
        assert_eq!(resolved(json!("$${TOKEN} $1 $")).unwrap(), json!("${TOKEN} $1 $"));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named_with_its_key() {
        let error = resolved(json!({"inputs": {"a": {"token": "${NOWHERE}"}}})).unwrap_err();
        assert!(error.contains("inputs.a.token") && error.contains("NOWHERE"), "{error}");
        assert!(resolved(json!("${TOKEN")).is_err());
    }
}

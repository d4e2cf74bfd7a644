//! A table of settings, from a JSON schema with the order of its keys.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::row;

/// From here on a range is no more than that of a machine's numbers.
const LARGE: u64 = u32::MAX as u64;

const MEBIBYTE: u64 = 1024 * 1024;

/// In seconds.
const YEAR: u64 = 365 * 24 * 60 * 60;

/// The keys of `part` and of what is below it. `schema` is the whole, which has what others refer to.
pub fn table(schema: &Value, part: &Value) -> Result<String> {
    let mut rows = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    add(schema, part, "", &mut rows)?;
    Ok(rows)
}

fn add(schema: &Value, part: &Value, prefix: &str, rows: &mut String) -> Result<()> {
    let order = part["x-order"].as_array().with_context(|| format!("{prefix} has no order"))?;
    let required: Vec<_> = part["required"].as_array().into_iter().flatten().collect();
    for name in order {
        let key = &part["properties"][name.as_str().context("a name")?];
        if key["deprecated"] == true {
            continue;
        }
        let full_name = format!("{prefix}{}", name.as_str().unwrap_or_default());
        let target = key["$ref"].as_str().or(key["anyOf"][0]["$ref"].as_str());
        let description = key["description"].as_str().unwrap_or_default();
        // A group without words of its own is told by its keys.
        if target.is_none() || !description.is_empty() {
            let default = if required.contains(&name) { "required".to_owned() } else { default(&full_name, key) };
            let value = if target.is_some() { "group".to_owned() } else { value(&full_name, key) };
            *rows += &row(&[&format!("`{full_name}`"), &value, &default, description]);
        }
        if let Some(target) = target {
            let target = target.strip_prefix('#').and_then(|pointer| schema.pointer(pointer));
            add(schema, target.with_context(|| format!("{full_name} leads nowhere"))?, &format!("{full_name}."), rows)?;
        } else if key["items"].get("x-order").is_some() && full_name != "obfuscation_data" {
            add(schema, &key["items"], &format!("{full_name}[]."), rows)?;
        }
    }
    Ok(())
}

/// What may stand there: the type with its unit, and the range.
fn value(name: &str, key: &Value) -> String {
    if let Some(values) = key["enum"].as_array() {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    let unit = ["seconds", "milliseconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_in_{unit}")));
    let named = |kind: &str| match (kind, unit) {
        ("string", _) => Some("text".to_owned()),
        ("boolean", _) => Some("`true`, `false`".to_owned()),
        ("integer", Some("seconds")) => Some("whole seconds".to_owned()),
        ("integer" | "number", Some(unit)) => Some(unit.to_owned()),
        ("integer", None) => Some("whole number".to_owned()),
        ("number", None) => Some("number".to_owned()),
        ("array", _) if key["items"]["type"] == "string" => Some("list of texts".to_owned()),
        ("array", _) => Some("list".to_owned()),
        ("object", _) => Some("map".to_owned()),
        _ => None,
    };
    let choices = key["anyOf"].as_array().into_iter().flatten().map(|choice| &choice["type"]);
    let mut kinds: Vec<&str> = [&key["type"]].into_iter().chain(choices).flat_map(names).collect();
    // What takes a text takes a flag as its text, which is nothing to advertise.
    kinds.retain(|kind| *kind != "boolean" || !kinds_has_text(key));
    let words: Vec<_> = kinds.iter().filter_map(|kind| named(kind)).collect();
    words.join(" or ") + &range(key.as_object())
}

fn kinds_has_text(key: &Value) -> bool {
    names(&key["type"]).contains(&"string")
}

fn names(kind: &Value) -> Vec<&str> {
    match kind {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn range(key: Option<&Map<String, Value>>) -> String {
    let bound = |name: &str| key.and_then(|key| key.get(name)).filter(|bound| bound.as_u64() != Some(0));
    let least = bound("minimum").filter(|bound| bound.as_i64() != Some(i64::MIN));
    let most = bound("maximum").filter(|bound| bound.as_u64().is_none_or(|bound| bound < LARGE));
    let most = most.filter(|bound| bound.as_u64() != Some(u16::MAX.into()));
    let most = most.map(|most| if *most == YEAR { format!("{most} (a year)") } else { most.to_string() });
    match (least, most) {
        (Some(least), Some(most)) if least.as_f64().is_some_and(|least| 0.0 < least && least < 0.001) => {
            format!(", up to {most}")
        }
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", up to {most}"),
        (None, None) => String::new(),
    }
}

fn default(name: &str, key: &Value) -> String {
    match &key["default"] {
        Value::Null => String::new(),
        Value::String(text) => format!("`{text}`"),
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if name.ends_with("_in_bytes") && bytes > 0 && bytes % MEBIBYTE == 0 => {
                format!("`{bytes}` ({} MiB)", bytes / MEBIBYTE)
            }
            _ => format!("`{number}`"),
        },
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_has_its_type_unit_range_and_default() {
        let part = json!({
            "x-order": ["wait_in_seconds", "old", "size_in_bytes", "kind", "group", "name"],
            "required": ["kind"],
            "properties": {
                "wait_in_seconds": {"type": ["integer", "null"], "minimum": 1, "maximum": 60, "default": 5, "description": "A."},
                "old": {"deprecated": true},
                "size_in_bytes": {"type": "integer", "minimum": 0, "maximum": u64::MAX, "default": 2 * MEBIBYTE},
                "kind": {"type": "string", "enum": ["a", "b"]},
                "group": {"$ref": "#/$defs/Group"},
                "name": {"type": ["string", "number", "boolean"]},
            },
        });
        let group = json!({"x-order": ["flag"], "properties": {"flag": {"type": "boolean", "default": false}}});
        let schema = json!({"$defs": {"Group": group}});
        let expected = "\
| key | value | default | meaning |
|---|---|---|---|
| `wait_in_seconds` | whole seconds, 1 to 60 | `5` | A. |
| `size_in_bytes` | bytes | `2097152` (2 MiB) | |
| `kind` | `a`, `b` | required | |
| `group.flag` | `true`, `false` | `false` | |
| `name` | text or number | | |
";
        assert_eq!(table(&schema, &part).unwrap(), expected);
    }
}

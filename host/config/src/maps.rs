//! Finds a list where a map belongs. serde takes a list for a struct, field by field: `egress: [true]` would
//! open what nobody named.

use serde_json::Value;

/// Where a list stands in the place of a map with known keys. `schema` is the whole JSON schema.
///
/// It looks at the schema and not at the types: a deserializer that refuses lists would be compiled for each
/// of them, and make the program half a megabyte larger.
pub fn list_for_map(schema: &Value, value: &Value) -> Option<String> {
    find(schema, schema, value, "")
}

fn find(schema: &Value, part: &Value, value: &Value, key: &str) -> Option<String> {
    let reference = part["$ref"].as_str().or(part["anyOf"][0]["$ref"].as_str());
    let part = reference.and_then(|pointer| schema.pointer(pointer.trim_start_matches('#'))).unwrap_or(part);
    match value {
        Value::Array(_) if part.get("properties").is_some() => Some(key.to_owned()),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .find_map(|(number, element)| find(schema, part.get("items")?, element, &format!("{key}[{number}]"))),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let below = part["properties"].get(name).or_else(|| part.get("additionalProperties"))?;
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            find(schema, below, member, &key)
        }),
        _ => None,
    }
}

//! JSON without a tree: what a pointer leads to, as it is written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The value that a JSON pointer leads to through objects.
pub fn find<'a>(json: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    pointer.split('/').skip(1).try_fold(json, |json, name| {
        let name = name.replace("~1", "/").replace("~0", "~");
        let mut members: BTreeMap<String, &'a RawValue> = serde_json::from_str(json.get()).ok()?;
        members.remove(&name)
    })
}

/// The value without line breaks; JSON has them between its tokens alone.
pub fn one_line(json: &RawValue) -> Vec<u8> {
    json.get().replace(['\n', '\r'], " ").into_bytes()
}

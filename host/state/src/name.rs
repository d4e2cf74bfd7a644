//! File names for buckets and keys: readable for an operator, safe whatever the names hold, and never the
//! same for two of them. Pure.

/// The key whose file is simply called `<bucket>.state`: that of a service's one value.
const USUAL_KEY_SUFFIX: &str = "state";

/// What the file of the value before the current one is called, after the name of the current one.
pub(super) const PREVIOUS_SUFFIX: &str = ".previous";

/// What a file is called while it is being written.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Longest file name on Linux's file systems, less what `.previous`, a number and `.tmp` add to it.
pub(super) const LONGEST: usize = 255 - PREVIOUS_SUFFIX.len() - ".18446744073709551615".len() - TEMPORARY_SUFFIX.len();

/// What the files of a bucket begin with: the same for whatever else is kept of a service.
pub fn file_stem(bucket: &str) -> String {
    escape(bucket)
}

/// The file name of a value: `<bucket>.<key>.value`, or `<bucket>.state` for the key `state`. A dot stands
/// only between these parts, because it is escaped within them.
pub(super) fn file_name(bucket: &str, key: &str) -> String {
    let bucket = escape(bucket);
    if key == USUAL_KEY_SUFFIX { format!("{bucket}.state") } else { format!("{bucket}.{}.value", escape(key)) }
}

/// The bucket and key of a file name that [`file_name`] made; none for any other file.
pub(super) fn parse_file_name(name: &str) -> Option<(String, String)> {
    let (bucket, key) = if let Some(bucket) = name.strip_suffix(".state") {
        (unescape(bucket)?, USUAL_KEY_SUFFIX.to_owned())
    } else {
        let (bucket, key) = name.strip_suffix(".value")?.split_once('.')?;
        (unescape(bucket)?, unescape(key)?)
    };
    // One way only to write each name: "%41" for "A", say, was not made here.
    (file_name(&bucket, &key) == name).then_some((bucket, key))
}

/// The name under which a file is written before it takes its own.
pub(super) fn temporary_name(name: &str, number: u64) -> String {
    format!("{name}.{number}{TEMPORARY_SUFFIX}")
}

/// Whether a file is left over from a write that a crash cut off.
pub(super) fn is_temporary(name: &str) -> bool {
    let Some((name, number)) = name.strip_suffix(TEMPORARY_SUFFIX).and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    let value = name.strip_suffix(PREVIOUS_SUFFIX).unwrap_or(name);
    number.parse::<u64>().is_ok() && parse_file_name(value).is_some()
}

/// Letters, digits and `_` stay; `;`, which joins the parts of a service's identity, becomes `-`; every other
/// byte becomes `%` and two hexadecimal digits, `-` too. Nothing at all becomes a lone `%`.
fn escape(text: &str) -> String {
    use std::fmt::Write;
    if text.is_empty() {
        return "%".to_owned();
    }
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' => escaped.push(char::from(byte)),
            b';' => escaped.push('-'),
            // Writing to a String can't fail.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
        escaped
    })
}

fn unescape(escaped: &str) -> Option<String> {
    if escaped == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'-' => bytes.push(b';'),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = after;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_operator_recognises_a_service_by_its_file() {
        assert_eq!(file_name("cloudsek;cloudsek_1;alerts", "state"), "cloudsek-cloudsek_1-alerts.state");
        assert_eq!(file_name("cloudsek;cloudsek_1;alerts", "walk.2"), "cloudsek-cloudsek_1-alerts.walk%2E2.value");
    }

    #[test]
    fn names_that_look_alike_have_files_of_their_own() {
        let pairs =
            [("a;b", "state"), ("a-b", "state"), ("a", "b"), ("a.b", "c"), ("a", "b.c"), ("", "state"), ("", "")];
        let names: std::collections::BTreeSet<_> = pairs.iter().map(|(bucket, key)| file_name(bucket, key)).collect();
        assert_eq!(names.len(), pairs.len());
    }

    #[test]
    fn foreign_files_are_not_taken_for_state() {
        // The original's pickle, an editor's copy, and names that were not made here.
        for name in
            ["95fbbcf4d968bee50b610e76801bc2f3", "a.state~", "a.b.state", "%41.state", ".state", "a.state.previous"]
        {
            assert_eq!(parse_file_name(name), None, "{name}");
            assert!(!is_temporary(name), "{name}");
        }
        assert!(!is_temporary("notes.1.tmp") && !is_temporary("a.state.tmp"));
    }

    proptest! {
        #[test]
        fn a_file_name_leads_back_to_its_bucket_and_key(bucket: String, key: String) {
            let name = file_name(&bucket, &key);
            prop_assert_eq!(parse_file_name(&name), Some((bucket, key)));
        }

        #[test]
        fn a_file_name_is_safe_whatever_the_names_hold(
            bucket in r"[./\\;%\x00-\x20a-]{0,8}",
            key in r"[./\\;%\x00-\x20a-]{0,8}",
        ) {
            let name = file_name(&bucket, &key);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.%".contains(&byte)));
            prop_assert!(!name.starts_with('.'));
            prop_assert_eq!(Path::new(&name).components().count(), 1);
            for name in [temporary_name(&name, u64::MAX), temporary_name(&format!("{name}.previous"), 0)] {
                prop_assert!(is_temporary(&name) && parse_file_name(&name).is_none());
            }
        }
    }
}

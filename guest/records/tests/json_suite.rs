//! The texts of JSON test suites as a record of a page and within one: what is JSON goes through as it came,
//! and what is not does not hold back the other records.
//!
//! The texts of Nicolas Seriot's JSONTestSuite are beside the checkout where there is a copy, or in the
//! folder that `JSON_TEST_SUITE` names; the test says so if they are not. Texts of the same kinds are below.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use alert_records::json;
use pages::{FORMS, good};

mod pages;

const JSON: [&str; 16] = [
    "[]",
    " [ 1 , null , true , false ] ",
    "[[[]],{}]",
    r#"{"":0}"#,
    r#"{"a":1,"a":1}"#,
    r#"{"a":{"b":[{"c":"d"}]}}"#,
    "-0",
    "[-0.0, 0e+1, 0E-1, 1.5e22, -9223372036854775809]",
    "[123456789012345678901234567890]",
    r#""""#,
    r#"["\"\\\/\b\f\n\r\t"]"#,
    r#"["\u0061\u30af\ud834\udd1e\u0000\u2028"]"#,
    "[\"\u{7f}\u{10ffff}\u{2029}\"]",
    "[\"a,b]c}d[e{f:g\"]",
    "\n{\t\"a\" :\r\n1 }\n",
    "null",
];

const NO_JSON: [&str; 40] = [
    "NaN",
    "[NaN]",
    "-Infinity",
    "+1",
    "[.5]",
    "[1.]",
    "0x1F",
    "1_000",
    "[1 2]",
    "[1,,2]",
    "[,1]",
    "[1,]",
    "[\"\": 1]",
    "[1;2]",
    "tru",
    "[nul]",
    "True",
    "undefined",
    "'a'",
    "['a']",
    "[a]",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\":1 \"b\"}",
    "{\"a\":1}x",
    "[1]x",
    "\"a\"x",
    "{\"a\":/**/1}",
    "[\u{c}]",
    "[\u{2060}]",
    "<html>",
    "*",
];

const BROKEN: [&str; 16] =
    ["", " ", "[", "{", "]", "}", "[1", "[1,", "{\"a\"", "{\"a\":", "{\"a\":[}", "\"a", "[\"a", "1]", "[1]]", "{]"];

/// Whether strings and brackets of a text show where it ends, so that it can't be taken for more or less than
/// it is.
fn is_balanced(text: &[u8]) -> bool {
    let (mut open, mut string, mut escaped) = (Vec::new(), false, false);
    for byte in text {
        match (string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => string = !string,
            (false, b'[') => open.push(b']'),
            (false, b'{') => open.push(b'}'),
            (false, b']' | b'}') if open.pop() != Some(*byte) => return false,
            _ => {}
        }
    }
    !string && open.is_empty()
}

/// The text without white space between tokens.
fn compact(text: &[u8]) -> Vec<u8> {
    let (mut string, mut escaped) = (false, false);
    let mut is_kept = |byte: &u8| {
        let was_string = string;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            _ => {}
        }
        was_string || !b" \t\r\n".contains(byte)
    };
    text.iter().copied().filter(|byte| is_kept(byte)).collect()
}

fn member(text: &[u8]) -> Vec<u8> {
    [br#"{"id":7,"value":"#, text, br#","more":[{"id":8}]}"#].concat()
}

fn goes_through(name: &str, text: &[u8]) {
    let record = member(text);
    for form in FORMS {
        let body = form.page(&[good(1), record.clone(), good(2)]);
        let page = form.read(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(page.records, [&good(1)[..], &record, &good(2)], "{name}");
        assert!(page.odd.is_empty(), "{name}");
        let mut out = Vec::new();
        json::append_compact(page.records[1], &mut out);
        assert_eq!(out, compact(&record), "{name}");
    }
}

/// Puts a text among 49 good records, as a record and as a member of one. Those before it come out whenever
/// the page can be read; all do if the text is balanced.
fn does_not_hold_back(name: &str, text: &[u8]) {
    for record in [text.to_vec(), member(text)] {
        for (form, place) in FORMS.into_iter().flat_map(|form| [0, 20, 49].map(|place| (form, place))) {
            let goods: Vec<_> = (0..49).map(good).collect();
            let mut records = goods.clone();
            records.insert(place, record.clone());
            let body = form.page(&records);
            let page = match form.read(&body) {
                Ok(page) => page,
                Err(error) => {
                    assert!(!is_balanced(text), "{name}: {error}: {}", text.escape_ascii());
                    continue;
                }
            };
            let found: Vec<_> = page.records.iter().filter(|text| goods.iter().any(|good| good == *text)).collect();
            if is_balanced(text) {
                assert_eq!(found.len(), 49, "{name} holds back others: {}", text.escape_ascii());
                assert!(page.records.len() <= 50 && page.odd.len() <= 1, "{name}");
            }
            assert!(found.iter().zip(&goods).take(place).all(|(found, good)| ***found == good[..]), "{name}");
            assert!(found.len() >= place, "{name}");
            assert!(found.is_sorted_by_key(|text| text.as_ptr()));
        }
    }
}

#[test]
fn json_goes_through_as_it_came() {
    for text in JSON {
        goes_through(text, text.as_bytes());
    }
}

#[test]
fn what_is_no_json_does_not_hold_back_the_others() {
    for text in NO_JSON {
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err() && is_balanced(text.as_bytes()), "{text}");
        does_not_hold_back(text, text.as_bytes());
    }
    for text in BROKEN {
        does_not_hold_back(text, text.as_bytes());
    }
    let bytes: [&[u8]; 6] = [b"[\"\xff\"]", b"\xff", b"[\xe5]", b"[\"a\x00\"]", b"[\x00]", b"[\"a\nb\"]"];
    for text in bytes {
        does_not_hold_back("bytes", text);
    }
    for depth in [255, 300, 50_000] {
        does_not_hold_back("deep", &[vec![b'['; depth], vec![b']'; depth]].concat());
        does_not_hold_back("open", &vec![b'['; depth]);
        does_not_hold_back("open objects", &br#"[{"":"#.repeat(depth));
    }
}

#[test]
fn the_json_test_suite_holds_back_no_good_record() {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/json-suite/test_parsing");
    let folder = std::env::var_os("JSON_TEST_SUITE").map_or(beside, PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: there is no {}", folder.display());
        return;
    };
    let mut counts = BTreeMap::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read(&path).unwrap();
        match &name[..2] {
            "y_" => goes_through(&name, &text),
            "n_" | "i_" => does_not_hold_back(&name, &text),
            _ => continue,
        }
        *counts.entry(name[..2].to_owned()).or_insert(0) += 1;
    }
    let expected = [("i_", 35), ("n_", 188), ("y_", 95)].map(|(kind, count)| (kind.to_owned(), count));
    assert_eq!(counts, expected.into(), "all of {} was tried", folder.display());
}

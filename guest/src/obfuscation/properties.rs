//! Random records and rules, held against masks made in the plainest way: on a tree, one place at a time.

use proptest::prelude::*;
use serde_json::json;

use super::Rules;
use super::tree::{Member, Tree, default_mask, replace};

/// The form of a scalar, in which `%` becomes a number that no other scalar of the record has.
const SCALARS: [&str; 9] =
    ["null", "true", "false", "%", "-%", "%.50", "%E+2", r#""""#, r#""\ud83d\ude00 \"%\" \\ \ud800""#];

fn tree() -> impl Strategy<Value = Tree> {
    let scalar = prop::sample::select(&SCALARS[..]).prop_map(|form| Tree::Scalar(form.to_owned()));
    let tree = scalar.prop_recursive(5, 50, 5, |inner| {
        let member =
            (key(), any::<bool>(), inner.clone()).prop_map(|(key, escaped, value)| Member { key, escaped, value });
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Tree::List),
            prop::collection::vec(member, 0..5).prop_map(Tree::Object),
        ]
    });
    tree.prop_map(|mut tree| {
        number(&mut tree, &mut 10_000);
        tree
    })
}

fn key() -> impl Strategy<Value = String> {
    "[ab01*]".prop_map(String::from)
}

fn paths() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(key(), 1..4), 1..4)
}

fn number(tree: &mut Tree, next: &mut u32) {
    match tree {
        Tree::Scalar(text) => {
            *text = text.replace('%', &next.to_string());
            *next += 1;
        }
        Tree::List(elements) => elements.iter_mut().for_each(|element| number(element, next)),
        Tree::Object(members) => members.iter_mut().for_each(|member| number(&mut member.value, next)),
    }
}

fn written(tree: &Tree) -> String {
    match tree {
        Tree::Scalar(text) => text.clone(),
        Tree::List(elements) => format!("[ {}]", elements.iter().map(written).collect::<Vec<_>>().join(" ,")),
        Tree::Object(members) => {
            let member = |member: &Member| {
                let escape = |character: char| format!("\\u{:04X}", u32::from(character));
                let key = if member.escaped { member.key.chars().map(escape).collect() } else { member.key.clone() };
                format!("\"{key}\" :\n{}", written(&member.value))
            };
            format!("{{{}\t}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
    }
}

fn fixed_mask(tree: &Tree) -> Tree {
    match tree {
        Tree::Scalar(text) if text == "null" => tree.clone(),
        _ => Tree::Scalar("0".to_owned()),
    }
}

fn rules(paths: &[Vec<String>], value: Option<i32>) -> Rules {
    let rule = |path: &Vec<String>| value.map_or(json!({"name": path}), |value| json!({"name": path, "value": value}));
    Rules::parse(&paths.iter().map(rule).collect::<serde_json::Value>().to_string()).unwrap()
}

fn applied(rules: &Rules, record: &str) -> String {
    rules.apply(record.as_bytes()).map_or(record.to_owned(), |masked| String::from_utf8(masked).unwrap())
}

proptest! {
    #[test]
    fn what_a_path_leads_to_is_masked_and_nothing_else_changes(tree in tree(), paths in paths()) {
        // An outer mask hides an inner one, whichever is made first.
        for (value, mask) in [(None, default_mask as fn(&Tree) -> Tree), (Some(0), fixed_mask)] {
            let mut expected = tree.clone();
            for path in &paths {
                replace(&mut expected, path, &mask);
            }
            prop_assert_eq!(applied(&rules(&paths, value), &written(&tree)), written(&expected));
        }
    }

    #[test]
    fn nothing_at_a_path_leaves_in_clear(tree in tree(), paths in paths()) {
        let masked = applied(&rules(&paths, None), &written(&tree));
        for path in &paths {
            for hidden in replace(&mut tree.clone(), path, &default_mask) {
                // The form may be anywhere; its number was in this place alone.
                if let Some(start) = hidden.find("1").filter(|_| hidden.contains("10")) {
                    prop_assert!(!masked.contains(&hidden[start..start + 5]), "{} in {}", hidden, masked);
                }
            }
        }
    }

    #[test]
    fn a_masked_record_is_json(tree in tree(), paths in paths()) {
        let masked = applied(&rules(&paths, None), &written(&tree));
        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&masked).is_ok(), "{}", masked);
    }

    #[test]
    fn masks_are_not_masked_again(tree in tree(), paths in paths()) {
        let rules = rules(&paths, None);
        let masked = applied(&rules, &written(&tree));
        prop_assert_eq!(rules.apply(masked.as_bytes()), None);
    }

    #[test]
    fn the_order_of_rules_does_not_matter(
        tree in tree(),
        (paths, shuffled) in paths().prop_flat_map(|paths| (Just(paths.clone()), Just(paths).prop_shuffle())),
    ) {
        let record = written(&tree);
        prop_assert_eq!(applied(&rules(&paths, None), &record), applied(&rules(&shuffled, None), &record));
    }

    #[test]
    fn exactly_what_any_pattern_matches_is_masked(
        text in "[abc@ \n]{0,12}",
        patterns in prop::collection::vec("[abc.]{1,3}|[ab]+[+*?]|\\^\\w\\+|@\\.\\{0,3\\}\\$|\\(a\\|ba\\)", 1..4),
        split in any::<prop::sample::Index>(),
    ) {
        let matches_at = |text: &str, index: usize| patterns.iter().any(|pattern| {
            regex_lite::Regex::new(pattern).unwrap().find_iter(text).any(|found| found.range().contains(&index))
        });
        let trimmed = text.strip_suffix('\n').unwrap_or(&text);
        let clear = text.char_indices().filter(|(index, _)| !matches_at(&text, *index) && !matches_at(trimmed, *index));
        let clear: String = clear.map(|(_, character)| character).collect();

        let (first, second) = patterns.split_at(split.index(patterns.len()));
        let rule = |patterns| json!({"name": "a", "value": "#", "string_patterns": patterns});
        let rules = if first.is_empty() { json!([rule(second)]) } else { json!([rule(first), rule(second)]) };
        let masked = applied(&Rules::parse(&rules.to_string()).unwrap(), &json!({"a": text}).to_string());
        let masked: serde_json::Value = serde_json::from_str(&masked).unwrap();
        prop_assert_eq!(masked["a"].as_str().unwrap().replace('#', ""), clear);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), name in "[a*0]") {
        let rules = json!([{"name": name, "string_patterns": ["."]}, {"name": [name, "*"]}]);
        let rules = Rules::parse(&rules.to_string()).unwrap();
        rules.apply(&bytes);
        rules.apply(&[b"{\"a\":\"", &bytes[..], b"\"}"].concat());
    }

    #[test]
    fn arbitrary_patterns_never_panic(pattern in r"[\\\[\]^a<&é~-]{0,8}") {
        let _ = Rules::parse(&json!([{"name": "a", "string_patterns": [pattern]}]).to_string());
    }
}

//! One rule: where it leads, and what it puts there.
//!
//! A rule is refused for anything that it can't do, so that nobody relies on one that does nothing.

use std::fmt;
use std::ops::Range;

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Where in a record something is masked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The way to the value; at least one step.
    pub path: Vec<Step>,
    /// A scalar to put there. Not set: a mask of the value's own type.
    pub value: Option<Value>,
    /// Only what these match in a string is masked. None: the whole value.
    pub patterns: Vec<Pattern>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To every member or element.
    Any,
    /// To the members with this key or, if it is a number, to the element at this index.
    One { key: String, index: Option<usize> },
}

impl Step {
    fn new(name: &str) -> Self {
        if name == "*" {
            return Self::Any;
        }
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        Self::One { key: name.to_owned(), index: name.parse().ok().filter(|_| is_number) }
    }

    /// Whether the step leads to members with this key. A key that can't be read might be any: it leads
    /// there.
    pub fn is_key(&self, key: Option<&[u8]>) -> bool {
        match self {
            Self::Any => true,
            Self::One { key: wanted, .. } => key.is_none_or(|key| key == wanted.as_bytes()),
        }
    }

    /// Whether the step leads to the element at this index.
    pub fn is_index(&self, position: usize) -> bool {
        match self {
            Self::Any => true,
            Self::One { index, .. } => *index == Some(position),
        }
    }
}

/// A regular expression that equals another one of the same text.
///
/// The engine is the small one, a quarter of the other's size in a component. Its `\w`, `\b` and `(?i)` know
/// ASCII alone, where Python's know every script: in a text with other characters they would leave in clear a
/// part of what they are meant to hide. There, such a pattern is taken to match all of it.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    knows_ascii_alone: bool,
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, regex_lite::Error> {
        Ok(Self { regex: Regex::new(pattern)?, knows_ascii_alone: knows_ascii_alone(pattern) })
    }

    /// Where it matches in `text`.
    pub fn matches(&self, text: &str) -> Vec<Range<usize>> {
        if self.knows_ascii_alone && !text.is_ascii() {
            return std::iter::once(0..text.len()).collect();
        }
        self.regex.find_iter(text).map(|found| found.range()).filter(|range| !range.is_empty()).collect()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}

/// Why rules can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// Where it is wrong, counted from 0: `obfuscation_data[1].string_patterns[0]`.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for RuleError {}

fn wrong<T>(place: &str, reason: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError { place: place.to_owned(), reason: reason.into() })
}

/// Reads a list of rules. A `null` is a list that was left empty.
pub fn parse(text: &str) -> Result<Vec<Rule>, RuleError> {
    let place = "obfuscation_data";
    match serde_json::from_str(text) {
        Ok(Value::Null) => Ok(Vec::new()),
        Ok(Value::Array(rules)) => {
            rules.into_iter().enumerate().map(|(index, rule)| read(rule, &format!("{place}[{index}]"))).collect()
        }
        Ok(_) => wrong(place, "must be a list of rules"),
        Err(error) => wrong(place, format!("is not JSON: {error}")),
    }
}

fn read(rule: Value, place: &str) -> Result<Rule, RuleError> {
    let Value::Object(mut members) = rule else {
        return wrong(place, "must be a rule with a name, such as `name: [user, email]`");
    };
    let rule = Rule {
        path: path(members.remove("name"), &format!("{place}.name"))?,
        value: value(&mut members, &format!("{place}.value"))?,
        patterns: patterns(members.remove("string_patterns"), &format!("{place}.string_patterns"))?,
    };
    match members.keys().next() {
        None => Ok(rule),
        Some(key) => wrong(place, format!("`{key}` is unknown; a rule has name, value and string_patterns")),
    }
}

fn path(name: Option<Value>, place: &str) -> Result<Vec<Step>, RuleError> {
    let names = match name {
        None | Some(Value::Null) => return wrong(place, "is missing"),
        Some(Value::Array(names)) if names.is_empty() => return wrong(place, "is empty"),
        Some(Value::Array(names)) => names,
        Some(name) => vec![name],
    };
    let step = |name: &Value| match name {
        Value::String(name) if name.is_empty() => wrong(place, "has an empty key"),
        Value::String(name) => Ok(Step::new(name)),
        Value::Number(number) if number.is_u64() => Ok(Step::new(&number.to_string())),
        other => wrong(place, format!("{other} is neither a key nor an index; a key that looks like one needs quotes")),
    };
    names.iter().map(step).collect()
}

fn value(rule: &mut Map<String, Value>, place: &str) -> Result<Option<Value>, RuleError> {
    match rule.remove("value") {
        Some(Value::Array(_) | Value::Object(_)) => wrong(place, "must be a string, a number, a boolean or null"),
        value => Ok(value),
    }
}

fn patterns(patterns: Option<Value>, place: &str) -> Result<Vec<Pattern>, RuleError> {
    let patterns = match patterns {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(patterns)) => patterns,
        Some(_) => return wrong(place, "must be a list of regular expressions"),
    };
    let compile = |(index, pattern): (usize, &Value)| {
        let place = format!("{place}[{index}]");
        let Some(pattern) = pattern.as_str() else {
            return wrong(&place, format!("{pattern} is not a string"));
        };
        if let Some(difference) = difference(pattern) {
            return wrong(&place, format!("`{pattern}` can't be used: {difference}"));
        }
        Pattern::new(pattern).or_else(|error| {
            // The last line says what is wrong; those before it draw an arrow at the place.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            wrong(&place, format!("`{pattern}` can't be used: {reason}"))
        })
    };
    patterns.iter().enumerate().map(compile).collect()
}

/// Whether a pattern has a class, a boundary or a flag that means ASCII alone to the engine.
fn knows_ascii_alone(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '(']) {
        let (special, after) = rest[at..].split_at(1);
        rest = after;
        if special == "\\" {
            if rest.starts_with(['w', 'W', 'd', 'D', 's', 'S', 'b', 'B']) {
                return true;
            }
            rest = rest.split_at(rest.chars().next().map_or(0, char::len_utf8)).1;
        } else if let Some(flags) = rest.strip_prefix('?') {
            let end = flags.find(|c: char| !c.is_ascii_alphabetic() && c != '-').unwrap_or(flags.len());
            if !flags.starts_with(['P', '<']) && flags[..end].contains('i') {
                return true;
            }
        }
    }
    false
}

/// What in a pattern has another meaning here than in Python, for which operators wrote it. It would match
/// something else than they mean, and leave in clear what they want to hide.
fn difference(pattern: &str) -> Option<&'static str> {
    let mut in_class = false;
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '\\' if rest.starts_with(['<', '>']) => return Some("`<` and `>` are written without a backslash"),
            '\\' => rest = rest.split_at(rest.chars().next().map_or(0, char::len_utf8)).1,
            '[' if in_class => return Some("a `[` inside [...] is written with a backslash"),
            '&' | '-' | '~' if in_class && rest.starts_with(character) => {
                return Some("`&&`, `--` and `~~` inside [...] are written with backslashes");
            }
            '[' => {
                in_class = true;
                rest = rest.strip_prefix('^').unwrap_or(rest);
                // A closing bracket that comes first stands for itself.
                rest = rest.strip_prefix(']').unwrap_or(rest);
            }
            ']' => in_class = false,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_name_is_a_list_or_a_single_key() {
        let rules = parse(r#"[{"name": ["user", 0, "*"]}, {"name": "user.email"}]"#).unwrap();
        let step = |key: &str, index| Step::One { key: key.to_owned(), index };
        assert_eq!(rules[0].path, [step("user", None), step("0", Some(0)), Step::Any]);
        assert_eq!(rules[1].path, [step("user.email", None)]);
    }

    #[test]
    fn no_rules_are_no_error() {
        assert_eq!(parse("[]"), Ok(Vec::new()));
        assert_eq!(parse("null"), Ok(Vec::new()));
    }

    #[test]
    fn an_error_says_which_rule_and_what_is_wrong() {
        assert_eq!(
            refused(r#"[{"name": "a"}, {"name": "b", "string_patterns": ["a", "(b"]}]"#),
            "obfuscation_data[1].string_patterns[1]: `(b` can't be used: found open group without closing ')'"
        );
        assert_eq!(
            refused(r#"[{"name": "a", "values": 1}]"#),
            "obfuscation_data[0]: `values` is unknown; a rule has name, value and string_patterns"
        );
        assert_eq!(
            refused(r#"[{"name": ["a", true]}]"#),
            "obfuscation_data[0].name: true is neither a key nor an index; a key that looks like one needs quotes"
        );
    }

    #[test]
    fn what_is_no_list_of_rules_is_refused() {
        assert_eq!(refused("{}"), "obfuscation_data: must be a list of rules");
        assert!(refused("[").starts_with("obfuscation_data: is not JSON: "));
        assert!(refused(r#"[["a"]]"#).starts_with("obfuscation_data[0]: must be a rule with a name"));
    }

    #[test]
    fn a_rule_that_leads_nowhere_is_refused() {
        for (rule, reason) in [
            ("{}", "is missing"),
            (r#"{"name": null}"#, "is missing"),
            (r#"{"name": []}"#, "is empty"),
            (r#"{"name": ""}"#, "has an empty key"),
            (r#"{"name": ["a", ""]}"#, "has an empty key"),
            (r#"{"name": ["a", -1]}"#, "-1 is neither a key nor an index; a key that looks like one needs quotes"),
            (r#"{"name": [["a"]]}"#, r#"["a"] is neither a key nor an index; a key that looks like one needs quotes"#),
        ] {
            assert_eq!(refused(&format!("[{rule}]")), format!("obfuscation_data[0].name: {reason}"));
        }
    }

    #[test]
    fn a_value_is_a_scalar() {
        for value in ["[]", "{}"] {
            let error = refused(&format!(r#"[{{"name": "a", "value": {value}}}]"#));
            assert_eq!(error, "obfuscation_data[0].value: must be a string, a number, a boolean or null");
        }
    }

    #[test]
    fn patterns_are_a_list_of_strings() {
        assert_eq!(
            refused(r#"[{"name": "a", "string_patterns": "x"}]"#),
            "obfuscation_data[0].string_patterns: must be a list of regular expressions"
        );
        assert_eq!(
            refused(r#"[{"name": "a", "string_patterns": [1]}]"#),
            "obfuscation_data[0].string_patterns[0]: 1 is not a string"
        );
    }

    #[test]
    fn a_pattern_that_this_engine_does_not_have_is_refused() {
        for pattern in [r"(?=a)", r"(?<!a)b", r"(a)\1", r"(?P<n>a)(?P=n)", r"a\Z", "(?>a)", "a{2", "*", r"\", "(?#x)a"]
        {
            let text = serde_json::json!([{"name": "a", "string_patterns": [pattern]}]).to_string();
            assert!(refused(&text).starts_with("obfuscation_data[0].string_patterns[0]: "), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_has_another_meaning_in_python_is_refused() {
        for pattern in [r"\<a\>", "[[a]b]", "[a[b]]", "[a-z&&b]", "[a--b]", "[]~~a]", r"[^]a[:alpha:]]"] {
            assert!(difference(pattern).is_some(), "{pattern}");
        }
        for pattern in [r"\\<a>", r"[\[a]b]", r"[a\-\-b]", "a--b&&[x]--", "[^]&]&", "[a-]", r"\é[x]", "a\\"] {
            assert_eq!(difference(pattern), None, "{pattern}");
        }
    }
}

//! What an answer says around its records: about further pages, and about errors. Several servers report an
//! error with the status of a success, and such an answer must not pass for a page without records.

use std::borrow::Cow;

use super::Paging;
use crate::json;

/// Of the API's own words about an error, so many characters are kept.
const WORDS_IN_CHARACTERS: usize = 200;

/// Numbers of pages and records from here on are taken for mistakes.
const ABSURD: u64 = 1_000_000_000_000;

/// What an answer says beside its records.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    pub paging: Paging,
    /// Whether it says that it is no success.
    pub no_success: bool,
    /// The status, if it is one of a failure.
    failure: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    /// Takes a member that stands beside the records or around them; paging is read where it is `outermost`.
    pub fn note(&mut self, key: &[u8], value: &'a [u8], outermost: bool) {
        match key {
            b"success" => self.no_success = is_false(value),
            b"status" => self.failure = Some(value).filter(|value| is_failure(value)),
            b"error" | b"errors" if !says_nothing(value) => self.error = Some(value),
            b"message" | b"detail" => self.message = Some(value),
            b"pagination" | b"meta" if outermost => {
                json::members(value, |key, value| self.paging.note(key, value));
            }
            _ if outermost => self.paging.note(key, value),
            _ => {}
        }
    }

    /// Whether the answer reports an error.
    pub fn is_error(&self) -> bool {
        self.no_success || self.failure.is_some() || self.error.is_some()
    }

    /// What the API says about the error, in one line; empty where it says nothing.
    pub fn words(&self) -> String {
        self.error.or(self.message).or(self.failure).map(words).unwrap_or_default()
    }
}

fn words(value: &[u8]) -> String {
    let text = if value.first() == Some(&b'"') {
        json::scalar_text(value)
    } else {
        let mut compact = Vec::new();
        json::append_compact(value, &mut compact);
        Cow::Owned(String::from_utf8_lossy(&compact).into_owned())
    };
    let printable = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().map(printable).take(WORDS_IN_CHARACTERS).collect::<String>().trim().to_owned()
}

fn is_false(value: &[u8]) -> bool {
    let text = json::scalar_text(value);
    text.trim().eq_ignore_ascii_case("false") || number(&text) == Some(0)
}

fn is_failure(value: &[u8]) -> bool {
    let text = json::scalar_text(value);
    let text = text.trim();
    let failures = ["error", "fail", "failed", "failure", "false"];
    failures.iter().any(|failure| text.eq_ignore_ascii_case(failure))
        || number(text).is_some_and(|status| (400..600).contains(&status))
}

/// Whether the value of an error means that there is none: empty, or a list or an object of what is empty.
fn says_nothing(value: &[u8]) -> bool {
    let mut nothing = true;
    let mut see = |value: &[u8]| nothing &= is_empty(value);
    match value.first() {
        Some(b'{') => json::members(value, |_, member| see(member)),
        Some(b'[') => json::elements(value, see),
        _ => return is_empty(value),
    };
    nothing
}

fn is_empty(value: &[u8]) -> bool {
    match value.first() {
        Some(b'{' | b'[') => value[1..value.len() - 1].trim_ascii().is_empty(),
        _ => {
            let text = json::scalar_text(value);
            let text = text.trim();
            let empty = ["", "null", "none", "false", "no"];
            empty.iter().any(|empty| text.eq_ignore_ascii_case(empty)) || number(text) == Some(0)
        }
    }
}

/// A whole number, also as a float that is one.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let float = || {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && (0.0..ABSURD as f64).contains(&number)).then_some(number as u64)
    };
    text.parse().ok().or_else(float).filter(|number| *number < ABSURD)
}

impl Paging {
    fn note(&mut self, key: &[u8], value: &[u8]) {
        let field = match key {
            b"current_page" => &mut self.current_page,
            b"total_page" | b"total_pages" => &mut self.total_pages,
            b"total_count" => &mut self.total_count,
            _ => return,
        };
        if let Some(number) = number(&json::scalar_text(value)) {
            *field = Some(number);
        }
    }
}

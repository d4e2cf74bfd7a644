//! Text of others on its way to somebody's eyes: a line of the log, a page. What ends lines, moves the cursor
//! of a terminal, colours it, turns text around or can't be seen is written as an escape, so that nothing can
//! look like something that the host has said.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every such character in the way in which JSON escapes it: whatever is JSON stays the same
/// JSON. Backslashes stay as they are.
pub fn printable(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_harmful) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for character in text[first..].chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            harmful if is_harmful(harmful) => {
                for unit in harmful.encode_utf16(&mut [0; 2]) {
                    // A string takes everything.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// Control characters, the separators of lines and paragraphs, and format characters (category Cf of Unicode
/// 17): those that turn text around, and others that have no width.
fn is_harmful(character: char) -> bool {
    match character {
        ' '..='~' => false,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' => true,
        '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' => true,
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_ends_lines_or_is_not_seen_is_escaped() {
        let harm = "a\nb\r\tc\u{1b}[31m\u{9b}0m\u{7f}\u{2028}\u{202e}\u{2066}\u{feff}\u{e0041}d";
        let shown = r"a\nb\r\tc\u001b[31m\u009b0m\u007f\u2028\u202e\u2066\ufeff\udb40\udc41d";
        assert_eq!(printable(harm), shown);
    }

    #[test]
    fn what_people_read_stays_as_it_is() {
        for text in ["", "plain text \\ \"quoted\" 100 %", "\u{fc}ber \u{4f60}\u{597d} \u{1f600} e\u{301}"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    proptest! {
        #[test]
        fn json_stays_the_same_json(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            let shown = printable(&json);
            prop_assert!(!shown.contains(is_harmful));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}

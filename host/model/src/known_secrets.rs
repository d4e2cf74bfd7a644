//! Secrets that must not be shown, and text without them. Whatever an API or a component says may repeat what
//! the host has sent: the host knows its secrets, and takes them out where text is shown.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

/// What stands in place of a secret.
const MASK: &str = "***";

/// No shorter secret is looked for: it would be found in ordinary words.
const SHORTEST: usize = 8;

/// Of a secret that is cut off, so many bytes are recognised.
const BEGINNING: usize = 12;

/// Secrets that were replaced are kept so long: what they were sent with may be answered late.
const MOST_REPLACED: usize = 32;

/// Texts within texts whose escapes are undone: JSON in JSON, say.
const DEEPEST: usize = 2;

/// The secrets of one configuration. Clones share them.
#[derive(Clone, Default)]
pub struct KnownSecrets(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    lasting: Vec<Forms>,
    /// The newest last.
    replaced: VecDeque<Forms>,
}

/// A secret as it may be written: as it is, with its own escapes undone, and in base64 at each of the three
/// places that it can have within what is encoded.
#[derive(PartialEq, Eq)]
struct Forms(Vec<Zeroizing<Vec<u8>>>);

impl KnownSecrets {
    /// One more, for as long as there is the configuration.
    pub fn add(&self, secret: &SecretString) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(forms) = Forms::of(secret).filter(|forms| !known.has(forms)) {
            known.lasting.push(forms);
        }
    }

    /// One that may be replaced by others, such as what stands in a file. The last ones are known.
    pub fn add_replaceable(&self, secret: &SecretString) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(forms) = Forms::of(secret).filter(|forms| !known.has(forms)) {
            if known.replaced.len() == MOST_REPLACED {
                known.replaced.pop_front();
            }
            known.replaced.push_back(forms);
        }
    }

    /// The text with `***` in place of each secret and of the beginning of one, however they are escaped: as
    /// JSON, URLs and HTML do it, or in base64.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.lasting.is_empty() && known.replaced.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut found = Vec::new();
        let mut view = View::of(text.as_bytes());
        for _ in 0..=DEEPEST {
            for form in known.lasting.iter().chain(&known.replaced).flat_map(|forms| &forms.0) {
                view.find(form, &mut found);
            }
            match view.unescaped() {
                Some(inner) => view = inner,
                None => break,
            }
        }
        if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(without(text, found)) }
    }
}

/// Shows how many there are.
impl fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "{} secrets", known.lasting.len() + known.replaced.len())
    }
}

impl Known {
    fn has(&self, forms: &Forms) -> bool {
        self.lasting.iter().chain(&self.replaced).any(|known| known == forms)
    }
}

impl Forms {
    /// None if it is too short.
    fn of(secret: &SecretString) -> Option<Self> {
        let secret = secret.expose_secret().trim().as_bytes();
        if secret.len() < SHORTEST {
            return None;
        }
        let mut forms = vec![Zeroizing::new(secret.to_vec())];
        forms.extend(View::of(secret).unescaped().map(|inner| Zeroizing::new(inner.bytes.into_owned())));
        for shift in 0..3 {
            let shifted = Zeroizing::new([&[0; 2][..shift], secret].concat());
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                // Characters that depend on what stands around the secret are left out.
                let encoded = Zeroizing::new(engine.encode(&*shifted).into_bytes());
                let (first, last) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
                forms.push(Zeroizing::new(encoded[first..last].to_vec()));
            }
        }
        forms.retain(|form| form.len() >= SHORTEST);
        forms.dedup();
        Some(Self(forms))
    }
}

/// A text, and where in the first one each of its bytes begins.
struct View<'a> {
    bytes: Cow<'a, [u8]>,
    /// One more than there are bytes. None: each is where it was.
    starts: Option<Vec<usize>>,
}

impl<'a> View<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { bytes: Cow::Borrowed(text), starts: None }
    }

    fn start(&self, at: usize) -> usize {
        self.starts.as_ref().map_or(at, |starts| starts[at])
    }

    /// Where a secret stands, or the beginning of one. What was found is not looked at again, so that no text
    /// takes longer than its length.
    fn find(&self, secret: &[u8], found: &mut Vec<Range<usize>>) {
        let mut note = |at: usize, length: usize| found.push(self.start(at)..self.start(at + length));
        memmem::find_iter(&self.bytes, secret).for_each(|at| note(at, secret.len()));
        let beginning = memmem::Finder::new(&secret[..BEGINNING.min(secret.len())]);
        let mut at = 0;
        while let Some(next) = beginning.find(&self.bytes[at..]) {
            at += next;
            let length = self.bytes[at..].iter().zip(secret).take_while(|(text, secret)| text == secret).count();
            note(at, length);
            at += length;
        }
    }

    /// The same with its escapes undone; none if there are none.
    fn unescaped(&self) -> Option<View<'static>> {
        if !self.bytes.iter().any(|byte| matches!(byte, b'\\' | b'%' | b'&')) {
            return None;
        }
        let (mut bytes, mut starts) = (Vec::with_capacity(self.bytes.len()), Vec::with_capacity(self.bytes.len() + 1));
        let mut at = 0;
        while let Some(first) = self.bytes.get(at) {
            let (byte, length) = escaped(&self.bytes[at..]).unwrap_or((*first, 1));
            bytes.push(byte);
            starts.push(self.start(at));
            at += length;
        }
        starts.push(self.start(at));
        (bytes.len() < self.bytes.len()).then_some(View { bytes: Cow::Owned(bytes), starts: Some(starts) })
    }
}

/// The character that an escape at the beginning of the text stands for, and the length of the escape.
fn escaped(text: &[u8]) -> Option<(u8, usize)> {
    const NAMED: [(&[u8], u8); 5] =
        [(b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>'), (b"&quot;", b'"'), (b"&apos;", b'\'')];
    let number = |opening: &[u8], digits: usize, closing: &[u8], radix| {
        let rest = text.strip_prefix(opening)?;
        let number = std::str::from_utf8(rest.get(..digits)?).ok()?;
        let number = number.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(number)?;
        let length = opening.len() + digits + closing.len();
        Some((u8::from_str_radix(number, radix).ok()?, length)).filter(|_| rest[digits..].starts_with(closing))
    };
    match text {
        [b'\\', b'u', ..] => number(b"\\u00", 2, b"", 16),
        [b'\\', character @ (b'"' | b'\\' | b'/' | b'\''), ..] => Some((*character, 2)),
        [b'%', ..] => number(b"%", 2, b"", 16),
        [b'&', b'#', ..] => number(b"&#x", 2, b";", 16)
            .or_else(|| number(b"&#X", 2, b";", 16))
            .or_else(|| number(b"&#", 2, b";", 10))
            .or_else(|| number(b"&#", 3, b";", 10)),
        [b'&', ..] => NAMED.iter().find(|(name, _)| text.starts_with(name)).map(|(name, byte)| (*byte, name.len())),
        _ => None,
    }
}

fn without(text: &str, mut found: Vec<Range<usize>>) -> String {
    found.sort_unstable_by_key(|range| range.start);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for Range { start, end } in found {
        // Of a secret's own characters only a part may stand there.
        let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
        if start >= at {
            out.push_str(&text[at..start]);
            out.push_str(MASK);
        }
        at = at.max(end);
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "s3cr/t+t%41ken=é";

    fn known() -> KnownSecrets {
        let known = KnownSecrets::default();
        known.add(&SecretString::from(TOKEN));
        known
    }

    fn percent(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    #[test]
    fn a_secret_is_taken_out_however_it_is_written() {
        let json = TOKEN.replace('/', "\\/");
        let html: String =
            TOKEN.chars().map(|c| if c.is_ascii() { format!("&#x{:X};", u32::from(c)) } else { c.into() }).collect();
        let twice = percent(&percent(TOKEN));
        let json_in_json = json.replace('\\', "\\\\");
        for written in [TOKEN, &json, &json_in_json, &percent(TOKEN), &twice, &html, &TOKEN.replace('+', "&#43;")] {
            let text = format!("<p>Authorization: Bearer {written}</p>\u{e9}");
            assert_eq!(known().mask(&text), "<p>Authorization: Bearer ***</p>\u{e9}", "{written}");
        }
    }

    #[test]
    fn within_base64_what_is_the_secrets_goes() {
        for before in ["", "u:", "us:", "user:"] {
            for after in ["", "!", "!!", "!!!"] {
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let text = format!("Basic {} end", engine.encode(format!("{before}{TOKEN}{after}")));
                    let masked = known().mask(&text).into_owned();
                    assert!(masked.contains(MASK) && masked.len() < 28, "{before} {after}: {masked}");
                }
            }
        }
    }

    #[test]
    fn the_beginning_of_a_secret_goes_too() {
        assert_eq!(known().mask("cut: s3cr/t+t%41ke.."), "cut: ***..");
        assert_eq!(known().mask("cut: s3cr%2Ft%2Bt%2541k"), "cut: ***");
        assert_eq!(known().mask("s3cr/t+t%41"), "s3cr/t+t%41");
    }

    #[test]
    fn what_is_no_secret_stays() {
        let none = KnownSecrets::default();
        none.add(&SecretString::from("short"));
        for text in ["", "short", "100 % & more \\ a \\u00 %4 &#x4", TOKEN] {
            assert!(matches!(none.mask(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(known().mask("S3CR/T+T%41KEN=É"), "S3CR/T+T%41KEN=É");
    }

    #[test]
    fn the_last_of_those_that_are_replaced_are_known() {
        let known = KnownSecrets::default();
        known.add(&SecretString::from("the lasting one"));
        for number in 0..100 {
            known.add_replaceable(&SecretString::from(format!("{number:08}-token")));
        }
        assert_eq!(known.mask("the lasting one, 00000099-token, 00000068-token"), "***, ***, ***");
        assert_eq!(known.mask("00000067-token"), "00000067-token");
        assert_eq!(format!("{known:?}"), "33 secrets");
    }

    proptest! {
        #[test]
        fn whatever_stands_around_it_a_secret_never_stays(before in ".*", after in ".*") {
            let masked = known().mask(&format!("{before}{TOKEN}{after}")).into_owned();
            prop_assert!(!masked.contains(TOKEN) && masked.contains(MASK));
        }

        #[test]
        fn no_text_is_too_strange(text in "[s3cr/t+%41&#x;\\\\u0é]*") {
            known().mask(&text);
        }
    }
}

//! Where a record ends that is not JSON, so that it doesn't hold back those behind it.
//!
//! By its brackets: the record goes on to the comma or the bracket of the page's list that is in no string
//! and in no bracket of the record. Brackets that don't match are completed, where the list goes on behind
//! them. Where the strings can't be trusted, as with a quote that nobody has escaped, the record is read from
//! both sides: it ends where as many brackets are closed behind that quote as are open before it, and the
//! next record or the end of the answer follows. So an object within a record is not taken for a record.
//!
//! An answer that looks as if it were cut off is never made whole.

use crate::json::{Scanner, SyntaxError, next_special};

/// A record of a page that is not JSON, or several of them in a row where they can't be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odd<'a> {
    /// Its bytes as they came, without white space around them.
    pub text: &'a [u8],
    /// Where in the answer it begins.
    pub offset: usize,
    /// What is wrong with it; the place is counted from its own beginning.
    pub error: SyntaxError,
    /// Whether brackets and strings show its end. Where they don't, the page may also be one that was cut off
    /// within this record, at a place that looks like an end.
    pub certain: bool,
}

/// Where an odd record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// At this comma or bracket of the list.
    pub at: usize,
    /// See [`Odd::certain`].
    certain: bool,
}

impl<'a> Odd<'a> {
    /// The record in this part of an answer, where `error` was met.
    pub(super) fn new(body: &'a [u8], start: usize, end: End, error: &SyntaxError) -> Self {
        let text = body[start..end.at].trim_ascii_end();
        let offset = error.offset.saturating_sub(start).min(text.len());
        let error = SyntaxError { offset, expected: error.expected };
        Self { text, offset: start, error, certain: end.certain }
    }
}

/// How often the bytes of an answer may be looked at while ends are tried, so that no answer takes long.
const LOOKS: usize = 32;

/// The search for the ends of odd records in one list.
pub struct Recovery<'a, 'o> {
    text: &'a [u8],
    /// What closes the arrays and objects around the records, the list's own bracket at the end.
    open: &'o [u8],
    /// Bytes that may still be looked at.
    looks: usize,
}

impl<'a, 'o> Recovery<'a, 'o> {
    pub fn new(text: &'a [u8], open: &'o [u8]) -> Self {
        Self { text, open, looks: LOOKS * text.len() }
    }

    /// Where the record ends that begins at `start` and is not JSON as `error` says: at a comma or at the
    /// list's bracket. `None` if that can't be told.
    #[cold]
    pub fn end(&mut self, start: usize, error: &SyntaxError) -> Option<End> {
        if error.offset >= self.text.len() {
            // So far nothing was wrong: the answer was cut off.
            return None;
        }
        match self.outline(start) {
            Outline::Closed(at) => Some(End { at, certain: true }),
            Outline::Completed(at) => self.is_followed(at).then_some(End { at, certain: false }),
            Outline::Quote { at, open } => self.end_behind_quote(start, at, &open).map(|at| End { at, certain: false }),
            Outline::CutOff => None,
        }
    }

    /// The first end from which backwards to the quote at `quote` the brackets in `open` are closed, and on
    /// which a record or the end of the answer follows.
    fn end_behind_quote(&mut self, start: usize, quote: usize, open: &[u8]) -> Option<usize> {
        let (mut end, mut likely) = (start, None);
        while let Some(next) = memchr::memchr2(b',', b']', self.text.get(end..)?) {
            end += next;
            self.spend(1)?;
            let possible = self.text[end] == b']' || self.text.get(self.skip_white_space(end + 1)) == Some(&b'{');
            if possible && self.closes_behind(quote, end, open)? {
                if self.is_followed(end) {
                    return Some(end);
                }
                // The next record may be odd too, if it begins in the same way.
                let key = first_key(self.text, self.skip_white_space(end + 1));
                if likely.is_none() && key.is_some() && key == first_key(self.text, start) {
                    likely = Some(end);
                }
            }
            end += 1;
        }
        likely
    }

    /// Follows strings and brackets, and takes everything else as it is.
    fn outline(&self, start: usize) -> Outline {
        let text = self.text;
        let (mut at, mut before, mut comma) = (start, b'[', start);
        let (mut matched, mut open) = (true, Open::default());
        while let Some(byte) = text.get(at).copied() {
            match byte {
                b',' | b']' if open.is_empty() && matched => return Outline::Closed(at),
                b',' | b']' if open.is_empty() => return Outline::Completed(at),
                b'{' if before == b',' && open.is_in_object() => {
                    // No object stands behind a comma of an object: that has ended before, without its
                    // bracket.
                    matched = false;
                    while open.is_in_object() {
                        open.pop();
                    }
                    if open.is_empty() {
                        let key = first_key(text, start);
                        // An object within this record would mostly begin with another key.
                        let alike = key.is_none() || key == first_key(text, at);
                        return if alike { Outline::Completed(comma) } else { Outline::CutOff };
                    }
                    open.push(b'}');
                }
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                b'}' | b']' => {
                    // One that closes nothing is left alone. If it were the list's, all behind it might be
                    // lost.
                    matched &= open.close(byte);
                }
                b'"' => {
                    let end = string_end(text, at);
                    if !is_followed_as_a_string(&text[end..]) {
                        return Outline::Quote { at, open: open.closing };
                    }
                    (at, before) = (end, byte);
                    continue;
                }
                b',' => comma = at,
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
            at += 1;
        }
        Outline::CutOff
    }

    /// Whether a record that is JSON or the end of the answer follows on the comma or the bracket at `end`.
    fn is_followed(&mut self, end: usize) -> bool {
        let mut scanner = self.scanner(end + 1);
        let followed = if self.text[end] == b']' {
            pass_rest(&mut scanner, &self.open[..self.open.len() - 1]).is_ok()
        } else {
            let passed = scanner.value(self.open.len() as u32).is_ok();
            scanner.white_space();
            passed && matches!(scanner.peek(), Some(b',' | b']'))
        };
        self.spend(scanner.at - end).is_some() && followed
    }

    /// Whether exactly the brackets in `open` are closed between the quote and this end. Read backwards, for
    /// strings are trusted there as long as something stands before them behind which a string may begin.
    fn closes_behind(&mut self, quote: usize, end: usize, open: &[u8]) -> Option<bool> {
        let mut closing = Vec::new();
        let mut at = end;
        let mut matched = true;
        while matched && at > quote + 1 {
            at -= 1;
            match self.text[at] {
                byte @ (b'}' | b']') => closing.push(byte),
                b'{' => matched = closing.pop() == Some(b'}'),
                b'[' => matched = closing.pop() == Some(b']'),
                b'"' => {
                    let (start, looked_at) = string_start(self.text, quote, at);
                    self.spend(looked_at)?;
                    let Some(start) = start else { break };
                    at = start;
                }
                _ => {}
            }
        }
        self.spend(end - at)?;
        Some(matched && closing == open)
    }

    /// `None` where all looks were taken.
    fn spend(&mut self, looks: usize) -> Option<()> {
        self.looks = self.looks.checked_sub(looks)?;
        Some(())
    }

    fn scanner(&self, at: usize) -> Scanner<'a> {
        let mut scanner = Scanner::new(self.text);
        scanner.at = at;
        scanner
    }

    fn skip_white_space(&self, at: usize) -> usize {
        let mut scanner = self.scanner(at);
        scanner.white_space();
        scanner.at
    }
}

/// What brackets and strings say about an element, whatever else is in it.
#[derive(Debug, PartialEq, Eq)]
enum Outline {
    /// It ends here, at a comma or at the list's bracket.
    Closed(usize),
    /// The same, but its brackets don't match.
    Completed(usize),
    /// The string that begins here is none, or one without its end; this closes what is open there.
    Quote { at: usize, open: Vec<u8> },
    /// It goes on to the end of the text, or nobody can tell where.
    CutOff,
}

/// What is open at a place of an element.
#[derive(Default)]
struct Open {
    /// What closes it, the innermost last.
    closing: Vec<u8>,
    /// How many of it are objects.
    objects: usize,
}

impl Open {
    fn push(&mut self, closing: u8) {
        self.objects += usize::from(closing == b'}');
        self.closing.push(closing);
    }

    fn pop(&mut self) -> Option<u8> {
        let closing = self.closing.pop()?;
        self.objects -= usize::from(closing == b'}');
        Some(closing)
    }

    fn is_empty(&self) -> bool {
        self.closing.is_empty()
    }

    fn is_in_object(&self) -> bool {
        self.closing.last() == Some(&b'}')
    }

    /// Closes the innermost array or object that this bracket may close, and what is open within it. Returns
    /// whether it is the innermost of all.
    fn close(&mut self, closing: u8) -> bool {
        let count = if closing == b'}' { self.objects } else { self.closing.len() - self.objects };
        let innermost = self.closing.last() == Some(&closing);
        while count > 0 && self.pop() != Some(closing) {}
        innermost
    }
}

/// The key that an object begins with, as it is written; `None` if no such object begins here.
fn first_key(text: &[u8], start: usize) -> Option<&[u8]> {
    let inside = text.get(start..)?.strip_prefix(b"{")?.trim_ascii_start();
    let key = inside.strip_prefix(b"\"")?;
    key.get(..next_special(key, 0))
}

/// The place behind the string that begins here; the end of the text where it doesn't end.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        at = next_special(text, at);
        match text.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return text.len(),
        }
    }
}

/// Whether what follows on a string is what may: where a quote within it was not escaped, it is something
/// else.
fn is_followed_as_a_string(rest: &[u8]) -> bool {
    matches!(rest.trim_ascii_start().first(), None | Some(b',' | b':' | b'}' | b']'))
}

/// Where the string begins that ends with the quote at `end`, behind the one at `after`, and how much was
/// looked at for it; `None` if it is no string.
fn string_start(text: &[u8], after: usize, end: usize) -> (Option<usize>, usize) {
    let escapes = |at: usize| text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    let mut looked_at = escapes(end);
    let mut start = if looked_at % 2 == 1 { None } else { Some(end) };
    while let Some(quote) = start {
        start = memchr::memrchr(b'"', text.get(after + 1..quote).unwrap_or_default()).map(|at| after + 1 + at);
        looked_at += quote - start.unwrap_or(after);
        let Some(quote) = start else { break };
        let escapes = escapes(quote);
        looked_at += escapes;
        if escapes % 2 == 0 {
            break;
        }
    }
    let before = |start: &usize| text[..*start].trim_ascii_end().last();
    (start.filter(|start| matches!(before(start), Some(b'{' | b'[' | b',' | b':'))), looked_at)
}

/// Passes the rest of what is open, from the inside out, and the end of the document.
fn pass_rest(scanner: &mut Scanner<'_>, open: &[u8]) -> Result<(), Box<SyntaxError>> {
    for (depth, closing) in open.iter().enumerate().rev() {
        while !scanner.ends_with(*closing, "a comma or the end of an array or an object")? {
            if *closing == b'}' {
                scanner.key()?;
            }
            scanner.value(depth as u32 + 1)?;
        }
    }
    scanner.end()
}

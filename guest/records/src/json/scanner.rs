//! One pass over JSON text: checks its structure, and tells where values begin and end.

use super::block::next_special;
use super::{SyntaxError, is_white_space};

/// What a step comes to. The error is boxed, so that a result fits in a register.
pub type Pass<T = ()> = Result<T, Box<SyntaxError>>;

/// Arrays and objects nested deeper than this are refused: the scanner recurses, and a sandbox's stack is
/// small.
const MAX_DEPTH: u32 = 256;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A place in a text, and what has been seen on the way there.
pub struct Scanner<'a> {
    pub text: &'a [u8],
    pub at: usize,
    /// Whether white space stood between tokens, or a raw line break in a string: such a text is not one
    /// compact line.
    pub loose: bool,
    /// Whether the string passed last has escapes.
    escaped: bool,
}

/// The key of a member.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// As it is written, without its quotes.
    pub text: &'a [u8],
    /// Whether it has escapes, so that it may mean another text than it shows.
    pub escaped: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, loose: false, escaped: false }
    }

    /// At the value of a document, which may begin with a mark of its byte order.
    pub fn document(text: &'a [u8]) -> Self {
        let mut scanner = Self::new(text);
        if text.starts_with(BYTE_ORDER_MARK) {
            scanner.at = BYTE_ORDER_MARK.len();
        }
        scanner.white_space();
        scanner
    }

    /// Checks that nothing is left.
    pub fn end(&mut self) -> Pass {
        self.white_space();
        if self.at < self.text.len() { Err(self.expected("the end of the document")) } else { Ok(()) }
    }

    #[cold]
    pub(crate) fn expected(&self, expected: &'static str) -> Box<SyntaxError> {
        Box::new(SyntaxError { offset: self.at.min(self.text.len()), expected })
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    pub fn white_space(&mut self) {
        if self.peek().is_some_and(|byte| byte > b' ') {
            return;
        }
        while self.peek().is_some_and(is_white_space) {
            self.loose = true;
            self.at += 1;
        }
    }

    /// Passes one value, and gives its text.
    #[inline(always)]
    pub fn value(&mut self, depth: u32) -> Pass<&'a [u8]> {
        self.white_space();
        let start = self.at;
        self.pass(depth)?;
        Ok(&self.text[start..self.at])
    }

    /// Passes the value that begins here.
    fn pass(&mut self, depth: u32) -> Pass {
        // Apart from the others, for most values are strings: a branch that is foreseen instead of a jump by
        // a table.
        if self.peek() == Some(b'"') {
            return self.string();
        }
        match self.peek() {
            Some(b'{') => self.object(depth, |scanner, _| {
                scanner.white_space();
                scanner.pass(depth + 1)
            }),
            Some(b'[') => self.array(depth, |scanner| {
                scanner.white_space();
                scanner.pass(depth + 1)
            }),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.expected("a value")),
        }
    }

    /// Passes the object that begins here. `member` has to pass the value of each key.
    #[inline]
    pub fn object(&mut self, depth: u32, mut member: impl FnMut(&mut Self, Key<'a>) -> Pass) -> Pass {
        self.enter(depth)?;
        self.white_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            if self.ends_with(b'}', "a comma or the end of the object")? {
                return Ok(());
            }
        }
    }

    /// Passes a key and the colon behind it.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Pass<Key<'a>> {
        self.white_space();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key"));
        }
        let start = self.at + 1;
        self.string()?;
        let key = Key { text: &self.text[start..self.at - 1], escaped: self.escaped };
        self.white_space();
        if self.peek() != Some(b':') {
            return Err(self.expected("a colon"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Passes the array that begins here. `element` has to pass each of its values.
    #[inline]
    pub fn array(&mut self, depth: u32, mut element: impl FnMut(&mut Self) -> Pass) -> Pass {
        self.enter(depth)?;
        self.white_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            if self.ends_with(b']', "a comma or the end of the array")? {
                return Ok(());
            }
        }
    }

    #[inline]
    pub(crate) fn enter(&mut self, depth: u32) -> Pass {
        if depth >= MAX_DEPTH {
            return Err(self.expected("fewer nested arrays and objects"));
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn ends_with(&mut self, closing: u8, expected: &'static str) -> Pass<bool> {
        self.white_space();
        let ends = self.peek() == Some(closing);
        if ends || self.peek() == Some(b',') {
            self.at += 1;
            return Ok(ends);
        }
        Err(self.expected(expected))
    }

    /// Passes the string that begins here, and notes whether it has escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Pass {
        self.escaped = false;
        let mut at = self.at + 1;
        loop {
            at = next_special(self.text, at);
            if self.text.get(at) == Some(&b'"') {
                self.at = at + 1;
                return Ok(());
            }
            match self.text.get(at) {
                Some(b'\\') => {
                    self.escaped = true;
                    at += 2;
                }
                Some(_) => {
                    self.loose = true;
                    at += 1;
                }
                None => {
                    self.at = self.text.len();
                    return Err(self.expected("the end of a string"));
                }
            }
        }
    }

    fn number(&mut self) -> Pass {
        let mut has_digit = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'0'..=b'9' => has_digit = true,
                b'-' | b'+' | b'.' | b'e' | b'E' => {}
                _ => break,
            }
            self.at += 1;
        }
        // One digit at the least: `-` alone is no number.
        if has_digit { Ok(()) } else { Err(self.expected("a digit")) }
    }

    fn literal(&mut self, literal: &'static [u8]) -> Pass {
        if self.text[self.at..].starts_with(literal) {
            self.at += literal.len();
            Ok(())
        } else {
            Err(self.expected("true, false or null"))
        }
    }
}

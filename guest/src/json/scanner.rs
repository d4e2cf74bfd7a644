//! One pass over JSON text: checks its structure, and tells where values begin and end.

use std::ops::Range;

use super::block::next_special;
use super::{SyntaxError, is_white_space};

/// Arrays and objects nested deeper than this are refused: the scanner recurses, and a sandbox's stack is small.
const MAX_DEPTH: u32 = 256;

/// A place in a text, and what has been seen on the way there.
pub struct Scanner<'a> {
    pub text: &'a [u8],
    pub at: usize,
    /// Whether white space stood between tokens, or a raw line break in a string: such a text is not one compact line.
    pub loose: bool,
}

/// The key of a member as it is written, without its quotes.
pub struct Key {
    pub range: Range<usize>,
    /// Whether it has escapes, so that it may mean another text than it shows.
    pub escaped: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, loose: false }
    }

    /// At the value of a document, which may begin with a mark of its byte order.
    pub fn document(text: &'a [u8]) -> Self {
        let mut scanner = Self::new(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
        scanner.white_space();
        scanner
    }

    /// Checks that nothing is left.
    pub fn end(&mut self) -> Result<(), SyntaxError> {
        self.white_space();
        if self.at < self.text.len() { Err(self.expected("the end of the document")) } else { Ok(()) }
    }

    pub fn expected(&self, expected: &'static str) -> SyntaxError {
        SyntaxError { offset: self.at.min(self.text.len()), expected }
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    pub fn white_space(&mut self) {
        while self.peek().is_some_and(is_white_space) {
            self.loose = true;
            self.at += 1;
        }
    }

    /// Passes one value and tells where it is.
    #[inline]
    pub fn value(&mut self, depth: u32) -> Result<Range<usize>, SyntaxError> {
        self.white_space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => drop(self.string()?),
            Some(b'{') => self.nested_object(depth)?,
            Some(b'[') => self.nested_array(depth)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal(b"true")?,
            Some(b'f') => self.literal(b"false")?,
            Some(b'n') => self.literal(b"null")?,
            _ => return Err(self.expected("a value")),
        }
        Ok(start..self.at)
    }

    // Apart, so that what recurses is small and the rest can be inlined.
    fn nested_object(&mut self, depth: u32) -> Result<(), SyntaxError> {
        self.object(depth, |scanner, _| scanner.value(depth + 1).map(drop))
    }

    fn nested_array(&mut self, depth: u32) -> Result<(), SyntaxError> {
        self.array(depth, |scanner| scanner.value(depth + 1).map(drop))
    }

    /// Passes the object that begins here. `member` has to pass the value of each key.
    #[inline]
    pub fn object(
        &mut self,
        depth: u32,
        mut member: impl FnMut(&mut Self, Key) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        self.enter(depth)?;
        self.white_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.white_space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key"));
            }
            let start = self.at + 1;
            let escaped = self.string()?;
            let key = Key { range: start..self.at - 1, escaped };
            self.white_space();
            if self.peek() != Some(b':') {
                return Err(self.expected("a colon"));
            }
            self.at += 1;
            member(self, key)?;
            if self.ends_with(b'}', "a comma or the end of the object")? {
                return Ok(());
            }
        }
    }

    /// Passes the array that begins here. `element` has to pass each of its values.
    #[inline]
    pub fn array(
        &mut self,
        depth: u32,
        mut element: impl FnMut(&mut Self) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
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

    fn enter(&mut self, depth: u32) -> Result<(), SyntaxError> {
        if depth >= MAX_DEPTH {
            return Err(self.expected("fewer nested arrays and objects"));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn ends_with(&mut self, closing: u8, expected: &'static str) -> Result<bool, SyntaxError> {
        self.white_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == closing => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.expected(expected)),
        }
    }

    /// Passes the string that begins here, and tells whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, SyntaxError> {
        let mut escaped = false;
        let mut at = self.at + 1;
        loop {
            at = next_special(self.text, at);
            match self.text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
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

    fn number(&mut self) -> Result<(), SyntaxError> {
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

    fn literal(&mut self, literal: &'static [u8]) -> Result<(), SyntaxError> {
        if self.text[self.at..].starts_with(literal) {
            self.at += literal.len();
            Ok(())
        } else {
            Err(self.expected("true, false or null"))
        }
    }
}

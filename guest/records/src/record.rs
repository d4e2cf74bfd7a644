//! A record of an answer, and what stands in it where the id and the time are looked for: found in the one
//! pass in which the answer's structure is checked, for a second look at every byte is most of what a page
//! costs.

use crate::json::{self, Key, Pass, Pointer, Scanner};

/// Where in a record its id and its time are.
#[derive(Debug, Clone, Copy)]
pub struct Places<'p> {
    pub id: &'p Pointer,
    pub time: &'p Pointer,
}

/// A record as it came, and what was found in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its text.
    pub text: &'a [u8],
    /// The value at the place of the id.
    pub id: Option<&'a [u8]>,
    /// The value at the place of the time.
    pub time: Option<&'a [u8]>,
    /// Whether its text is one line without white space between tokens, so that it can be copied as it is.
    pub compact: bool,
}

impl<'a> Record<'a> {
    /// Passes the record that begins here, which may be any value.
    pub fn pass(scanner: &mut Scanner<'a>, depth: u32, places: &Places<'_>) -> Pass<Self> {
        scanner.white_space();
        scanner.loose = false;
        let (start, whole) = (scanner.at, scanner.text);
        if scanner.peek() != Some(b'{') {
            let value = scanner.value(depth)?;
            return Ok(Self::find(value, !scanner.loose, places));
        }
        let (mut id, mut time) = (Member::at(places.id), Member::at(places.time));
        scanner.object(depth, |scanner, key| {
            let value = scanner.value(depth + 1)?;
            id.see(key, value);
            time.see(key, value);
            Ok(())
        })?;
        let text = &whole[start..scanner.at];
        Ok(Self { text, id: id.value(text), time: time.value(text), compact: !scanner.loose })
    }

    /// The record in a text that has been checked already.
    pub fn of(text: &'a [u8], places: &Places<'_>) -> Self {
        Self::pass(&mut Scanner::new(text), 0, places).unwrap_or_else(|_| Self::find(text, false, places))
    }

    fn find(text: &'a [u8], compact: bool, places: &Places<'_>) -> Self {
        Self { text, id: json::find(text, places.id), time: json::find(text, places.time), compact }
    }
}

/// A member of the record that is looked for: the first step of a pointer, and what is behind it.
struct Member<'a, 'p> {
    steps: Option<(&'p str, &'p [String])>,
    found: Option<&'a [u8]>,
}

impl<'a, 'p> Member<'a, 'p> {
    fn at(pointer: &'p Pointer) -> Self {
        Self { steps: pointer.steps(), found: None }
    }

    /// Where a key stands more than once the last one counts.
    #[inline]
    fn see(&mut self, key: Key<'a>, value: &'a [u8]) {
        let is_it = |step: &str| key.text == step.as_bytes() || (key.escaped && json::is_key(key.text, step));
        if self.steps.is_some_and(|(step, _)| is_it(step)) {
            self.found = Some(value);
        }
    }

    fn value(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        match self.steps {
            Some((_, rest)) => json::follow(self.found?, rest),
            None => Some(text),
        }
    }
}

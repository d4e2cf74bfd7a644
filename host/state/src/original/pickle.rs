//! Python's pickle format, as far as a state of plain values needs it; nothing is ever run. Not a library's
//! work: the one there is (serde-pickle 1.2) copies whatever is repeated, so that a hundred bytes fill the
//! memory, follows nesting until the stack overflows, and gives up on dates.
//!
//! The format is that of Python's `pickletools`: instructions for a machine with a stack and a memo. Values
//! lie in one list and refer to each other by their place in it, so no instruction copies one, and nothing
//! here recurses but the last step, which has a bound.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// A state has two or three instructions for each id, and the ids of one moment. Bounds the memory, as an
/// instruction makes one value at most.
const MOST_INSTRUCTIONS: usize = 500_000;

/// What the result may hold: bytes of text, and so many more for each value.
const LARGEST_RESULT: usize = 8 * 1024 * 1024;
const COST_OF_A_VALUE: usize = 16;

/// A dict of lists of texts is three deep.
const DEEPEST: usize = 16;

/// The ten bytes of a date are all that is ever encoded. What is longer is not copied: it could be, again and
/// again.
const LONGEST_ENCODED: usize = 2 * 10;

/// Python 3.8 to 3.14 write up to version 5.
const NEWEST_PROTOCOL: u8 = 5;

/// Why a pickle was not read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PickleError {
    /// It was cut off.
    #[error("it ends too early")]
    Truncated,
    /// There is something after its end.
    #[error("there is something after its end")]
    TrailingBytes,
    /// A later format.
    #[error("it has pickle protocol {0}, and this collector knows those up to 5")]
    Protocol(u8),
    /// It is garbage, or makes objects, which a state has no need of.
    #[error("it holds the pickle instruction 0x{0:02x}, which no state needs")]
    Instruction(u8),
    /// It names something of Python's that may do anything.
    #[error("it would have Python use {0}, which no state needs; nothing of it was run")]
    Object(String),
    /// Its instructions make no sense.
    #[error("it makes no sense at its byte {0}")]
    Nonsense(usize),
    /// It is too much for a state.
    #[error("it is larger than any state")]
    TooLarge,
    /// It is nested too deeply, or forever.
    #[error("it is nested more deeply than any state")]
    TooDeep,
    /// A value that JSON doesn't have.
    #[error("it holds {0} where a state has a text, a number or a list")]
    Value(&'static str),
}

/// Reads a pickle. Dates become text in RFC 3339, tuples become arrays.
///
/// # Errors
/// Anything but plain values and dates.
pub fn read(content: &[u8]) -> Result<Value, PickleError> {
    let mut machine = Machine { length: content.len(), rest: content, ..Machine::default() };
    let result = machine.run()?;
    let mut budget = LARGEST_RESULT;
    machine.value(result, DEEPEST, &mut budget)
}

/// A place in the list of values.
type Id = usize;

#[derive(Debug)]
enum Node<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Callable(Callable),
    Time(DateTime<Utc>),
    Duration(TimeDelta),
    Zone(FixedOffset),
}

/// The only things of Python's that a pickle may name: what a date is made of. None of them is called; what
/// they would give is known.
#[derive(Clone, Copy, Debug)]
enum Callable {
    DateTime,
    TimeDelta,
    TimeZone,
    /// Before protocol 3, bytes are written as text and encoded.
    Encode,
    PytzUtc,
}

#[derive(Default)]
struct Machine<'a> {
    length: usize,
    rest: &'a [u8],
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, PickleError> {
        for _ in 0..MOST_INSTRUCTIONS {
            let instruction = self.byte()?;
            if instruction == b'.' {
                let result = self.pop()?;
                return if self.rest.is_empty() { Ok(result) } else { Err(PickleError::TrailingBytes) };
            }
            self.step(instruction)?;
        }
        Err(PickleError::TooLarge)
    }

    fn step(&mut self, instruction: u8) -> Result<(), PickleError> {
        match instruction {
            // PROTO
            0x80 => {
                let protocol = self.byte()?;
                if protocol > NEWEST_PROTOCOL {
                    return Err(PickleError::Protocol(protocol));
                }
            }
            // FRAME: how much to read ahead
            0x95 => {
                self.take(8)?;
            }
            // MARK
            b'(' => self.marks.push(self.stack.len()),

            // NONE, NEWTRUE, NEWFALSE
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),

            // INT, which has the booleans of old protocols too, and LONG
            b'I' => {
                let node = match self.line()? {
                    b"00" => Node::Bool(false),
                    b"01" => Node::Bool(true),
                    digits => Node::Int(self.parse(digits)?),
                };
                self.push(node);
            }
            b'L' => {
                let digits = self.line()?;
                let number = self.parse(digits.strip_suffix(b"L").unwrap_or(digits))?;
                self.push(Node::Int(number));
            }
            // BININT, BININT1, BININT2, LONG1
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(number.into()));
            }
            b'K' => {
                let number = self.byte()?;
                self.push(Node::Int(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(number.into()));
            }
            0x8a => {
                let length = self.byte()?;
                let bytes = self.take(length.into())?;
                let number = little_endian(bytes).ok_or(PickleError::Value("an enormous number"))?;
                self.push(Node::Int(number));
            }
            // FLOAT, BINFLOAT
            b'F' => {
                let digits = self.line()?;
                let number = self.parse(digits)?;
                self.push(Node::Float(number));
            }
            b'G' => {
                let number = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(number));
            }

            // UNICODE, SHORT_BINUNICODE, BINUNICODE
            b'V' => {
                let line = self.line()?;
                let text = unescape(line).ok_or_else(|| self.nonsense())?;
                self.push(Node::Text(text.into()));
            }
            0x8c => {
                let length = self.byte()?;
                self.text(length.into())?;
            }
            b'X' => {
                let length = self.length()?;
                self.text(length)?;
            }
            // SHORT_BINBYTES, BINBYTES
            b'C' => {
                let length = self.byte()?;
                let bytes = self.take(length.into())?;
                self.push(Node::Bytes(bytes.into()));
            }
            b'B' => {
                let length = self.length()?;
                let bytes = self.take(length)?;
                self.push(Node::Bytes(bytes.into()));
            }

            // EMPTY_LIST, LIST, APPEND, APPENDS
            b']' => self.push(Node::List(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend_list(items)?;
            }
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
            b')' => self.push(Node::Tuple(Vec::new())),
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x84..instruction {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Node::Tuple(items));
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items));
            }
            // EMPTY_DICT, DICT, SETITEM, SETITEMS
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(Vec::new()));
                self.extend_dict(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend_dict(&items)?;
            }

            // PUT, BINPUT, LONG_BINPUT, MEMOIZE
            b'p' => {
                let digits = self.line()?;
                let key = self.parse(digits)?;
                self.put(key)?;
            }
            b'q' => {
                let key = self.byte()?;
                self.put(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.put(key)?;
            }
            0x94 => self.put(self.memo.len() as u32)?,
            // GET, BINGET, LONG_BINGET
            b'g' => {
                let digits = self.line()?;
                let key = self.parse(digits)?;
                self.get(key)?;
            }
            b'h' => {
                let key = self.byte()?;
                self.get(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.get(key)?;
            }

            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Callable(callable(&String::from_utf8_lossy(module), &String::from_utf8_lossy(name))?));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Text(module), Node::Text(name)) = (&self.nodes[module], &self.nodes[name]) else {
                    return Err(self.nonsense());
                };
                let callable = callable(module, name)?;
                self.push(Node::Callable(callable));
            }
            // REDUCE
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let result = self.reduce(function, arguments).ok_or_else(|| self.nonsense())?;
                self.push(result);
            }
            other => return Err(PickleError::Instruction(other)),
        }
        Ok(())
    }

    /// What a callable would give for these arguments; none where Python would not write them.
    fn reduce(&self, function: Id, arguments: Id) -> Option<Node<'a>> {
        let (Node::Callable(function), Node::Tuple(arguments)) = (&self.nodes[function], &self.nodes[arguments]) else {
            return None;
        };
        // No call that is known has more.
        let arguments: Vec<_> = arguments.iter().take(4).map(|id| &self.nodes[*id]).collect();
        match (function, arguments.as_slice()) {
            (Callable::Encode, [Node::Text(text), Node::Text(encoding)])
                if encoding == "latin1" && text.len() <= LONGEST_ENCODED =>
            {
                let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
                bytes.map(|bytes| Node::Bytes(bytes.into()))
            }
            (Callable::TimeDelta, [Node::Int(days), Node::Int(seconds), Node::Int(0)]) => {
                let days = TimeDelta::try_days(i64::try_from(*days).ok()?)?;
                days.checked_add(&TimeDelta::try_seconds(i64::try_from(*seconds).ok()?)?).map(Node::Duration)
            }
            (Callable::TimeZone, [Node::Duration(offset)] | [Node::Duration(offset), Node::Text(_)]) => {
                FixedOffset::east_opt(i32::try_from(offset.num_seconds()).ok()?).map(Node::Zone)
            }
            (Callable::PytzUtc, []) => FixedOffset::east_opt(0).map(Node::Zone),
            (Callable::DateTime, [Node::Bytes(bytes)]) => Some(Node::Time(date_time(bytes)?.and_utc())),
            (Callable::DateTime, [Node::Bytes(bytes), Node::Zone(zone)]) => {
                let time = zone.from_local_datetime(&date_time(bytes)?).single()?;
                Some(Node::Time(time.to_utc()))
            }
            _ => None,
        }
    }

    fn value(&self, id: Id, depth: usize, budget: &mut usize) -> Result<Value, PickleError> {
        let depth = depth.checked_sub(1).ok_or(PickleError::TooDeep)?;
        let mut pay = |cost| match budget.checked_sub(COST_OF_A_VALUE + cost) {
            Some(rest) => {
                *budget = rest;
                Ok(())
            }
            None => Err(PickleError::TooLarge),
        };
        match &self.nodes[id] {
            Node::Text(text) => pay(text.len())?,
            _ => pay(0)?,
        }
        Ok(match &self.nodes[id] {
            Node::None => Value::Null,
            Node::Bool(flag) => Value::Bool(*flag),
            Node::Int(number) => Number::from_i128(*number).ok_or(PickleError::Value("an enormous number"))?.into(),
            Node::Float(number) => {
                Number::from_f64(*number).ok_or(PickleError::Value("a number without a value"))?.into()
            }
            Node::Text(text) => text.as_ref().into(),
            Node::Time(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true).into(),
            Node::List(items) | Node::Tuple(items) => {
                Value::Array(items.iter().map(|item| self.value(*item, depth, budget)).collect::<Result<_, _>>()?)
            }
            Node::Dict(items) => {
                let mut map = Map::new();
                for (key, item) in items {
                    let Value::String(key) = self.value(*key, depth, budget)? else {
                        return Err(PickleError::Value("a key that is no text"));
                    };
                    map.insert(key, self.value(*item, depth, budget)?);
                }
                Value::Object(map)
            }
            Node::Bytes(_) => return Err(PickleError::Value("bytes")),
            Node::Callable(_) => return Err(PickleError::Value("a class")),
            Node::Duration(_) => return Err(PickleError::Value("a duration")),
            Node::Zone(_) => return Err(PickleError::Value("a time zone")),
        })
    }

    fn push(&mut self, node: Node<'a>) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    /// The height below which nothing may be taken: that of the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, PickleError> {
        self.stack[self.floor()..].last().copied().ok_or_else(|| self.nonsense())
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let height = self.marks.pop().ok_or_else(|| self.nonsense())?;
        Ok(self.stack.split_off(height))
    }

    fn extend_list(&mut self, mut items: Vec<Id>) -> Result<(), PickleError> {
        let list = self.top()?;
        let Node::List(list) = &mut self.nodes[list] else { return Err(self.nonsense()) };
        list.append(&mut items);
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let dict = self.top()?;
        let (pairs, []) = items.as_chunks() else { return Err(self.nonsense()) };
        let Node::Dict(dict) = &mut self.nodes[dict] else { return Err(self.nonsense()) };
        dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn put(&mut self, key: u32) -> Result<(), PickleError> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn get(&mut self, key: u32) -> Result<(), PickleError> {
        let id = self.memo.get(&key).copied().ok_or_else(|| self.nonsense())?;
        self.stack.push(id);
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(PickleError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(PickleError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        self.array().map(|[byte]| byte)
    }

    fn length(&mut self) -> Result<usize, PickleError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// Up to the end of the line, without it.
    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let length = self.rest.iter().position(|byte| *byte == b'\n').ok_or(PickleError::Truncated)?;
        let line = self.take(length)?;
        self.take(1)?;
        Ok(line)
    }

    fn parse<T: std::str::FromStr>(&self, text: &[u8]) -> Result<T, PickleError> {
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| self.nonsense())
    }

    fn text(&mut self, length: usize) -> Result<(), PickleError> {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.nonsense())?;
        self.push(Node::Text(text.into()));
        Ok(())
    }

    fn nonsense(&self) -> PickleError {
        PickleError::Nonsense(self.length - self.rest.len())
    }
}

fn callable(module: &str, name: &str) -> Result<Callable, PickleError> {
    Ok(match (module, name) {
        ("datetime", "datetime") => Callable::DateTime,
        ("datetime", "timedelta") => Callable::TimeDelta,
        ("datetime", "timezone") => Callable::TimeZone,
        ("_codecs", "encode") => Callable::Encode,
        ("pytz", "_UTC") => Callable::PytzUtc,
        _ => {
            let short = |text: &str| text.chars().take(40).collect::<String>();
            return Err(PickleError::Object(format!("{}.{}", short(module), short(name)).escape_debug().to_string()));
        }
    })
}

/// Two's complement, the lowest byte first; none for more than 128 bits.
fn little_endian(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let mut number = [sign; 16];
    number.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(number))
}

/// Python's "raw-unicode-escape": Latin-1, with `\uXXXX` and `\UXXXXXXXX` for the rest.
fn unescape(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        let digits = match (first, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(*first));
                rest = after;
                continue;
            }
        };
        let code = std::str::from_utf8(after.get(1..=digits)?).ok()?;
        text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = &after[digits + 1..];
    }
    Some(text)
}

/// Ten bytes: year (2), month with a flag for the hour that comes twice, day, hour, minute, second,
/// microsecond (3).
fn date_time(bytes: &[u8]) -> Option<NaiveDateTime> {
    let [century, year, month, day, hour, minute, second, micro @ ..] = bytes else { return None };
    let [high, middle, low] = *<&[u8; 3]>::try_from(micro).ok()?;
    NaiveDate::from_ymd_opt(u16::from_be_bytes([*century, *year]).into(), (month & 0x7f).into(), (*day).into())?
        .and_hms_micro_opt(
            (*hour).into(),
            (*minute).into(),
            (*second).into(),
            u32::from_be_bytes([0, high, middle, low]),
        )
}

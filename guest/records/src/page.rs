//! One answer of the API: the records in it and what it says about further pages.

mod envelope;
mod odd;

use crate::json::{self, Key, Pass, Pointer, Scanner, SyntaxError};
use crate::record::{Places, Record};
use envelope::Envelope;
pub use odd::Odd;
use odd::Recovery;

/// The records of one page, and what the answer says beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page<'a, R> {
    pub records: Vec<R>,
    /// What stands among the records and is not JSON, in the order of the answer.
    pub odd: Vec<Odd<'a>>,
    pub paging: Paging,
    /// What the API says about an error although there are records: the page may not be complete.
    pub warning: Option<String>,
}

/// What an answer says about its place among the pages; any of it may be missing or wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paging {
    /// The number of this page, counted from 1.
    pub current_page: Option<u64>,
    /// How many pages there are.
    pub total_pages: Option<u64>,
    /// How many records there are on all pages.
    pub total_count: Option<u64>,
}

/// Why an answer can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not JSON, not even around its records.
    Syntax(SyntaxError),
    /// It is JSON, but has no records where they should be.
    NoRecords,
    /// It reports an error, in these words of the API; there may be none.
    Refused(String),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "{error}"),
            Self::NoRecords => write!(f, "there is no list of records in it"),
            Self::Refused(words) if words.is_empty() => write!(f, "it says that it is no success"),
            Self::Refused(words) => write!(f, "it says that it is no success: {words}"),
        }
    }
}

/// Reads an answer. `records` says where the records sit; by default in `data`, or the answer is the list
/// itself.
pub fn read<'a>(body: &'a [u8], records: Option<&Pointer>) -> Result<Page<'a, &'a [u8]>, Unreadable> {
    pass(body, records, Scanner::value)
}

/// Reads an answer as [`read`] does, and finds what is at these places of each record.
pub fn read_records<'a>(
    body: &'a [u8],
    records: Option<&Pointer>,
    places: &Places<'_>,
) -> Result<Page<'a, Record<'a>>, Unreadable> {
    pass(body, records, |scanner, depth| Record::pass(scanner, depth, places))
}

/// Reads an answer in one pass. `record` passes one of its records.
fn pass<'a, R>(
    body: &'a [u8],
    place: Option<&Pointer>,
    record: impl Fn(&mut Scanner<'a>, u32) -> Pass<R>,
) -> Result<Page<'a, R>, Unreadable> {
    let mut scanner = Scanner::document(body);
    let is_list = scanner.peek() == Some(b'[');
    let default = if is_list { "" } else { "/data" };
    let default = Pointer::parse(default).unwrap_or_default();
    let mut reader = Reader::new(record);
    let passed = reader.find(&mut scanner, place.unwrap_or(&default).all_steps());
    passed.and_then(|()| scanner.end()).map_err(|error| Unreadable::Syntax(*error))?;
    reader.page()
}

/// What stands where the records should be.
enum Data {
    Missing,
    List,
    Null,
    Other,
}

/// One pass over an answer: on the way to the records, over them, and over what is beside them.
struct Reader<'a, R, F> {
    record: F,
    data: Data,
    records: Vec<R>,
    odd: Vec<Odd<'a>>,
    envelope: Envelope<'a>,
    /// What closes the arrays and objects around the place that has been reached.
    open: Vec<u8>,
}

impl<'a, R, F: Fn(&mut Scanner<'a>, u32) -> Pass<R>> Reader<'a, R, F> {
    fn new(record: F) -> Self {
        let (data, envelope) = (Data::Missing, Envelope::default());
        Self { record, data, records: Vec::new(), odd: Vec::new(), envelope, open: Vec::new() }
    }

    fn depth(&self) -> u32 {
        self.open.len() as u32
    }

    /// Passes a value, and looks for the records where `steps` lead from it.
    fn find(&mut self, scanner: &mut Scanner<'a>, steps: &[String]) -> Pass {
        scanner.white_space();
        match (scanner.peek(), steps.split_first()) {
            (Some(b'['), None) => self.list(scanner),
            (Some(b'['), Some((step, steps))) => self.array(scanner, step, steps),
            (Some(b'{'), steps) => self.object(scanner, steps),
            (_, steps) => {
                let value = scanner.value(self.depth())?;
                if steps.is_none() {
                    self.data = if value == b"null" { Data::Null } else { Data::Other };
                }
                Ok(())
            }
        }
    }

    fn object(&mut self, scanner: &mut Scanner<'a>, steps: Option<(&String, &[String])>) -> Pass {
        if steps.is_none() {
            self.data = Data::Other;
        }
        let depth = self.depth();
        self.open.push(b'}');
        scanner.object(depth, |scanner, key: Key<'a>| {
            if let Some((step, steps)) = steps
                && json::is_key(key.text, step)
            {
                self.forget();
                return self.find(scanner, steps);
            }
            let value = scanner.value(depth + 1)?;
            self.envelope.note(key.text, value, depth == 0);
            Ok(())
        })?;
        self.open.pop();
        Ok(())
    }

    fn array(&mut self, scanner: &mut Scanner<'a>, step: &str, steps: &[String]) -> Pass {
        let (depth, index) = (self.depth(), step.parse::<usize>().ok());
        let mut position = 0;
        self.open.push(b']');
        scanner.array(depth, |scanner| {
            position += 1;
            if index == Some(position - 1) { self.find(scanner, steps) } else { scanner.value(depth + 1).map(drop) }
        })?;
        self.open.pop();
        Ok(())
    }

    /// Where a key stands more than once the last one counts.
    fn forget(&mut self) {
        self.data = Data::Missing;
        self.records.clear();
        self.odd.clear();
    }

    /// Passes the list that begins here, and takes each of its elements for a record.
    fn list(&mut self, scanner: &mut Scanner<'a>) -> Pass {
        self.data = Data::List;
        let depth = self.depth();
        scanner.enter(depth)?;
        scanner.white_space();
        if scanner.peek() == Some(b']') {
            scanner.at += 1;
            return Ok(());
        }
        self.open.push(b']');
        let open = std::mem::take(&mut self.open);
        let mut recovery = Recovery::new(scanner.text, &open);
        loop {
            scanner.white_space();
            let start = scanner.at;
            let ends = match self.element(scanner, depth + 1) {
                Ok(ends) => ends,
                Err(error) => self.odd(scanner, start, error, &mut recovery)?,
            };
            if ends {
                break;
            }
        }
        self.open = open;
        self.open.pop();
        Ok(())
    }

    /// Passes one record and what follows it. Returns whether that is the end of the list.
    #[inline(always)]
    fn element(&mut self, scanner: &mut Scanner<'a>, depth: u32) -> Pass<bool> {
        let record = (self.record)(scanner, depth)?;
        let ends = scanner.ends_with(b']', "a comma or the end of the array")?;
        self.records.push(record);
        Ok(ends)
    }

    /// The same for one that is not JSON.
    #[cold]
    fn odd(
        &mut self,
        scanner: &mut Scanner<'a>,
        start: usize,
        error: Box<SyntaxError>,
        recovery: &mut Recovery<'a, '_>,
    ) -> Pass<bool> {
        let Some(end) = recovery.end(start, &error) else { return Err(error) };
        let odd = Odd::new(scanner.text, start, end, &error);
        scanner.at = end.at;
        let ends = scanner.ends_with(b']', "a comma or the end of the array")?;
        if !odd.text.is_empty() {
            self.odd.push(odd);
        } else if ends && self.records.is_empty() && self.odd.is_empty() {
            // Commas alone are not a page without records.
            return Err(error);
        }
        Ok(ends)
    }

    fn page(self) -> Result<Page<'a, R>, Unreadable> {
        let Self { data, records, odd, envelope, .. } = self;
        let is_empty = records.is_empty() && odd.is_empty();
        if envelope.no_success || (is_empty && envelope.is_error()) {
            return Err(Unreadable::Refused(envelope.words()));
        }
        match data {
            Data::List | Data::Null => {
                let warning = envelope.is_error().then(|| envelope.words());
                Ok(Page { records, odd, paging: envelope.paging, warning })
            }
            Data::Missing | Data::Other => Err(Unreadable::NoRecords),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(body: &str) -> Vec<String> {
        let page = read(body.as_bytes(), None).unwrap();
        page.records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect()
    }

    #[test]
    fn every_documented_envelope_is_taken() {
        assert_eq!(records(r#"{"data":[{"a": 1}, 2]}"#), [r#"{"a": 1}"#, "2"]);
        assert_eq!(records(r#"[{"a":1}]"#), [r#"{"a":1}"#]);
        assert!(records(r#"{"data":null}"#).is_empty());
        assert!(records("\u{feff} [] ").is_empty());
    }

    #[test]
    fn paging_is_found_at_the_top_or_nested_and_as_text_or_numbers() {
        let expected = Paging { current_page: Some(2), total_pages: Some(3), total_count: Some(250) };
        for body in [
            r#"{"data":[],"current_page":2,"total_page":3,"current_limit":100,"total_count":250}"#,
            r#"{"data":[],"current_page":"2","total_page":"3","current_limit":"100","total_count":"250"}"#,
            r#"{"pagination":{"current_page":2,"total_pages":3,"current_limit":100,"total_count":250},"data":[]}"#,
            r#"{"meta":{"current_page":2,"total_page":3,"current_limit":100,"total_count":250},"data":null}"#,
        ] {
            assert_eq!(read(body.as_bytes(), None).unwrap().paging, expected, "{body}");
        }
        assert_eq!(read(br#"{"data":[],"total_page":-1,"total_count":null}"#, None).unwrap().paging, Paging::default());
    }

    #[test]
    fn records_are_found_where_the_pointer_leads() {
        let pointer = Pointer::parse("/result/alerts").unwrap();
        let page = read(br#"{"result":{"alerts":[1,2]}}"#, Some(&pointer)).unwrap();
        assert_eq!(page.records.len(), 2);
        assert_eq!(read(br#"{"data":[]}"#, Some(&pointer)), Err(Unreadable::NoRecords));
    }

    #[test]
    fn totals_may_be_written_as_floats() {
        let read = |text: &str| {
            read(format!("{{\"data\":[],\"total_count\":{text}}}").as_bytes(), None).unwrap().paging.total_count
        };
        for text in ["250", "250.0", "\"250\"", "\"250.00\"", "2.5e2", "\" 250 \""] {
            assert_eq!(read(text), Some(250), "{text}");
        }
        assert_eq!(read("0.0"), Some(0));
        for text in [
            "-1",
            "-250.0",
            "2.5",
            "1e300",
            "18446744073709551615",
            "\"NaN\"",
            "\"inf\"",
            "null",
            "[250]",
            "true",
            "\"\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    fn refused(body: &str) -> String {
        match read(body.as_bytes(), None) {
            Err(Unreadable::Refused(words)) => words,
            other => panic!("{other:?} of {body}"),
        }
    }

    #[test]
    fn an_error_inside_a_success_is_an_error() {
        for (body, words) in [
            (r#"{"error":{"code":"X"},"data":[]}"#, r#"{"code":"X"}"#),
            (r#"{"data":null,"errors":["x"]}"#, r#"["x"]"#),
            (r#"{"error":"too \n\u0007many","errors":[],"data":[]}"#, "too   many"),
            (r#"{"error":"x"}"#, "x"),
            (r#"{"error":true,"message":"y","data":{}}"#, "true"),
            (r#"{"data":{"error":"x"}}"#, "x"),
            (r#"{"success":false,"data":[]}"#, ""),
            (r#"{"success":"false","message":"wait","data":[]}"#, "wait"),
            (r#"{"success":0,"data":[]}"#, ""),
            (r#"{"success":"False","data":[]}"#, ""),
            (r#"{"success":false,"error":"x","data":[{"id":1}]}"#, "x"),
            (r#"{"status":"error","data":[]}"#, "error"),
            (r#"{"status":"Failed","message":"wait"}"#, "wait"),
            (r#"{"status":500,"data":null}"#, "500"),
            (r#"{"status":"429","error":"slow down","data":null}"#, "slow down"),
        ] {
            assert_eq!(refused(body), words, "{body}");
        }
        assert!(matches!(read(b"<html>", None), Err(Unreadable::Syntax(_))));
    }

    #[test]
    fn the_words_of_the_api_are_shown_in_part_and_on_one_line() {
        let words = refused(&format!("{{\"error\":\"a\u{7f}b{}\"}}", "é".repeat(1_000)));
        assert_eq!(words, format!("a b{}", "é".repeat(197)));
        let shown = Unreadable::Refused("x".to_owned()).to_string();
        assert_eq!(shown, "it says that it is no success: x");
    }

    #[test]
    fn an_error_that_says_nothing_is_none() {
        for error in [
            r#""error":null"#,
            r#""errors":[]"#,
            r#""error":"""#,
            r#""error":false"#,
            r#""errors":{}"#,
            r#""error": { } "#,
            r#""error":0"#,
            r#""error":"None""#,
            r#""error":{"code":null,"message":"","details":[ ]}"#,
            r#""errors":[null,""]"#,
            r#""success":true"#,
            r#""success":1"#,
            r#""success":"ok","status":"success""#,
            r#""status":200"#,
            r#""status":0"#,
            r#""message":"no alerts""#,
        ] {
            let body = format!("{{\"data\":[],{error}}}");
            let page = read(body.as_bytes(), None);
            assert_eq!(page, Ok(Page::default()), "{body}");
        }
    }

    #[test]
    fn records_beside_an_error_are_taken_and_the_error_is_told() {
        for (body, words) in [
            (r#"{"data":[{"id":1}],"error":"timed out"}"#, "timed out"),
            (r#"{"errors":[{"message":"shard 3"}],"data":[{"id":1}]}"#, r#"[{"message":"shard 3"}]"#),
            (r#"{"status":"error","message":"part","data":[{"id":1}]}"#, "part"),
        ] {
            let page = read(body.as_bytes(), None).unwrap();
            assert_eq!(page.records, [br#"{"id":1}"#]);
            assert_eq!(page.warning.as_deref(), Some(words));
        }
        assert_eq!(read(br#"{"data":[NaN],"error":"x"}"#, None).unwrap().warning.as_deref(), Some("x"));
    }

    #[test]
    fn an_error_on_the_way_to_the_records_is_an_error() {
        let pointer = Pointer::parse("/result/alerts").unwrap();
        let body = br#"{"result":{"error":"x","alerts":[]}}"#;
        assert_eq!(read(body, Some(&pointer)), Err(Unreadable::Refused("x".to_owned())));
        let errors = Pointer::parse("/errors").unwrap();
        let page = read(br#"{"errors":[1]}"#, Some(&errors)).unwrap();
        assert_eq!((page.records, page.warning), (vec![&b"1"[..]], None));
    }

    #[test]
    fn of_members_with_the_same_key_the_last_one_leads_to_the_records() {
        let pointer = Pointer::parse("/a/b").unwrap();
        let read = |body: &'static str| read(body.as_bytes(), Some(&pointer)).map(|page| page.records);
        assert_eq!(read(r#"{"a":{"b":[1],"b":[2]}}"#), Ok(vec![&b"2"[..]]));
        assert_eq!(read(r#"{"a":{"b":[1]},"\u0061":{"b":[2]}}"#), Ok(vec![&b"2"[..]]));
        assert_eq!(read(r#"{"a":{"b":[1]},"a":{}}"#), Err(Unreadable::NoRecords));
        assert_eq!(read(r#"{"a":{"b":[1]},"a":7}"#), Err(Unreadable::NoRecords));
        assert_eq!(read(r#"{"a":{"b":null}}"#), Ok(vec![]));
    }
}

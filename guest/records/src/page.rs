//! One answer of the API: the records in it and what it says about further pages.

use crate::json::{self, Pass, Pointer, Scanner, SyntaxError};
use crate::record::{Places, Record};

/// The records of one page, and what the answer says about paging.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page<R> {
    pub records: Vec<R>,
    pub paging: Paging,
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
    /// It is not JSON.
    Syntax(SyntaxError),
    /// It is JSON, but has no records where they should be.
    NoRecords,
    /// It says `"success": false`.
    NoSuccess,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "{error}"),
            Self::NoRecords => write!(f, "there is no list of records in it"),
            Self::NoSuccess => write!(f, "it says that it is no success"),
        }
    }
}

/// Reads an answer. `records` says where the records sit; by default in `data`, or the answer is the list itself.
pub fn read<'a>(body: &'a [u8], records: Option<&Pointer>) -> Result<Page<&'a [u8]>, Unreadable> {
    pass(body, records, Scanner::value)
}

/// Reads an answer as [`read`] does, and finds what is at these places of each record.
pub fn read_records<'a>(
    body: &'a [u8],
    records: Option<&Pointer>,
    places: &Places<'_>,
) -> Result<Page<Record<'a>>, Unreadable> {
    pass(body, records, |scanner, depth| Record::pass(scanner, depth, places))
}

/// What stands where the records should be.
enum Data {
    Missing,
    List,
    Null,
    Other,
}

/// Reads an answer, in one pass if the records are at the usual place. `record` passes one of them.
fn pass<'a, R>(
    body: &'a [u8],
    place: Option<&Pointer>,
    record: impl Fn(&mut Scanner<'a>, u32) -> Pass<R>,
) -> Result<Page<R>, Unreadable> {
    let mut page = Page { records: Vec::new(), paging: Paging::default() };
    let (mut data, mut success) = (Data::Missing, true);
    let mut scanner = Scanner::document(body);
    let text = scanner.text;
    let start = scanner.at;
    let passed = match scanner.peek() {
        Some(b'[') if place.is_none() => {
            data = Data::List;
            list(&mut scanner, 0, &record, &mut page.records)
        }
        Some(b'{') => scanner.object(0, |scanner, key| {
            let key = key.text;
            if key == b"data" && place.is_none() {
                // Where it stands more than once the last one counts.
                page.records.clear();
                scanner.white_space();
                if scanner.peek() == Some(b'[') {
                    data = Data::List;
                    return list(scanner, 1, &record, &mut page.records);
                }
            }
            let value = scanner.value(1)?;
            match key {
                b"data" => data = if value == b"null" { Data::Null } else { Data::Other },
                b"success" => success = value != b"false",
                b"pagination" | b"meta" => {
                    json::members(value, |key, value| page.paging.note(key, value));
                }
                _ => page.paging.note(key, value),
            }
            Ok(())
        }),
        _ => scanner.value(0).map(drop),
    };
    let document = &text[start..scanner.at.max(start)];
    passed.and_then(|()| scanner.end()).map_err(|error| Unreadable::Syntax(*error))?;
    if !success {
        return Err(Unreadable::NoSuccess);
    }
    if let Some(place) = place {
        let value = json::find(document, place).ok_or(Unreadable::NoRecords)?;
        data = match value.first() {
            Some(b'[') => Data::List,
            _ if value == b"null" => Data::Null,
            _ => Data::Other,
        };
        if matches!(data, Data::List) {
            list(&mut Scanner::new(value), 0, &record, &mut page.records)
                .map_err(|error| Unreadable::Syntax(*error))?;
        }
    }
    match data {
        Data::List | Data::Null => Ok(page),
        Data::Missing | Data::Other => Err(Unreadable::NoRecords),
    }
}

/// Passes the list that begins here, and takes each of its elements for a record.
fn list<'a, R>(
    scanner: &mut Scanner<'a>,
    depth: u32,
    record: &impl Fn(&mut Scanner<'a>, u32) -> Pass<R>,
    records: &mut Vec<R>,
) -> Pass {
    scanner.array(depth, |scanner| {
        records.push(record(scanner, depth + 1)?);
        Ok(())
    })
}

impl Paging {
    fn note(&mut self, key: &[u8], value: &[u8]) {
        let field = match key {
            b"current_page" => &mut self.current_page,
            b"total_page" | b"total_pages" => &mut self.total_pages,
            b"total_count" => &mut self.total_count,
            _ => return,
        };
        if let Ok(number) = json::scalar_text(value).parse() {
            *field = Some(number);
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
    fn an_error_inside_a_success_is_an_error() {
        assert_eq!(read(br#"{"success":false,"data":[]}"#, None), Err(Unreadable::NoSuccess));
        assert_eq!(read(br#"{"error":"x"}"#, None), Err(Unreadable::NoRecords));
        assert!(matches!(read(b"<html>", None), Err(Unreadable::Syntax(_))));
    }
}

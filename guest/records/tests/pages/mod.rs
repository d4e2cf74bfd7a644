//! Pages in every form in which records come, and what is read from them.

use alert_records::json::Pointer;
use alert_records::page::{self, Page, Unreadable};
use alert_records::record::{Places, Record};

/// A form of a page: what stands around its list of records, and where that is.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    pub before: &'static str,
    pub after: &'static str,
    pub place: Option<&'static str>,
}

pub const FORMS: [Form; 6] = [
    Form { before: r#"{"data":["#, after: r#"],"current_page":1,"total_count":250}"#, place: None },
    Form { before: r#"{"total_count":"250", "data" : [ "#, after: " ] } ", place: None },
    Form { before: "[", after: "]", place: None },
    Form { before: "\u{feff}[\n", after: "\n]\n", place: None },
    Form {
        before: r#"{"x":[{"a":[1,{"b":2}]}],"result":{"alerts":["#,
        after: r#"],"next":{"a":[]}},"total":{"of":[1]}}"#,
        place: Some("/result/alerts"),
    },
    Form { before: r#"[[{"a":1}],{"é":["#, after: r#"]},"end"]"#, place: Some("/1/é") },
];

impl Form {
    pub fn page(&self, records: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let records: Vec<_> = records.iter().map(AsRef::as_ref).collect();
        [self.before.as_bytes(), &records.join(&b','), self.after.as_bytes()].concat()
    }

    pub fn read<'a>(&self, body: &'a [u8]) -> Result<Page<'a, &'a [u8]>, Unreadable> {
        page::read(body, self.pointer().as_ref())
    }

    /// As [`Form::read`], with what is found in the records.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn read_records<'a>(&self, body: &'a [u8]) -> Result<Page<'a, Record<'a>>, Unreadable> {
        let (id, time) = (Pointer::parse("/id").unwrap(), Pointer::parse("/incident_time").unwrap());
        page::read_records(body, self.pointer().as_ref(), &Places { id: &id, time: &time })
    }

    fn pointer(&self) -> Option<Pointer> {
        self.place.map(|place| Pointer::parse(place).unwrap())
    }
}

/// A record with strings, numbers and lists that hold brackets, commas and quotes.
pub fn good(number: usize) -> Vec<u8> {
    format!(
        r#"{{"id":"{number:024x}","incident_time":"2024-01-01T00:16:39Z","text":"a}},{{ \"b\" ]}}, [{{","list":[{{"id":{number}}},{{"id":-1.0}}],"details":{{"empty":"","a":[[],{{}}]}}}}"#
    )
    .into_bytes()
}

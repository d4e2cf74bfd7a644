//! A record of the source. Its text is made when it is asked for, so that a million of them are cheap to
//! have.

use std::rc::Rc;

use chrono::{DateTime, SecondsFormat, Utc};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    NumberedId,
    WithoutId,
    WithoutTime,
    WithoutAny,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub time: DateTime<Utc>,
    pub number: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Made(Kind),
    Written(Rc<[u8]>),
}

impl Record {
    pub fn made(number: u64, time: DateTime<Utc>, kind: Kind) -> Self {
        Self { time, number, content: Content::Made(kind) }
    }

    /// A record that is written as it stands.
    pub fn written(number: u64, time: DateTime<Utc>, text: &[u8]) -> Self {
        Self { time, number, content: Content::Written(text.into()) }
    }

    /// As the server sends it.
    pub fn text(&self) -> Vec<u8> {
        match &self.content {
            Content::Made(kind) => self.write(*kind, ["{ ", " :\r\n", " , ", "\t}"]).into_bytes(),
            Content::Written(text) => text.to_vec(),
        }
    }

    /// Without white space: as an event has it.
    pub fn compact(&self) -> Vec<u8> {
        match &self.content {
            Content::Made(kind) => self.write(*kind, ["{", ":", ",", "}"]).into_bytes(),
            Content::Written(text) => {
                let mut compact = Vec::new();
                alert_records::json::append_compact(text, &mut compact);
                compact
            }
        }
    }

    /// What the collector knows it by, where it was made with an id.
    pub fn key(&self) -> Option<String> {
        match &self.content {
            Content::Made(Kind::Plain | Kind::WithoutTime) => Some(format!("{:024x}", self.number)),
            Content::Made(Kind::NumberedId) => Some(format!("number:{}", self.number)),
            Content::Made(Kind::WithoutId | Kind::WithoutAny) | Content::Written(_) => None,
        }
    }

    fn write(&self, kind: Kind, [open, colon, comma, close]: [&str; 4]) -> String {
        let number = self.number;
        let id = match kind {
            Kind::Plain | Kind::WithoutTime => format!("\"{number:024x}\""),
            Kind::NumberedId => number.to_string(),
            Kind::WithoutId | Kind::WithoutAny => "null".to_owned(),
        };
        let time = match kind {
            Kind::WithoutTime | Kind::WithoutAny => "soon".to_owned(),
            _ => self.time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        };
        format!(
            "{open}\"id\"{colon}{id}{comma}\"title\"{colon}\"Alert \\u00e9 \\\" {number}\"{comma}\"incident_time\"{colon}\"{time}\"{close}"
        )
    }
}

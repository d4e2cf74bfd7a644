//! What the collector's messages look like: JSON with the members of the original's, in its tables.

use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use collector_delivery::Delivered;
use collector_model::{Identity, Table, printable};
use serde::Serialize;
use serde_json::json;
use tracing::Level;

use crate::observe::log::Origin;

/// What stands for the name of a container image, which this collector needs none of.
const IMAGE: &str = "devo-collector";

/// The tables of messages.
pub struct Tables {
    /// For the line that says that the collector starts.
    pub start: Table,
    /// For numbers of messages sent.
    pub metric: Table,
    info: Table,
    warning: Table,
    error: Table,
    debug: Table,
}

impl Default for Tables {
    fn default() -> Self {
        let table = |name: &str| name.parse().expect("a table's name that is written here");
        Self {
            start: table("devo.collectors.out.global.info"),
            metric: table("devo.collector.metric.message_sent"),
            info: table("devo.collectors.out.local.info"),
            warning: table("devo.collectors.out.local.warning"),
            error: table("devo.collectors.out.local.error"),
            debug: table("devo.collectors.out.local.debug"),
        }
    }
}

impl Tables {
    /// The table of lines of this level.
    pub fn of(&self, level: Level) -> &Table {
        match level {
            Level::ERROR => &self.error,
            Level::WARN => &self.warning,
            Level::INFO => &self.info,
            Level::DEBUG | Level::TRACE => &self.debug,
        }
    }
}

/// Who writes the messages: this collector.
pub struct Author {
    id: String,
    name: String,
}

/// A line of the log. The members are the original's.
#[derive(Serialize)]
struct Line<'a> {
    msg: &'a str,
    time: String,
    level: &'static str,
    collector_name: &'a str,
    collector_version: &'static str,
    collector_image: &'static str,
    input_name: Option<&'a str>,
    service_name: Option<&'a str>,
    module_name: &'a str,
}

impl Author {
    /// The collector of this id and name.
    pub fn new(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned() }
    }

    /// The collector's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program's version.
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The message of a line of the log.
    pub fn line(&self, text: &str, level: Level, origin: &Origin) -> Bytes {
        let line = Line {
            msg: text,
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            level: match level {
                Level::ERROR => "error",
                Level::WARN => "warning",
                Level::INFO => "info",
                Level::DEBUG | Level::TRACE => "debug",
            },
            collector_name: &self.name,
            collector_version: self.version(),
            collector_image: IMAGE,
            input_name: origin.service.as_ref().map(Identity::input),
            service_name: origin.service.as_ref().map(Identity::service),
            module_name: origin.module(),
        };
        // Texts are always JSON.
        let line = serde_json::to_string(&line).unwrap_or_default();
        printable(&line).into_owned().into()
    }

    /// The message that says how much was sent in a period.
    pub fn metric(&self, delivered: &Delivered) -> Bytes {
        let metric = json!({
            "col_id": self.id,
            "col_name": self.name,
            "col_version": self.version(),
            "col_image": IMAGE,
            "msg_sent": {
                "part_counter": delivered.messages,
                "part_bytes": delivered.bytes,
                "since_ts": delivered.since.to_rfc3339_opts(SecondsFormat::Micros, true),
            },
        });
        metric.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use serde_json::Value;

    use super::*;
    use crate::devo_compat::ServiceThreads;
    use collector_config::Component;

    fn parsed(body: &Bytes) -> Value {
        assert!(!body.contains(&b'\n'));
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn a_line_has_the_originals_members() {
        let identity = Identity::new("cloudsek", "cloudsek_1", "alerts").unwrap();
        let thread = ServiceThreads::new(&identity, &Component::Bundled).puller;
        let origin = Origin { thread, service: Some(identity), ..Origin::default() };
        let mut line = parsed(&Author::new("7", "c").line("two\nlines", Level::WARN, &origin));
        let time = line["time"].take();
        let time = time.as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == "2024-02-16T11:55:03.475000Z".len(), "{time}");
        assert_eq!(
            line,
            json!({
                "msg": "two\nlines", "time": null, "level": "warning", "collector_name": "c",
                "collector_version": env!("CARGO_PKG_VERSION"), "collector_image": "devo-collector",
                "input_name": "cloudsek", "service_name": "alerts", "module_name": "CloudSekPuller",
            })
        );
    }

    #[test]
    fn a_line_of_no_service_has_no_names_of_one() {
        let line = parsed(&Author::new("7", "c").line("x", Level::INFO, &Origin::default()));
        assert_eq!((&line["input_name"], &line["module_name"]), (&Value::Null, &"MainThread".into()));
    }

    #[test]
    fn a_metric_has_the_originals_members() {
        let since = DateTime::from_timestamp_micros(1_673_366_956_116_750).unwrap();
        let delivered = Delivered { since, messages: 21, bytes: 2100, delivering: Duration::from_millis(7) };
        assert_eq!(
            parsed(&Author::new("7", "c").metric(&delivered)),
            json!({
                "col_id": "7", "col_name": "c", "col_version": env!("CARGO_PKG_VERSION"), "col_image": "devo-collector",
                "msg_sent": {"part_counter": 21, "part_bytes": 2100, "since_ts": "2023-01-10T16:09:16.116750Z"},
            })
        );
    }

    #[test]
    fn each_level_has_its_table() {
        let tables = Tables::default();
        for (level, name) in [
            (Level::ERROR, "devo.collectors.out.local.error"),
            (Level::WARN, "devo.collectors.out.local.warning"),
            (Level::INFO, "devo.collectors.out.local.info"),
            (Level::DEBUG, "devo.collectors.out.local.debug"),
        ] {
            assert_eq!(tables.of(level).as_str(), name);
        }
    }
}

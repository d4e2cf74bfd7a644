//! States as earlier versions have written them, made by hand: what they say must be understood whatever the
//! code becomes.

use super::history::{History, Stored};
use super::source::{Kind, Order, START, Standing, id, moment};

/// What an earlier version has left behind.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// The stored value.
    pub text: Vec<u8>,
    /// Numbers of the records that it has delivered, and of which that can be known.
    pub delivered: Vec<u64>,
    /// Records from before this time that come later can't be told from those that were delivered long ago.
    pub floor: Option<i64>,
    /// Whether the collector has to go on with a walk over the whole source.
    pub is_unfinished: bool,
}

/// What is stored when this history begins.
pub fn state(history: &History, standing: &[Standing]) -> Option<Imported> {
    let count = standing.len();
    let but_newest = |behind: u64| &standing[..count.saturating_sub(behind as usize)];
    match history.stored {
        Stored::Nothing => None,
        Stored::Version1 { behind } => Some(version_1(but_newest(behind))),
        Stored::Finished { version, behind } => Some(finished(history, version, but_newest(behind))),
        Stored::Unfinished { version, next } => Some(unfinished(history, version, next, standing)),
    }
}

fn version_1(delivered: &[Standing]) -> Imported {
    let newest = delivered.iter().map(|one| one.record.time).max();
    let ids: Vec<_> = delivered
        .iter()
        .filter(|one| Some(one.record.time) == newest)
        .filter_map(|one| id(one.record.kind, one.number))
        .collect();
    let text = format!(
        r#"{{"initial_start_time_in_utc":null,"last_event_time_in_utc":{},"last_ids":[{}],"@persistence_version":1}}"#,
        time(newest),
        ids.join(",")
    );
    Imported { text: text.into_bytes(), delivered: numbers(delivered), floor: newest, is_unfinished: false }
}

fn finished(history: &History, version: u64, delivered: &[Standing]) -> Imported {
    let newest = delivered.iter().map(|one| one.record.time).max();
    let floor = newest.map(|newest| newest - history.overlap as i64);
    let known: Vec<_> = delivered.iter().filter(|one| Some(one.record.time) >= floor).collect();
    let head = head(version, newest, floor, &keys(&known), newest, "null");
    let text = if version == 3 { format!("{head}\n{}", keys(&known)) } else { head };
    Imported { text: text.into_bytes(), delivered: numbers(delivered), floor, is_unfinished: false }
}

fn unfinished(history: &History, version: u64, next: u64, standing: &[Standing]) -> Imported {
    let mut view: Vec<&Standing> = standing.iter().collect();
    view.sort_by_key(|one| (one.record.time, one.number));
    if history.shape.order == Order::NewestFirst {
        view.reverse();
    }
    let size = history.limit as usize;
    let read = (next as usize - 1) * size;
    let delivered = &view[..read.min(view.len())];
    let newest = delivered.iter().map(|one| one.record.time).max();
    let floor = newest.map(|newest| newest - history.overlap as i64);
    let (known, forgotten): (Vec<_>, Vec<_>) =
        delivered.iter().copied().partition(|one| Some(one.record.time) >= floor);
    let walk = walk(next, history.limit, delivered.len(), newest);
    let ledger = |ids: &str| match version {
        2 => format!(r#"{{"since":{},"ids":{ids}}}"#, time(floor)),
        _ => format!(r#"{{"since":{}}}"#, time(floor)),
    };
    let list: Vec<_> = forgotten.iter().map(|one| key(one)).collect();
    let latest = if version == 2 { format!(",\"latest\":[{}]", list.join(",")) } else { String::new() };
    let cycle = format!(
        r#"{{"pulling_id":{},"walk":{walk},"newest":{},"ledger":{}{latest},"statistics":{{"requests":{next},"received":{read},"duplicates":0,"sent":{read}}}}}"#,
        START * 1000,
        time(newest),
        ledger(&keys(&known)),
    );
    let head = head(version, None, None, "{}", None, &cycle);
    let text = if version == 3 {
        let latest: Vec<_> = list.iter().map(|key| format!("{key}:null")).collect();
        format!("{head}\n{{}}\n{}\n{{{}}}", keys(&known), latest.join(","))
    } else {
        head
    };
    let delivered = delivered.iter().map(|one| one.number).collect();
    Imported { text: text.into_bytes(), delivered, floor, is_unfinished: true }
}

fn head(version: u64, newest: Option<i64>, since: Option<i64>, ids: &str, settled: Option<i64>, cycle: &str) -> String {
    let since = time(since);
    let ledger =
        if version == 2 { format!(r#"{{"since":{since},"ids":{ids}}}"#) } else { format!(r#"{{"since":{since}}}"#) };
    format!(
        r#"{{"initial_start_time_in_utc":null,"last_event_time_in_utc":{},"last_ids":[],"@persistence_version":{version},"reset_persistence_auth":null,"ledger":{ledger},"source":{{"start":1,"total":null,"full_walk_at":null,"settled":{}}},"cycle":{cycle}}}"#,
        time(newest),
        time(settled)
    )
}

fn walk(next: u64, limit: u64, received: usize, newest: Option<i64>) -> String {
    let last = next - 1;
    let newest = time(newest);
    format!(
        r#"{{"start":1,"direction":"on","next":{next},"again":{{"start":0,"end":0}},"again_since_new":0,"limit":{limit},"window_start":null,"expected_total":null,"first_total":null,"last_total":null,"pages":null,"last_page":{last},"received":{received},"largest":{limit},"new":{received},"digest":null,"repetitions":0,"trend":{{"previous":{newest},"oldest":{newest},"newest":{newest},"steps":0,"lows":0,"highs":0,"highest_rise":0}},"promised":true,"aside":false,"finished":false,"quick":false}}"#
    )
}

/// Keys with their times, as an object on one line.
fn keys(known: &[&Standing]) -> String {
    let members: Vec<_> = known.iter().map(|one| format!("{}:{}", key(one), time(Some(one.record.time)))).collect();
    format!("{{{}}}", members.join(","))
}

fn key(one: &Standing) -> String {
    match one.record.kind {
        Kind::NumberedId => format!("\"number:{}\"", one.number),
        _ => id(one.record.kind, one.number).unwrap_or_default(),
    }
}

fn time(seconds: Option<i64>) -> String {
    seconds.map_or("null".to_owned(), |seconds| format!("\"{}\"", alert_records::timestamp::format(moment(seconds))))
}

fn numbers(delivered: &[Standing]) -> Vec<u64> {
    delivered.iter().map(|one| one.number).collect()
}

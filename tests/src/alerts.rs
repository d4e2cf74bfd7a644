//! Alerts as XVigil returns them: any number, the same ones for the same seed, about 1 KB each.
//!
//! They carry on purpose what programs that re-type JSON get wrong: ids that look like numbers, floats,
//! durations or hex, integers beyond 2^53, `1.0`, repeated keys, changing key order, escapes of every kind
//! (half a surrogate pair among them), text outside ASCII, and white space between the tokens.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};

use crate::compact::compact;

/// One alert at the source.
#[derive(Debug, Clone)]
pub struct Alert {
    /// The `id` as it stands in the JSON text, with its quotes if it is a string.
    pub id: String,
    /// When the incident happened.
    pub incident_time: DateTime<Utc>,
    /// The record as the API returns it, white space included.
    pub text: Bytes,
}

/// Which alerts to make. They come out oldest first.
#[derive(Debug, Clone)]
pub struct Batch {
    /// How many.
    pub count: usize,
    /// The number of the first one. Batches whose numbers don't overlap share no id.
    pub first: u64,
    /// Other seeds give other texts; ids and times stay.
    pub seed: u64,
    /// `incident_time` of the last one.
    pub newest: DateTime<Utc>,
    /// The first one is about this much older. Neighbours fall on the same second when it is short.
    pub spread: TimeDelta,
}

impl Batch {
    /// Makes the alerts.
    pub fn make(&self) -> Vec<Alert> {
        (0..self.count)
            .map(|index| {
                let back = self.count - 1 - index;
                let back_ms = self.spread.num_milliseconds() * back as i64 / self.count.max(1) as i64;
                let number = self.first + index as u64;
                make(number, self.seed, self.newest - TimeDelta::milliseconds(back_ms))
            })
            .collect()
    }
}

fn make(number: u64, seed: u64, time: DateTime<Utc>) -> Alert {
    let mut dice = Dice(seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95));
    let id = id(number);
    // What the text says is what counts, so the time is cut to what the text can say.
    let time_text = time_text(number, time);
    let incident_time = DateTime::parse_from_rfc3339(&time_text).map_or(time, |time| time.with_timezone(&Utc));

    let (module, sub_module) = dice.pick(&MODULES);
    let company = dice.pick(&COMPANIES);
    let host = dice.pick(&HOSTS);
    let mut text = String::with_capacity(1400);
    let head = |text: &mut String| {
        let _ = write!(text, r#""id":{id},"#);
    };
    // Neither the place of `id` nor that of `incident_time` may matter.
    let id_first = !number.is_multiple_of(3);
    text.push('{');
    if id_first {
        head(&mut text);
    }
    let _ = write!(text, r#""incident_time":"{time_text}","module_name":"{module}","sub_module":"{sub_module}","#);
    let _ = write!(
        text,
        r#""event_details":{{"event_id":{},"event_url":"https:\/\/{host}/events/{:x}","event_summary":"{} {company}","description":""#,
        9_007_199_254_740_993_u64 + dice.below(1 << 40),
        dice.next(),
        dice.pick(&SUMMARIES),
    );
    while text.len() < 560 {
        text.push_str(dice.pick(&SENTENCES));
    }
    let _ = write!(
        text,
        r#"","source_url":"https://{}/{:08x}?q=%22&r=1","source_name":"{}","source_group":"{}","subdomain":"{host}","threat_magnitude":{},"confidence":{}.0,"#,
        dice.pick(&HOSTS),
        dice.below(u64::from(u32::MAX)),
        dice.pick(&SOURCES),
        dice.pick(&GROUPS),
        dice.pick(&["1e1", "7", "1.50", "-0", "1E+2"]),
        dice.below(9),
    );
    let _ = write!(
        text,
        r#""incident_details":{{"id":"{}","incident_id":"XVA-{}","incident_status":"{}","priority":"P{}","incident_url":"https://{host}/incidents/{number}","matched_alert_rule":"{}"}}}}"#,
        dice.next(),
        24_000_000 + number,
        dice.pick(&["Open", "Closed", "False Positive", "Under Review"]),
        dice.below(4),
        dice.pick(&[
            "keyword: \\\"id\\\":\\\"1\\\"",
            "brand \\u0026 logo",
            "domain\\tlookalike",
            "regex ^a{2,}\\\\.b$"
        ]),
    );
    if number.is_multiple_of(17) {
        text.push_str(r#","tags":["first"],"tags":["second",null,true,{}],"ratio":100000000000000000000000000001.10"#);
    }
    if number.is_multiple_of(23) {
        text.push_str(r#","screen_name":"half a pair: \ud83d, a whole one: \ud83d\ude00, escaped: \u00e9\u2028\/""#);
    }
    if !id_first {
        text.push(',');
        head(&mut text);
        text.pop();
    }
    text.push('}');
    if number.is_multiple_of(19) {
        text = spaced(&text);
    }
    Alert { id, incident_time, text: text.into() }
}

/// The id of alert `number`: ten kinds, none of which may be taken for a number on the way.
fn id(number: u64) -> String {
    let mut dice = Dice(number);
    match number % 10 {
        0 => format!(r#""{number:024x}""#),
        1 => format!(r#""{number}e7""#),
        2 => format!("{}", 9_007_199_254_740_993 + number),
        3 => format!(r#""{:016x}-{:08x}""#, dice.next(), number),
        4 => format!(r#""XVA-{number}""#),
        5 => format!(r#""{number}""#),
        6 => format!(r#""0x{number:x}""#),
        7 => format!(r#""{number}ns""#),
        8 => format!(r#""{number}.0""#),
        _ => format!(r#""réf-{number}""#),
    }
}

fn time_text(number: u64, time: DateTime<Utc>) -> String {
    if number.is_multiple_of(7) {
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    } else if number.is_multiple_of(11) {
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    } else if let (true, Some(india)) = (number.is_multiple_of(13), FixedOffset::east_opt(19_800)) {
        time.with_timezone(&india).to_rfc3339_opts(SecondsFormat::Secs, true)
    } else {
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// The same record with white space of all four kinds between its tokens.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 200);
    let mut in_string = false;
    let mut escaped = false;
    for letter in text.chars() {
        match letter {
            '"' if !escaped => in_string = !in_string,
            '}' | ']' if !in_string => out.push_str("\r\n"),
            _ => {}
        }
        escaped = in_string && letter == '\\' && !escaped;
        out.push(letter);
        if !in_string {
            match letter {
                ',' | '{' => out.push_str("\n\t"),
                ':' => out.push(' '),
                _ => {}
            }
        }
    }
    debug_assert_eq!(compact(out.as_bytes()), compact(text.as_bytes()));
    out
}

/// Small, fast and the same everywhere (splitmix64).
pub(crate) struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn upto(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(most.as_micros() as u64 + 1))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Puts `items` into an order that depends on `seed` alone.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut dice = Dice(seed);
    for end in (1..items.len()).rev() {
        items.swap(end, dice.below(end as u64 + 1) as usize);
    }
}

const MODULES: [(&str, &str); 6] = [
    ("Brand Intelligence", "Fake Domains"),
    ("Attack Surface Monitoring", "Exposed Services"),
    ("Deep and Dark Web", "Data Leak"),
    ("Data Leak Monitoring", "Code Repositories"),
    ("Brand Intelligence", "Fake Mobile Applications"),
    ("Cyber Threats", "Compromised Credentials"),
];
const COMPANIES: [&str; 7] = [
    "Example Corp",
    "Beispiel GmbH & Söhne",
    "例え株式会社",
    "उदाहरण लिमिटेड",
    "شركة مثال",
    "Пример ООО",
    "Exämple 🏦 Bank",
];
const HOSTS: [&str; 4] = ["login-example.test", "xn--exmple-cua.test", "paste.example.test", "forum.example.test"];
const SUMMARIES: [&str; 4] =
    ["Credentials found for", "A look-alike domain imitates", "A service is exposed at", "A post on a forum mentions"];
const SOURCES: [&str; 4] = ["Telegram — канал", "GitHub", "Pastebin", "XSS форум"];
const GROUPS: [&str; 3] = ["Social", "Dark Web", "Surface Web"];
const SENTENCES: [&str; 6] = [
    "The actor offers access to the internal network and asks for an offer in private. ",
    "The page copies the company's logo, its colours and its login form. ",
    "Zugangsdaten wurden im Klartext veröffentlicht; betroffen sind 3 Konten. ",
    "The certificate was issued two days ago and the mail records point to a free provider.\\n",
    "データが公開されています。 ",
    "A password of the form \\\"Name2024!\\\" was seen in a list of 1,204,332 lines. ",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn batch(count: usize) -> Batch {
        Batch {
            count,
            first: 0,
            seed: 1,
            newest: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
            spread: TimeDelta::days(30),
        }
    }

    #[test]
    fn every_alert_is_json_with_the_id_and_time_it_claims() {
        for alert in batch(500).make() {
            let value: serde_json::Value = serde_json::from_slice(&alert.text)
                .or_else(|error| without_half_pairs(&alert.text).ok_or(error))
                .unwrap();
            assert_eq!(value["id"].to_string(), alert.id);
            let time = DateTime::parse_from_rfc3339(value["incident_time"].as_str().unwrap()).unwrap();
            assert_eq!(time, alert.incident_time);
            assert!((800..1700).contains(&alert.text.len()), "{}", alert.text.len());
        }
    }

    /// serde_json builds no string from half a surrogate pair, though JSON allows its escape.
    fn without_half_pairs(text: &[u8]) -> Option<serde_json::Value> {
        let text = std::str::from_utf8(text).ok()?;
        serde_json::from_str(&text.replace("\\ud83d,", "")).ok()
    }

    #[test]
    fn the_same_seed_gives_the_same_alerts_and_no_id_twice() {
        let alerts = batch(20_000).make();
        let again = batch(20_000).make();
        assert!(alerts.iter().zip(&again).all(|(left, right)| left.text == right.text));
        assert_eq!(alerts.iter().map(|alert| &alert.id).collect::<HashSet<_>>().len(), alerts.len());
        assert!(alerts.is_sorted_by_key(|alert| alert.incident_time.timestamp()));
    }

    #[test]
    fn they_hold_what_others_stumble_over() {
        let all: String =
            batch(200).make().iter().map(|alert| String::from_utf8(alert.text.to_vec()).unwrap()).collect();
        for trap in [r#""00000000000000000000000a""#, r#""1e7""#, "9007199254740995", "1.0", "例え", "\\ud83d,", "\r\n"]
        {
            assert!(all.contains(trap), "{trap}");
        }
    }
}

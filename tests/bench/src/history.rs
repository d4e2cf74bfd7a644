//! Histories of any length, made page by page as they are asked for and counted as they arrive, for nobody
//! could keep ten million alerts: what the collector costs for an event must not depend on how many there
//! are.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sandbox::alerts::Batch;
use sandbox::certificates::Certificates;
use sandbox::compact::compact;
use sandbox::folder::Folder;
use sandbox::installation::{Installation, Settings};
use sandbox::process::Process;
use sandbox::receiver::{self, Receiver, add};
use sandbox::{ALERTS_TABLE, PATIENCE};

use crate::run::{Cores, DONE, Effort, computed_by_children};
use crate::scene::{ALERTS_OF_A_DAY, LIMIT};
use crate::subject::{collector, surround};

/// What is asked for with each request; nobody checks it.
const TOKEN: &str = "any";

/// What the text of every event begins with, in front of its number in hexadecimal digits.
const HEAD: &[u8] = b"{\"id\":\"";
const DIGITS: usize = 24;

/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(20);

/// Alerts that are not there before they are asked for: newest first, as many a day as the other measurements
/// have. The last record of a page is the first of the next.
struct History {
    count: u64,
    newest: DateTime<Utc>,
    /// What stands in every record behind its id and its time.
    rest: Vec<u8>,
}

impl History {
    fn new(count: u64) -> Self {
        let newest = Utc::now() - TimeDelta::hours(1);
        let sample = Batch { count: 1, first: 0, seed: 1, newest, spread: TimeDelta::zero() }.make();
        let record = sample.first().map_or_else(|| b"{}".to_vec(), |alert| compact(&alert.text));
        Self { count, newest, rest: [&b"\",\"record\":"[..], &record, b"}"].concat() }
    }

    fn page(&self, page: u64, limit: u64) -> Vec<u8> {
        let step = limit.saturating_sub(1).max(1);
        let first = page.saturating_sub(1).saturating_mul(step);
        let pages = self.count.saturating_sub(1).div_ceil(step).max(1);
        let mut body = Vec::with_capacity(limit as usize * (self.rest.len() + 100));
        body.extend_from_slice(b"{\"data\":[");
        for back in first..first.saturating_add(limit).min(self.count) {
            if back > first {
                body.push(b',');
            }
            body.extend_from_slice(HEAD);
            let _ = write!(body, "{:0DIGITS$x}\",\"incident_time\":\"", self.count - back);
            let age = TimeDelta::milliseconds(back as i64 * 86_400_000 / ALERTS_OF_A_DAY as i64);
            body.extend_from_slice((self.newest - age).to_rfc3339_opts(SecondsFormat::Secs, true).as_bytes());
            body.extend_from_slice(&self.rest);
        }
        let count = self.count;
        let _ = write!(body, "],\"current_page\":{page},\"total_page\":{pages},\"total_count\":{count}}}");
        body
    }
}

/// The number of an event of a history.
fn number(message: &[u8]) -> Option<u64> {
    let digits = message.strip_prefix(HEAD)?.get(..DIGITS)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Answers requests for pages until the process ends.
fn serve(history: Arc<History>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let history = history.clone();
            // A client that has gone is no error.
            std::thread::spawn(move || answer(stream, &history).ok());
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, history: &History) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(request) = lines.next().transpose()? {
        let parameter = |name: &str| {
            let value = request.split_once(name)?.1;
            value.split(['&', ' ']).next()?.parse::<u64>().ok()
        };
        let body = history.page(parameter("page=").unwrap_or(1), parameter("limit=").unwrap_or(100));
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat())?;
    }
    Ok(())
}

/// Lets the collector carry a history of this length. Compiled components are kept in `cache`.
///
/// # Errors
/// It failed, or what arrived is not what the source has.
pub fn carry(count: u64, cores: Cores, cache: &Path) -> Result<Effort> {
    let folder = Folder::new("history")?;
    let certificates = Certificates::write_to(&folder.path().join("authority"))?;
    let receiver = Receiver::start(
        &certificates,
        &receiver::Settings { keep: false, number: Some(number), ..Default::default() },
    )?;
    let address = serve(Arc::new(History::new(count)))?;
    let installation = Installation::new(&folder.path().join("product"), &certificates)?;
    let mut settings = Settings::new(format!("http://{address}"), TOKEN.into(), receiver.port());
    settings.input += &format!("request: {{limit: {LIMIT}}}\n");
    settings.period = 3600;
    installation.configure(&settings)?;

    let mut command = collector()?;
    surround(&mut command, &installation, cache);
    let before = computed_by_children()?;
    let process = Process::start("devo-collector", cores.place(&command), &installation.product().join("log"))?;
    let mut peak = 0;
    while process.lines_with(&[DONE]).is_empty() {
        ensure!(process.is_running(), "it ended{}", process.tail());
        ensure!(process.started().elapsed() < 60 * PATIENCE, "it does not come to an end{}", process.tail());
        peak = process.memory().map_or(peak, |memory| peak.max(memory.peak));
        std::thread::sleep(LOOK);
    }
    let wall = process.started().elapsed();
    ensure!(process.stop(PATIENCE)?.success(), "it failed{}", process.tail());
    let cpu = computed_by_children()?.saturating_sub(before);
    let events = usize::try_from(count)?;
    receiver.wait_for(ALERTS_TABLE, events, PATIENCE)?;
    ensure!(receiver.count(ALERTS_TABLE) == events, "more arrived than the source has");
    let expected = (1..=count).fold([0; 2], add);
    ensure!(receiver.sums() == expected, "what arrived is not what the source has");
    Ok(Effort { events, wall, cpu, peak })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_all_alerts_and_the_last_of_each_is_the_first_of_the_next() {
        let history = History::new(25);
        let numbers = |page: u64| {
            let body = history.page(page, 10);
            let page = alert_records::page::read(&body, None).unwrap();
            assert_eq!(page.paging.total_pages, Some(3));
            page.records.iter().map(|record| number(record)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1).len(), 10);
        assert_eq!(numbers(1).last(), numbers(2).first());
        assert_eq!(numbers(3).last(), Some(&Some(1)));
    }

    #[test]
    fn a_number_is_read_from_an_event() {
        assert_eq!(number(br#"{"id":"0000000000000000000000ff","a":1}"#), Some(255));
        assert_eq!(number(br#"{"id":"short"}"#), None);
    }
}

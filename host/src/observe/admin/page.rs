//! The status page: the services of the process in one table, those with something wrong first.

use std::time::{Duration, SystemTime};

use collector_model::metrics::{Account, BackfillProgress, Count, Memory, Uncheckable};
use collector_model::{Limit, printable};
use maud::{DOCTYPE, Markup, html};

use super::registry::RunningService;

/// Rows that a browser shows at once without trouble. Of more, one tenant can be asked for.
const MOST_ROWS: usize = 500;

/// Seconds from one look to the next.
const REFRESH: u32 = 10;

/// What it looks like. Apart from the page, so that a browser can be told to take no style from anywhere
/// else.
pub const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 78rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .2rem; }
p { margin: .2rem 0 1.2rem; opacity: .75; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th { font-weight: 600; opacity: .75; }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; }
td.note { white-space: normal; text-align: left; font-size: .87rem; padding-left: 1.6rem; border-bottom-width: 2px; }
.good { color: #16803c; } .bad { color: #c22; } .waiting { color: #a60; }
";

/// What is to be said of a service first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// The API does not accept the credentials, or could not be asked.
    NotReady,
    /// It has not come to the end of a cycle yet.
    Beginning,
    Pulling,
}

impl State {
    fn of(service: &RunningService) -> Self {
        let metrics = &service.observed.metrics;
        match (metrics.is_ready(), metrics.last_cycle()) {
            (false, _) if metrics.count(Count::Failures) > 0 => Self::NotReady,
            (true, Some(_)) => Self::Pulling,
            _ => Self::Beginning,
        }
    }

    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::NotReady => ("bad", "not ready"),
            Self::Beginning => ("waiting", "beginning"),
            Self::Pulling => ("good", "pulling"),
        }
    }
}

/// The page with these services.
pub fn render(services: &[RunningService]) -> String {
    let mut rows: Vec<_> = services.iter().map(|service| (State::of(service), service)).collect();
    // Their order is by name already, and stays so where nothing is wrong.
    rows.sort_by_key(|(state, service)| (*state, u64::MAX - service.observed.metrics.count(Count::Failures)));
    let total = |count| services.iter().map(|service| service.observed.metrics.count(count)).sum::<u64>();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta http-equiv="refresh" content=(REFRESH);
                title { "devo-collector" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                h1 { "devo-collector " (env!("CARGO_PKG_VERSION")) }
                p {
                    "Services: " (services.len()) ". Events sent: " (total(Count::Sent)) ". Failures: "
                    (total(Count::Failures)) ". Memory: " (Memory::now().rss / 1_000_000) " MB. "
                    a href="/metrics" { "Metrics" } ", " a href="/health" { "health" } "."
                }
                table {
                    thead { tr {
                        th { "tenant" } th { "service" } th { "state" } th { "last cycle" } th { "took" } th { "cycles" }
                        th { "sent" } th { "duplicates" } th { "missed ticks" } th { "failures" } th { "limits reached" }
                        th { "computed" } th { "backfill" } th { "gaps" }
                    } }
                    tbody { @for (state, service) in rows.iter().take(MOST_ROWS) { (row(*state, service)) } }
                }
                @if rows.len() > MOST_ROWS {
                    p { (rows.len() - MOST_ROWS) " more; one tenant is at " code { "/?tenant=NAME" } "." }
                }
            }
        }
    };
    page.into_string()
}

fn row(state: State, service: &RunningService) -> Markup {
    let (class, text) = state.text();
    let (metrics, identity) = (&service.observed.metrics, &service.observed.identity);
    let (took, ended) = match metrics.last_cycle() {
        Some((took, ended)) => (rounded(took), format!("{} ago", rounded(age(ended)))),
        None => (String::new(), String::new()),
    };
    let progress = metrics.progress();
    let exceeded: u64 = Limit::ALL.iter().map(|&limit| metrics.exceeded(limit)).sum();
    html! {
        tr {
            td { (service.tenant) } td { (identity.input()) " / " (identity.service()) } td class=(class) { (text) }
            td { (ended) } td { (took) }
            @for count in [Count::Cycles, Count::Sent, Count::Duplicates, Count::MissedTicks, Count::Failures] {
                td { (metrics.count(count)) }
            }
            td { (exceeded) } td { (rounded(metrics.computed())) }
            td { (progress.and_then(|progress| progress.backfill).map(backfill).unwrap_or_default()) }
            td { (progress.map(|progress| progress.gaps.to_string()).unwrap_or_default()) }
        }
        @if let Some(account) = progress.and_then(|progress| account(progress.account)) {
            tr { td class="note" colspan="14" { (account) } }
        }
        @if let Some(failure) = metrics.last_failure() {
            tr { td class="note" colspan="14" { "Last failure: " (printable(&service.observed.secrets.mask(&failure))) } }
        }
    }
}

/// How far a pass over the source has come.
fn backfill(progress: BackfillProgress) -> String {
    match progress.total {
        Some(total) => format!("{} of {total}", progress.done),
        None => progress.done.to_string(),
    }
}

/// What is to be said of the records that the source counts; nothing as long as all is well, or not known.
fn account(account: Account) -> Option<String> {
    match account {
        Account::Unknown | Account::Missing(0) => None,
        Account::Missing(1) => Some("1 of the records that the source counts can't be read.".to_owned()),
        Account::Missing(count) => Some(format!("{count} of the records that the source counts can't be read.")),
        Account::Unchecked(why) => Some(format!(
            "Whether all records were read can't be checked: the source {}.",
            match why {
                Uncheckable::NoTotal => "doesn't say how many it has",
                Uncheckable::Refuted => "counts fewer than it shows",
                Uncheckable::Capped => "says the same number while alerts arrive",
            }
        )),
    }
}

fn age(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

/// In the unit in which it has a few digits.
fn rounded(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        0.0..1.0 => format!("{:.0} ms", seconds * 1000.0),
        1.0..120.0 => format!("{seconds:.0} s"),
        120.0..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_says_how_much_of_what_it_has_read() {
        assert_eq!(backfill(BackfillProgress { done: 30, total: Some(90) }), "30 of 90");
        assert_eq!(backfill(BackfillProgress { done: 30, total: None }), "30");
    }

    #[test]
    fn what_can_not_be_read_or_checked_is_said_and_nothing_else() {
        assert_eq!([Account::Unknown, Account::Missing(0)].map(account), [None, None]);
        let said = [Account::Missing(10), Account::Unchecked(Uncheckable::Refuted)].map(|is| account(is).unwrap());
        assert_eq!(
            said,
            [
                "10 of the records that the source counts can't be read.",
                "Whether all records were read can't be checked: the source counts fewer than it shows.",
            ]
        );
    }

    #[test]
    fn times_have_a_few_digits() {
        let shown = |milliseconds| rounded(Duration::from_millis(milliseconds));
        assert_eq!(
            [0, 7, 1500, 90_000, 600_000, 9_000_000].map(shown),
            ["0 ms", "7 ms", "2 s", "90 s", "10 min", "2 h"]
        );
    }
}

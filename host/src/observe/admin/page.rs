//! The status page: the services of the process in one table, those with something wrong first, each with its
//! state and what there is to say of it.

use std::time::{Duration, SystemTime};

use collector_model::metrics::{Account, BackfillProgress, Count, Memory, ServiceMetrics, Uncheckable};
use collector_model::{Limit, printable};
use maud::{DOCTYPE, Markup, html};

use crate::observe::state::{Kind, Mood, Seen, rounded};

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
ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; }
small { font-weight: normal; opacity: .8; }
.good { color: #16803c; } .bad { color: #c22; } .waiting { color: #a60; }
";

/// The page with these services, at this time.
pub fn render(services: &[Seen], now: SystemTime) -> String {
    let mut rows: Vec<_> = services.iter().collect();
    // Their order is by name already, and stays so among those in the same state.
    rows.sort_by_key(|seen| seen.state.kind());
    let metrics = services.iter().filter_map(|seen| Some(&seen.observed.as_ref()?.metrics));
    let total = |count| metrics.clone().map(|metrics| metrics.count(count)).sum::<u64>();
    let in_state = |kind| rows.iter().filter(|seen| seen.state.kind() == kind).count();
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
                ul {
                    @for (kind, count) in Kind::ALL.map(|kind| (kind, in_state(kind))).into_iter().filter(|&(_, count)| count > 0) {
                        li class=(class(kind)) { strong { (count) } " " (kind.name()) }
                    }
                }
                p {
                    "Events sent: " (total(Count::Sent)) ". Failures: " (total(Count::Failures)) ". Memory: "
                    (Memory::now().rss / 1_000_000) " MB. "
                    a href="/metrics" { "Metrics" } ", " a href="/health" { "health" } ", " a href="/ready" { "ready" } "."
                }
                table {
                    thead { tr {
                        @for name in [
                            "tenant", "service", "state", "last cycle", "took", "cycles", "sent", "duplicates",
                            "missed ticks", "failures", "limits reached", "computed", "backfill", "gaps",
                        ] { th scope="col" { (name) } }
                    } }
                    tbody { @for seen in rows.iter().take(MOST_ROWS) { (row(seen, now)) } }
                }
                @if rows.len() > MOST_ROWS {
                    p { (rows.len() - MOST_ROWS) " more; one tenant is at " code { "/?tenant=NAME" } "." }
                }
            }
        }
    };
    page.into_string()
}

fn class(kind: Kind) -> &'static str {
    match kind.mood() {
        Mood::Bad => "bad",
        Mood::Waiting => "waiting",
        Mood::Good => "good",
    }
}

fn row(seen: &Seen, now: SystemTime) -> Markup {
    let since = seen.state.since().map(|since| format!("for {}", rounded(age(since, now))));
    html! {
        tr {
            td { (seen.tenant) }
            td { (seen.input) @if !seen.service.is_empty() { " / " (seen.service) } }
            td class=(class(seen.state.kind())) {
                (seen.state.kind().name()) @if let Some(since) = since { br; small { (since) } }
            }
            @match &seen.observed {
                Some(observed) => { (numbers(&observed.metrics, now)) }
                None => { td colspan="11" {} }
            }
        }
        @for note in notes(seen, now) { tr { td class="note" colspan="14" { (note) } } }
    }
}

fn numbers(metrics: &ServiceMetrics, now: SystemTime) -> Markup {
    let (took, ended) = match metrics.last_cycle() {
        Some((took, ended)) => (rounded(took), format!("{} ago", rounded(age(ended, now)))),
        None => (String::new(), String::new()),
    };
    let progress = metrics.progress();
    let exceeded: u64 = Limit::ALL.iter().map(|&limit| metrics.exceeded(limit)).sum();
    html! {
        td { (ended) } td { (took) }
        @for count in [Count::Cycles, Count::Sent, Count::Duplicates, Count::MissedTicks, Count::Failures] {
            td { (metrics.count(count)) }
        }
        td { (exceeded) } td { (rounded(metrics.computed())) }
        td { (progress.and_then(|progress| progress.backfill).map(backfill).unwrap_or_default()) }
        td { (progress.map(|progress| progress.gaps.to_string()).unwrap_or_default()) }
    }
}

/// What there is to say below a row: of the state, of records that can't be checked, and of the last failure
/// if it is over.
fn notes(seen: &Seen, now: SystemTime) -> Vec<String> {
    let detail = seen.detail();
    // An incomplete one has said it already.
    let metrics = seen.observed.as_ref().map(|observed| &observed.metrics);
    let metrics = metrics.filter(|_| seen.state.kind() != Kind::Incomplete);
    let account = metrics.and_then(|metrics| account(metrics.progress()?.account));
    let over = seen.observed.as_ref().and_then(|observed| {
        let last = observed.metrics.last_failure().filter(|_| observed.metrics.failing().is_none())?;
        let text = observed.secrets.mask(&last.text).into_owned();
        Some(format!("Over, {} ago: {}", rounded(age(last.last, now)), printable(&text)))
    });
    [detail, account, over].into_iter().flatten().collect()
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

fn age(time: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(time).unwrap_or_default()
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
}

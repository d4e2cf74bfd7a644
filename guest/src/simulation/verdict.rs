//! The promises that are looked at from outside a call: nothing lost, nothing late, few requests, a true
//! account.

use std::collections::BTreeSet;

use super::check::{Check, Failure};
use super::history::{Host, Promise, Stored, What};
use super::host::{BESIDE_A_PASS, Driver, Took};
use super::source::{FOR_EVER, Order, PastEnd, Standing, Totals};
use super::world::World;
use crate::call::STATE_KEY;
use crate::progress::{Account, Uncheckable};
use crate::state::recent;

/// Records among which the order of times is beyond doubt: at least eight steps from one to the next.
const CLEAR: usize = 25;

/// Ranges of pages that are kept as gaps, at the most.
const GAPS: u64 = 16;

/// Cycles of the quiet at the end of a rest: an hour at the most.
const QUIET_CYCLES: usize = 12;

/// What a pass that is under way adds to what is stored.
const PASS_IN_BYTES: usize = 1_500;

/// What the next call of live has to deliver.
pub struct Due(Vec<u64>);

/// Records that came at the newest end since live was called the last time, and have to be delivered by the
/// call that follows.
///
/// The promise needs: the newest end is known (records in a clear order by time or arrival that never
/// changes, none of them odd, none late where the order is by arrival; page 0 was not hidden when it was
/// asked whether there is one; the collector was up to date at some time, and has seen some of them; or,
/// newest first: it has seen some pages, and more of them in its first pass than have come until then), it
/// answers (no page near that end fails, none is refused, no outage), nothing has just moved there, nothing
/// was in the way of live's last look (what that had begun is for a pass), no kill or failure in this cycle,
/// and the burst fits into the call's requests: page by page, and one more to look behind a full last page.
/// Oldest first, what was not delivered before lies in the way of the burst. What comes while live reads more
/// than one page moves them under its hands, which can't be told from having met what is known.
pub fn due(driver: &mut Driver<'_>, budget: u32) -> Due {
    let fresh = driver.with(|world| std::mem::take(&mut world.fresh));
    let came = driver.with(|world| world.source.made) - driver.history.records.len() as u64;
    let read = driver.progress.backfill.map_or(0, |backfill| backfill.done);
    driver.overtaken |= !driver.was_up_to_date && came > 0 && came + CLEAR as u64 > read;
    let troubled = driver.with(|world| {
        let holes = &world.source.shape.holes;
        world.source.outage.is_some()
            || !world.upsets.is_empty()
            || holes.iter().any(|hole| hole.times > 0 && hole.times != FOR_EVER)
            || world.events.iter().any(|event| matches!(event.what, What::Hole(_) | What::Outage { .. }))
    });
    let disturbed = std::mem::replace(&mut driver.disturbed, troubled);
    if fresh.is_empty() || disturbed || !is_clear(driver) {
        return Due(Vec::new());
    }
    driver.with(|world| {
        let size = world.source.shape.page_size(world.limit);
        let newest_first = matches!(world.source.shape.order, Order::NewestFirst | Order::LatestArrivalFirst);
        let delivered = world.source.standing.iter().filter(|standing| world.is_confirmed(standing.key()));
        let moments = delivered.map(|standing| standing.record.time).collect::<BTreeSet<_>>().len();
        let has_seen_all =
            driver.was_up_to_date || newest_first && driver.received >= CLEAR as u64 && !driver.overtaken;
        let is_known = has_seen_all && moments >= CLEAR / 2;
        let needed = if newest_first {
            (fresh.len() as u64).div_ceil(size)
        } else {
            // From the first that is not delivered to the end: what lies between is in the way.
            let view = world.source.view().to_vec();
            let is_open = |at: &u32| !world.is_confirmed(world.source.standing[*at as usize].key());
            let first = view.iter().position(is_open).unwrap_or(view.len()) as u64;
            (view.len() as u64).div_ceil(size) - first / size + 2
        };
        // Whether there is a page 0 is asked with the first records, and one page may be a record short.
        let needed = if driver.received == 0 { needed + 2 } else { needed };
        let needed = needed + u64::from(world.source.shape.short.is_some());
        let near = |page: u64| !newest_first || page < needed + 3;
        let answers = world.source.outage.is_none()
            && !world.source.hid_page_zero
            && world.upsets.is_empty()
            && world.source.shape.refuses_above.is_none_or(|most| most >= world.limit)
            && world.source.shape.deep.is_none_or(|(first, _)| newest_first && !near(first))
            && !world.source.shape.holes.iter().any(|hole| hole.times > 0 && near(hole.page));
        let stands = world.last_move.is_none_or(|last| last + 2 < world.pulls)
            && world.events.iter().all(|event| matches!(event.what, What::Come { .. }));
        let coming: u64 =
            world.events.iter().map(|event| if let What::Come { count, .. } = event.what { count } else { 0 }).sum();
        let stays = coming == 0 || fresh.len() as u64 + coming <= size;
        let may_be_short = world.source.shape.short.is_some() && !newest_first && !world.source.shape.totals.is_right();
        let is_due = is_known && answers && stands && stays && !may_be_short && needed <= u64::from(budget);
        Due(if is_due { fresh } else { Vec::new() })
    })
}

/// Whether the order of this history's records is clear all along.
fn is_clear(driver: &Driver<'_>) -> bool {
    let history = driver.history;
    let order = history.shape.order;
    let by_arrival = matches!(order, Order::LatestArrivalFirst | Order::FirstArrivalFirst);
    let all_clear = history.records.windows(2).all(|pair| pair[0].time < pair[1].time);
    let timed = history
        .records
        .iter()
        .all(|record| matches!(record.kind, super::source::Kind::Plain | super::source::Kind::NumberedId));
    let muddles = |what: &What| match what {
        What::Order(_) | What::Twin { .. } | What::Jump(_) | What::Short(_) | What::Change { .. } => true,
        What::Come { kind, age, .. } => {
            !matches!(kind, super::source::Kind::Plain | super::source::Kind::NumberedId) || *age > 0 && by_arrival
        }
        _ => false,
    };
    // Records of one moment show no order.
    let times = driver.with(|world| world.source.standing.iter().map(|one| one.record.time).collect::<BTreeSet<_>>());
    let enough = times.len() >= CLEAR;
    order.is_by_time_or_arrival()
        && all_clear
        && timed
        && enough
        && history.stored == Stored::Nothing
        && history.memory.is_none()
        && !history.happens(muddles)
}

/// What was due is there.
pub fn fresh(driver: &Driver<'_>, due: &Due) -> Result<(), Failure> {
    driver.with(|world| {
        let stands = |number: u64| world.source.standing.iter().any(|standing| standing.number == number);
        let late = due.0.iter().copied().find(|number| stands(*number) && !world.is_confirmed((*number, 0)));
        match late {
            Some(number) => Err(Failure::new(
                Check::Late,
                format!("record {number} came at the newest end, and live has not delivered it"),
            )),
            None => Ok(()),
        }
    })
}

/// Every record that stands at the source, can be read and is wanted, was delivered and confirmed.
///
/// Where the first pages fail forever, the call's requests have to reach one that answers: otherwise it looks
/// as if none did.
pub fn lost(driver: &Driver<'_>) -> Result<(), Failure> {
    let leading = driver.with(|world| {
        let holes = &world.source.shape.holes;
        let fails = |page: u64| holes.iter().any(|hole| hole.page == page && hole.times == FOR_EVER);
        (0..).take_while(|page| fails(*page)).count() as u32
    });
    if leading > 0 && driver.history.host.requests.is_some_and(|requests| requests <= leading + 2) {
        return Ok(());
    }
    driver.with(|world| {
        let readable = readable(world, false);
        let lost: Vec<_> = readable
            .iter()
            .map(|at| &world.source.standing[*at])
            .filter(|standing| is_wanted(driver, world, standing) && !world.is_confirmed(standing.key()))
            .map(|standing| standing.number)
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let of = readable.len();
        Err(Failure::new(Check::Lost, format!("{} of {of} readable records never arrived: {lost:?}", lost.len())))
    })
}

/// What has no time that can be read may stand anywhere: where a window ends passes, it may be behind their
/// end.
fn is_wanted(driver: &Driver<'_>, world: &World, standing: &Standing) -> bool {
    let is_windowed = world.earliest.is_some() || world.unwanted.is_some() || world.imported.is_some();
    world.wants(standing) && driver.history.memory.is_none() && (standing.time().is_some() || !is_windowed)
}

/// Positions of the records that stand on pages that can be read, and that aren't hidden by what looks like
/// the end.
///
/// What can't be told from the end: a page that looks like nothing forever where the source says that it has
/// no more than the pages before it hold, or says that it has less than that; and any page that fails forever
/// behind exactly as many records as the source counts; and what lies behind three pages with the same
/// records.
fn readable(world: &mut World, beyond_what_looks_like_the_end: bool) -> Vec<usize> {
    let size = world.source.shape.page_size(world.limit);
    let view = world.source.view().to_vec();
    let count = view.len() as u64;
    let shape = &world.source.shape;
    let understates = match shape.totals {
        Totals::Off(by) => by < 0,
        totals => matches!(totals, Totals::Capped(_) | Totals::Stuck(_) | Totals::Fluttering(_)),
    };
    let mut readable = Vec::new();
    let (mut before, mut repeated) = (BTreeSet::new(), 0);
    for page in 0..shape.pages(size, count) {
        if shape.deep.is_some_and(|(first, _)| first <= page) {
            break;
        }
        if let Some(hole) = shape.holes.iter().find(|hole| hole.page == page && hole.times == FOR_EVER) {
            let said = match shape.totals {
                Totals::Off(by) => count.saturating_add_signed(by),
                Totals::Capped(most) | Totals::Stuck(most) => most,
                _ => 0,
            };
            // One that stands there twice looks like a server that repeats itself.
            let distinct: BTreeSet<_> = readable.iter().map(|at: &usize| world.source.standing[*at].key()).collect();
            let read = distinct.len() as u64..=readable.len() as u64;
            let looks_like_the_end = hole.trouble.looks_like_nothing() || read.contains(&said);
            if understates && looks_like_the_end && !beyond_what_looks_like_the_end {
                break;
            }
            continue;
        }
        let range = shape.range(page, size, count);
        let shown: BTreeSet<_> =
            view[range.clone()].iter().map(|at| world.source.standing[*at as usize].key()).collect();
        repeated = if shown == before { repeated + 1 } else { 0 };
        before = shown;
        readable.extend(view[range].iter().map(|at| *at as usize));
        if repeated == 2 && !shape.totals.is_right() {
            break;
        }
    }
    readable
}

/// The end of a rest: few requests, a state that doesn't grow, an account that is true and stays.
pub fn quiet(driver: &mut Driver<'_>) -> Result<(), Failure> {
    let before = driver.progress.account;
    let size = |driver: &Driver<'_>| driver.with(|world| world.values.values().map(Vec::len).sum::<usize>());
    let mut sizes = Vec::new();
    let mut took = Vec::new();
    let warnings = driver.with(|world| world.warnings.len());
    driver.with(|world| world.values.get_mut(STATE_KEY).map(recent::write_out));
    for _ in 0..QUIET_CYCLES {
        took.push(driver.cycle()?);
        sizes.push(size(driver));
    }
    requests(driver, &took)?;
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    if last > first + first / 10 + PASS_IN_BYTES {
        return Err(Failure::new(Check::State, format!("what is stored grows while nothing happens: {sizes:?}")));
    }
    let after = driver.progress.account;
    if before != after && driver.history.promise == Promise::Day && !flutters(driver) {
        return Err(Failure::new(
            Check::Account,
            format!("the account changes while nothing happens: {before:?}, {after:?}"),
        ));
    }
    let told: Vec<_> = driver.with(|world| world.warnings[warnings..].to_vec());
    account_is_told_once(driver, before, &told)?;
    account(driver)
}

fn flutters(driver: &Driver<'_>) -> bool {
    driver.with(|world| matches!(world.source.shape.totals, Totals::Fluttering(_)))
}

/// Quiet cycles cost one request, or two; those with a pass cost what it has pages.
///
/// One: a clear order, a count that stands, and a newest page that isn't the last one, or isn't full
/// and has no copy behind it. Pages
/// that fail forever are asked for now and then, and retried; a source with neither order nor count is read
/// in every cycle, and so is one without a count where late records contradict the order.
fn requests(driver: &Driver<'_>, took: &[Took]) -> Result<(), Failure> {
    let history = driver.history;
    let (pages, size, count, shape) = driver.with(|world| {
        let size = world.source.shape.page_size(world.limit);
        let count = world.source.standing.len() as u64;
        (world.source.shape.pages(size, count), size, count, world.source.shape.clone())
    });
    // A count that says less than there is may stand still: then it is none.
    let no_count = shape.totals.is_missing()
        || matches!(shape.totals, Totals::Fluttering(_) | Totals::Capped(_) | Totals::Stuck(_))
        || matches!(shape.totals, Totals::Off(by) if count.saturating_add_signed(by) == 0);
    // One that went up and down by itself is not relied on until it is right.
    let fluttered = |what: &What| matches!(what, What::Totals(Totals::Fluttering(_)));
    let has_fluttered = matches!(history.shape.totals, Totals::Fluttering(_)) || history.happens(fluttered);
    let no_count = no_count || has_fluttered && !shape.totals.is_right();
    // One below what is shown looks the same where records are found that had been missed: they come without
    // growth. Where records stand there twice, nothing refutes it: so many more may be a page shown again.
    let hides_it = history.is_restless() || history.happens(|what| matches!(what, What::Twin { .. }));
    let no_count = no_count || hides_it && matches!(shape.totals, Totals::Off(..0));
    let is_clear = is_clear(driver) && count >= CLEAR as u64;
    // Where nothing counts, late records are found at the other end, which contradicts the order.
    let is_late = history.happens(|what| matches!(what, What::Come { age: 1.., .. }));
    if history.has_lasting_holes() || no_count && (!is_clear || is_late) {
        return Ok(());
    }
    let newest_first = matches!(shape.order, Order::NewestFirst | Order::LatestArrivalFirst);
    let repeats = matches!(shape.past_end, PastEnd::LastPage | PastEnd::FirstPage);
    let last_is_full = count.is_multiple_of(size) || shape.short.is_some() || repeats;
    let is_last = !newest_first || pages <= 1;
    let allowed = if is_clear && !no_count && shape.totals.is_right() && !(is_last && last_is_full) { 1 } else { 2 };
    let quiet: Vec<_> =
        took.windows(2).filter(|pair| pair[0].up_to_date && pair[1].up_to_date).map(|pair| pair[1]).collect();
    let dear: Vec<_> = quiet.iter().map(|took| took.requests).filter(|requests| *requests > allowed).collect();
    // The clock's passes: the overlap's, and that over all.
    let cycles_of_a_pass =
        history.host.requests.map_or(1, |all| (pages + BESIDE_A_PASS).div_ceil(u64::from(Host::reserve(all))));
    // Pages that are promised and not there are gaps, each of which is retried once an hour.
    let promises_more = match shape.totals {
        Totals::Stuck(said) => said > count,
        Totals::Off(by) => by > 0,
        _ => false,
    };
    let retried = if promises_more { u64::from(driver.progress.gaps).min(GAPS) } else { 0 };
    if dear.len() as u64 > 2 * cycles_of_a_pass.max(1) + retried {
        let all: Vec<_> = took.iter().map(|took| took.requests).collect();
        return Err(Failure::new(
            Check::Requests,
            format!("quiet cycles cost {all:?} requests, and {allowed} are enough"),
        ));
    }
    // Pages that are promised and refused are gone over more than once.
    let refused = if promises_more { BESIDE_A_PASS } else { 0 };
    let most = pages + BESIDE_A_PASS + refused + u64::from(allowed) + 2;
    match took.iter().find(|took| u64::from(took.requests) > most) {
        Some(took) => Err(Failure::new(
            Check::Requests,
            format!("a cycle cost {} requests, and a pass over {pages} pages {most}", took.requests),
        )),
        None => Ok(()),
    }
}

/// Whether alerts came and the count stood still: others went meanwhile, or one without an id has changed,
/// which is another one then, or a page that can't be read had hidden them, where they stand elsewhere in
/// every answer. As long as a page hides some of them, nothing shows that the count can be relied on.
fn seemed_capped(driver: &Driver<'_>) -> bool {
    let history = driver.history;
    let known_by_content = driver.with(|world| world.records.iter().any(|record| record.kind.is_known_by_content()));
    let balances = |what: &What| match what {
        What::Go { .. } => true,
        What::Change { .. } => known_by_content,
        _ => false,
    };
    history.has_lasting_holes() && (history.is_restless() || history.happens(balances))
}

/// What is told of the account is told once a change: nothing changes here. Without the clock's passes, the
/// one that settles it may come only now, and what it says is told for the first time.
fn account_is_told_once(driver: &Driver<'_>, before: Account, told: &[String]) -> Result<(), Failure> {
    let account = driver.progress.account;
    let Account::Missing(missing @ 1..) = account else { return Ok(()) };
    match told.iter().filter(|line| tells_missing(line, missing)).nth(usize::from(before != account)) {
        Some(line) if !flutters(driver) => {
            Err(Failure::new(Check::Account, format!("told again though nothing has changed: {line}")))
        }
        _ => Ok(()),
    }
}

/// Whether a line of the log tells that so many records are missing.
pub fn tells_missing(line: &str, missing: u64) -> bool {
    let number = missing.to_string();
    let mut words = line.split(|character: char| !character.is_alphanumeric());
    words.any(|word| word == number)
        && ["missing", "unaccounted", "none of the pages", "counts"].iter().any(|word| line.contains(word))
}

/// The account is true, where it can be.
///
/// Exact: a count that is right or wrong by always the same, a whole source in one window, every alert there
/// once. Not checkable: no count, or one below what was shown. Twins can't be told from a server that repeats
/// itself, so that a pass may count them or not; and a page that fails may be shown once more past the end.
fn account(driver: &Driver<'_>) -> Result<(), Failure> {
    let history = driver.history;
    if history.promise != Promise::Day || history.stored != Stored::Nothing || history.memory.is_some() {
        return Ok(());
    }
    let account = driver.progress.account;
    let expected = driver.with(|world| {
        let whole = world.earliest.is_none() && world.unwanted.is_none();
        let twins = history.happens(|what| matches!(what, What::Twin { .. }));
        let (certain, all) = (readable(world, false).len(), readable(world, true).len() as u64);
        let (count, shape) = (world.source.standing.len() as u64, &world.source.shape);
        let repeats = matches!(shape.past_end, PastEnd::LastPage | PastEnd::FirstPage) && history.has_lasting_holes();
        if repeats || !whole || twins || all == 0 || certain as u64 != all {
            return None;
        }
        let said = match shape.totals {
            totals if totals.is_right() => Some(count),
            Totals::Off(by) => Some(count.saturating_add_signed(by)),
            totals if totals.is_missing() => None,
            Totals::Capped(most) if most < all => None,
            _ => return None,
        };
        let said = said.filter(|said| *said > 0);
        Some(said.and_then(|said| said.checked_sub(all)))
    });
    let is_true = match (expected, account) {
        (None, _) => true,
        (Some(Some(missing)), Account::Missing(told)) => missing == told,
        (Some(None), Account::Unchecked(_)) => true,
        (Some(Some(_)), Account::Unchecked(Uncheckable::Capped)) => seemed_capped(driver),
        _ => false,
    };
    if is_true {
        return Ok(());
    }
    let expected = expected.flatten().map_or("not checkable".to_owned(), |missing| format!("{missing} missing"));
    Err(Failure::new(Check::Account, format!("the account is {account:?}, and should be: {expected}")))
}

//! Small histories with names, one test each: what pullers like this one have lost, or might.

use super::history::{Event, History, Host, Promise, Stored, What};
use super::host::Driver;
use super::source::{Echo, FOR_EVER, Hole, Kind, Order, PastEnd, Shape, Totals, Trouble};
use super::verdict::tells_missing;
use super::{host, runner};
use crate::progress::Account;

/// Cycles in which a history without limits is read twice, with failures on the way.
const SOON: u32 = 6;

/// A history that a test looks into, cycle by cycle.
struct Story<'a>(Driver<'a>);

impl<'a> Story<'a> {
    fn of(history: &'a History) -> Self {
        Self(Driver::new(history, host::COLLECTOR, true))
    }

    #[track_caller]
    fn cycles(&mut self, count: u32) {
        for _ in 0..count {
            if let Err(failure) = self.0.cycle() {
                let trace = self.0.with(|world| world.trace.clone().unwrap_or_default());
                panic!("{failure}\n{}", trace.join("\n"));
            }
        }
    }

    /// How many of the records that stand at the source have arrived.
    fn arrived(&self) -> usize {
        self.0.with(|world| world.source.standing.iter().filter(|one| world.is_confirmed(one.key())).count())
    }

    fn standing(&self) -> usize {
        self.0.with(|world| world.source.standing.len())
    }

    #[track_caller]
    fn all_arrived(&self) {
        let (arrived, standing) = (self.arrived(), self.standing());
        let trace = self.0.with(|world| world.trace.clone().unwrap_or_default());
        assert_eq!(arrived, standing, "of {standing} alerts {arrived} have arrived\n{}", trace.join("\n"));
    }
}

/// Every promise holds, a day of rest included.
#[track_caller]
fn keeps_its_promises(history: &History) -> host::Outcome {
    let outcome = runner::silently(|| host::run(history, None, true));
    if let Err(failure) = &outcome.result {
        panic!("{failure}\n{history}\n{}", outcome.trace.join("\n"));
    }
    outcome
}

#[track_caller]
fn all_arrive_soon(history: &History) {
    let mut story = Story::of(history);
    story.cycles(SOON);
    story.all_arrived();
    keeps_its_promises(history);
}

fn with(history: History, change: impl FnOnce(&mut Shape)) -> History {
    let mut history = history;
    change(&mut history.shape);
    history
}

fn happening(history: History, cycle: u32, step: u32, what: What) -> History {
    let mut history = history;
    history.events.push(Event { cycle, step, what });
    history.cycles = history.cycles.max(cycle + 1);
    history
}

fn new_alert() -> What {
    What::Come { count: 1, age: 0, apart: 0, kind: Kind::Plain }
}

/// 450 alerts in pages of 100, and a page, counted from 1, that answers otherwise once.
#[track_caller]
fn a_page_fails_once(page: u64, trouble: Trouble) {
    let hole = Hole { page: page - 1, trouble, times: 1 };
    all_arrive_soon(&with(History::plain(450, 100), |shape| shape.holes = vec![hole]));
}

#[test]
fn an_error_inside_a_success_on_page_2_is_not_the_end() {
    a_page_fails_once(2, Trouble::ErrorCode);
}

#[test]
fn a_list_of_errors_inside_a_success_on_page_2_is_not_the_end() {
    a_page_fails_once(2, Trouble::Errors);
}

#[test]
fn no_success_written_as_a_text_on_page_2_is_not_the_end() {
    a_page_fails_once(2, Trouble::NoSuccess);
}

#[test]
fn an_empty_page_2_is_not_the_end() {
    a_page_fails_once(2, Trouble::Empty);
}

#[test]
fn an_error_inside_a_success_on_page_1_is_not_the_end() {
    a_page_fails_once(1, Trouble::ErrorCode);
}

#[test]
fn a_list_of_errors_inside_a_success_on_page_1_is_not_the_end() {
    a_page_fails_once(1, Trouble::Errors);
}

#[test]
fn no_success_written_as_a_text_on_page_1_is_not_the_end() {
    a_page_fails_once(1, Trouble::NoSuccess);
}

#[test]
fn an_empty_page_1_is_not_the_end() {
    a_page_fails_once(1, Trouble::Empty);
}

#[test]
fn answers_that_number_themselves_from_0_are_not_believed() {
    all_arrive_soon(&with(History::plain(350, 100), |shape| shape.echo = Echo::FromZero));
}

#[test]
fn answers_that_all_call_themselves_page_1_are_not_believed() {
    all_arrive_soon(&with(History::plain(350, 100), |shape| shape.echo = Echo::AlwaysOne));
}

#[test]
fn a_short_page_in_the_middle_is_not_the_end() {
    let history = with(History::plain(449, 100), |shape| {
        shape.totals = Totals::Missing;
        shape.short = Some(1);
    });
    all_arrive_soon(&history);
}

#[test]
fn pages_are_numbered_from_0() {
    for totals in [Totals::Right, Totals::LastPageFromZero, Totals::Missing] {
        let history = with(History::plain(450, 100), |shape| (shape.first_page, shape.totals) = (0, totals));
        all_arrive_soon(&history);
    }
}

#[test]
fn two_passes_find_what_moved_while_the_first_history_was_read() {
    let mut history = with(History::plain(540, 20), |shape| shape.order = Order::Shuffled(11));
    for step in 1..27 {
        history = happening(history, 0, step, new_alert());
        let along = u64::from(step) * 36;
        history = happening(history, 0, step, What::Go { along, count: 1 });
    }
    let mut story = Story::of(&history);
    story.cycles(3);
    assert_eq!(story.standing(), 540);
    story.all_arrived();
    keeps_its_promises(&history);
}

#[test]
fn what_the_source_counts_and_does_not_show_is_told_once() {
    let history = with(History::plain(250, 50), |shape| shape.totals = Totals::Off(10));
    let outcome = keeps_its_promises(&history);
    assert_eq!(outcome.progress.account, Account::Missing(10));
    let told: Vec<_> = outcome.warnings.iter().filter(|line| tells_missing(line, 10)).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

/// Everything but the sixth of ten pages arrives, and a new alert in the cycle in which it appears.
#[track_caller]
fn page_6_always_answers(trouble: Trouble) {
    for requests in [None, Some(10)] {
        let hole = Hole { page: 5, trouble, times: FOR_EVER };
        let mut history = with(History::plain(1000, 100), |shape| shape.holes = vec![hole]);
        history.host = Host { period: 60, requests, latency: 10 };
        let history = happening(history, 20, 0, new_alert());
        let mut story = Story::of(&history);
        story.cycles(20);
        assert_eq!(story.arrived(), 900);
        story.cycles(1);
        assert!(story.0.with(|world| world.is_confirmed((1000, 0))), "the new alert waits");
        let outcome = keeps_its_promises(&history);
        assert_eq!(outcome.progress.account, Account::Missing(100));
    }
}

#[test]
fn a_page_that_is_always_refused_holds_nothing_else_back() {
    page_6_always_answers(Trouble::Status(400));
}

#[test]
fn a_page_that_always_fails_holds_nothing_else_back() {
    page_6_always_answers(Trouble::Status(500));
}

#[test]
fn a_page_that_can_never_be_parsed_holds_nothing_else_back() {
    page_6_always_answers(Trouble::Html);
}

#[test]
fn a_page_that_is_always_empty_holds_nothing_else_back() {
    page_6_always_answers(Trouble::Empty);
}

#[test]
fn deep_pages_that_are_refused_hold_nothing_else_back() {
    let history = with(History::plain(1000, 100), |shape| shape.deep = Some((5, 400)));
    let history = happening(history, 6, 0, new_alert());
    let mut story = Story::of(&history);
    story.cycles(6);
    assert_eq!(story.arrived(), 500);
    story.cycles(1);
    assert_eq!(story.arrived(), 501);
    let outcome = keeps_its_promises(&history);
    assert_eq!(outcome.progress.account, Account::Missing(501), "one has moved there that was delivered before");
}

#[test]
fn a_page_size_that_is_refused_can_be_lowered() {
    let history = with(History::plain(450, 100), |shape| shape.refuses_above = Some(50));
    all_arrive_soon(&happening(history, 2, 0, What::Limit(50)));
}

#[test]
fn a_page_size_that_is_refused_in_the_middle_of_the_history_can_be_lowered() {
    let mut history = History::plain(2_000, 100);
    history.host.requests = Some(8);
    let history = happening(history, 1, 3, What::Refuse(Some(50)));
    let history = happening(history, 4, 0, What::Limit(50));
    let mut story = Story::of(&history);
    story.cycles(30);
    story.all_arrived();
    keeps_its_promises(&history);
}

#[test]
fn a_page_size_that_is_raised_in_the_middle_of_the_history_leaves_nothing_out() {
    let mut history = History::plain(1_000, 10);
    history.host.requests = Some(8);
    let history = happening(history, 6, 0, What::Limit(70));
    let mut story = Story::of(&history);
    story.cycles(40);
    story.all_arrived();
    keeps_its_promises(&history);
}

#[test]
fn a_long_history_holds_no_new_alert_back() {
    let mut history = History::plain(3_000, 10);
    history.host = Host { period: 1, requests: Some(3), latency: 10 };
    let history = happening(history, 40, 0, new_alert());
    let mut story = Story::of(&history);
    story.cycles(1);
    assert!(story.arrived() >= 10, "the first page is delivered at once, not {}", story.arrived());
    story.cycles(39);
    let before = story.arrived();
    assert!(before < 1_500, "the history is still being read: {before}");
    story.cycles(1);
    let newest = story.0.with(|world| world.is_confirmed((3_000, 0)));
    assert!(newest, "the new alert waits for the history");
}

#[test]
fn an_alert_that_is_three_days_late_is_found_within_a_day() {
    for totals in [Totals::Right, Totals::Stuck(400), Totals::Missing] {
        let history = with(History::plain(400, 20), |shape| shape.totals = totals);
        let late = What::Come { count: 1, age: 3 * 86_400, apart: 0, kind: Kind::Plain };
        keeps_its_promises(&happening(history, 10, 0, late));
    }
}

#[test]
fn what_an_earlier_version_has_delivered_is_not_delivered_again() {
    for stored in [
        Stored::Version1 { behind: 7 },
        Stored::Finished { version: 2, behind: 7 },
        Stored::Finished { version: 3, behind: 7 },
        Stored::Unfinished { version: 2, next: 3 },
        Stored::Unfinished { version: 3, next: 3 },
    ] {
        let mut history = History::plain(95, 10);
        history.stored = stored;
        keeps_its_promises(&history);
    }
}

/// Without the clock's passes, all of which are switched off: what is missing has to show by itself.
fn without_the_clock(mut history: History, promise: Promise) -> History {
    history.promise = promise;
    history
}

fn come(count: u64) -> What {
    What::Come { count, age: 0, apart: 1, kind: Kind::Plain }
}

/// Alerts of one moment: their times show no order.
fn of_one_moment(count: u64, limit: u64) -> History {
    let mut history = History::plain(count, limit);
    history.records.iter_mut().for_each(|record| record.time = -300);
    history
}

#[test]
fn a_total_that_stands_still_from_the_beginning_hides_no_new_alert_at_the_end_that_nobody_expects() {
    for cap in [4, 10, 51] {
        let history = with(of_one_moment(cap.max(10), 10), |shape| {
            (shape.order, shape.totals) = (Order::OldestFirst, Totals::Capped(cap));
        });
        keeps_its_promises(&without_the_clock(happening(history, 1, 0, come(1)), Promise::NewestEnd));
    }
}

#[test]
fn as_many_new_alerts_as_a_page_has_in_the_middle_of_a_look_are_not_taken_for_the_known_ones() {
    for (step, count) in [(3, 3), (4, 3), (4, 6), (2, 2)] {
        let history = with(History::plain(1, 3), |shape| shape.totals = Totals::Missing);
        let history = happening(happening(history, 7, 0, come(14)), 7, step, come(count));
        keeps_its_promises(&without_the_clock(history, Promise::NewestEnd));
    }
}

#[test]
fn a_page_0_that_was_empty_when_it_was_asked_for_is_found_by_what_is_missing() {
    let hidden = Hole { page: 0, trouble: Trouble::NoContent, times: 2 };
    let history = with(History::plain(16, 10), |shape| (shape.first_page, shape.holes) = (0, vec![hidden]));
    keeps_its_promises(&without_the_clock(history, Promise::SecondPass));
}

#[test]
fn new_alerts_that_a_pass_met_behind_the_end_do_not_hide_those_before_them() {
    let history = with(History::plain(91, 10), |shape| shape.past_end = PastEnd::FirstPage);
    keeps_its_promises(&without_the_clock(happening(history, 1, 9, come(16)), Promise::Growth));
}

#[test]
fn more_alerts_than_are_remembered_come_once() {
    let mut history = with(History::plain(60, 10), |_| ());
    history.records.iter_mut().for_each(|record| record.time *= 400);
    history.memory = Some(8);
    keeps_its_promises(&history);
    // They are those of the overlap: with a shorter one nothing comes again.
    keeps_its_promises(&happening(history, 1, 0, What::Overlap(600)));
}

#[test]
fn pages_that_an_earlier_versions_walk_could_not_read_any_more_are_not_lost() {
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut history = with(History::plain(86, 10), |shape| shape.order = order);
        history.records.iter_mut().for_each(|record| record.time *= 60);
        history.stored = Stored::Unfinished { version: 2, next: 7 };
        let outage = What::Outage { requests: 6, trouble: Trouble::Empty };
        keeps_its_promises(&happening(history, 0, 0, outage));
    }
}

#[test]
fn a_source_of_which_one_page_far_behind_answers_is_read_there() {
    for requests in [None, Some(4), Some(10)] {
        let hole = |page| Hole { page, trouble: Trouble::TimeOut, times: FOR_EVER };
        let mut history = with(History::plain(51, 10), |shape| shape.holes = (0..5).map(hole).collect());
        history.host.requests = requests;
        // Where a call has few requests, only what comes soon is reached.
        if requests == Some(4) {
            history.shape.holes.truncate(1);
        }
        keeps_its_promises(&history);
    }
}

#[test]
fn alerts_that_are_not_json_come_as_dead_letters_once() {
    let mut history = History::plain(45, 10);
    history.records.iter_mut().step_by(7).for_each(|record| record.kind = Kind::Broken);
    all_arrive_soon(&history);
}

#[test]
fn changes_that_are_to_be_delivered_come_once_each() {
    let mut history = History::plain(45, 10);
    history.deliver_changes = true;
    let history = happening(history, 1, 0, What::Change { along: 500 });
    keeps_its_promises(&happening(history, 2, 0, What::Change { along: 500 }));
}

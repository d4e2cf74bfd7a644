//! The memory of all calls under way: the process has so much for them, however many tenants there are.
//!
//! It has two parts. Each call has a fixed amount for sure ([`CallBounds::OF_EACH`]), which is more than an
//! ordinary one takes, and begins when that is free: so the first part bounds how many calls there are. What
//! a call needs beyond that is taken from the second part as it grows. Nobody waits for that, so that calls
//! that grow can't wait for each other: a call that gets none is ended, and tried again later.
//!
//! One tenant gets half of each part at most. What it has beyond an equal part it has only as long as nobody
//! needs it: for a tenant that has less, a call of the one that has the most is ended. So whoever hoards
//! memory is in nobody's way, however many there are of them, and whoever came first has no more for that.
//! Where there are more tenants than calls can be made at once, calls that last long are ended for those who
//! wait. Decision 0014 has what else was looked at.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use collector_model::CallBounds;
use thiserror::Error;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

/// A call that has lasted so long is ended if others wait and nobody has more than they: what it has done by
/// then it could have recorded, for no call is asked to go on for longer than half of it.
const LONG: Duration = Duration::from_secs(60);

/// How often who waits looks whether there is such a call.
const LOOK: Duration = Duration::from_secs(2);

/// What all calls of the process may use together. Clones are the same one. By default there is no bound.
#[derive(Clone, Default)]
pub struct CallBudget(Option<Arc<Inner>>);

struct Inner {
    bounds: CallBounds,
    state: Mutex<State>,
    /// The number of the next tenant or call.
    next: AtomicU64,
    refused: AtomicU64,
}

/// What is free, who has what, and who waits.
struct State {
    free: Part,
    /// What comes back as soon as calls have ended that were told to.
    ending: Part,
    held: HashMap<Tenant, Held>,
    /// In the order in which they came.
    waiting: Vec<(Tenant, oneshot::Sender<Granted>)>,
}

type Tenant = u64;
type Call = u64;

/// Of both parts of the memory. Less than nothing is free until calls have ended for which there was no
/// waiting.
#[derive(Clone, Copy, Default)]
struct Part {
    calls: i64,
    bytes: i64,
}

/// What one tenant has, without what is ending.
#[derive(Default)]
struct Held {
    has: Part,
    /// The oldest first.
    calls: Vec<Used>,
}

/// What one call has.
struct Used {
    call: Call,
    since: Instant,
    bytes: u64,
    /// Whether it was told to end.
    is_ending: bool,
    ending: Arc<Notify>,
}

/// The share of one tenant. Clones are the same one.
#[derive(Clone, Default)]
pub struct TenantBudget(Option<(Arc<Inner>, Tenant)>);

/// What one call has, given back when the last clone is dropped.
#[derive(Clone, Default)]
pub struct CallMemory(Option<Arc<Granted>>);

/// A call that may be made.
struct Granted {
    inner: Arc<Inner>,
    tenant: Tenant,
    call: Call,
    ending: Arc<Notify>,
    /// What of its memory events have that wait for their outputs.
    queued: AtomicU64,
}

/// Memory of a call, given back when this is dropped.
pub(crate) struct HeldMemory {
    call: CallMemory,
    bytes: u64,
}

/// There is no memory left for a call, or none for its tenant.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the memory that this host has for calls, or its tenant's share of it, is used up (calls.memory_in_bytes)")]
pub(crate) struct NoMemory;

/// How things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetUse {
    /// Bytes that calls may have together; zero without a bound.
    pub memory_in_bytes: u64,
    /// Bytes that those under way have.
    pub used_in_bytes: u64,
    /// Calls under way.
    pub calls: u64,
    /// Calls that wait for their turn.
    pub waiting: u64,
    /// Calls that got no memory, or were ended so that others got some.
    pub refused: u64,
}

impl CallBudget {
    /// So much for all calls together.
    pub fn new(bounds: CallBounds) -> Self {
        let free = Part { calls: signed(bounds.at_once as u64), bytes: signed(bounds.for_growth()) };
        let state = State { free, ending: Part::default(), held: HashMap::new(), waiting: Vec::new() };
        let (next, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Some(Arc::new(Inner { bounds, state: Mutex::new(state), next, refused })))
    }

    /// The share of one more tenant.
    pub fn tenant(&self) -> TenantBudget {
        TenantBudget(self.0.clone().map(|inner| {
            let tenant = inner.number();
            (inner, tenant)
        }))
    }

    /// How things stand.
    pub fn now(&self) -> BudgetUse {
        let Some(inner) = &self.0 else { return BudgetUse::default() };
        let state = inner.state();
        let calls = (inner.bounds.at_once as u64).saturating_add_signed(-state.free.calls);
        let grown = inner.bounds.for_growth().saturating_add_signed(-state.free.bytes);
        BudgetUse {
            memory_in_bytes: inner.bounds.memory_in_bytes,
            used_in_bytes: calls * CallBounds::OF_EACH + grown,
            calls,
            waiting: state.waiting.iter().filter(|(_, sender)| !sender.is_closed()).count() as u64,
            refused: inner.refused.load(Ordering::Relaxed),
        }
    }
}

impl TenantBudget {
    /// Waits until one more call of the tenant may be made.
    pub(crate) async fn admit(&self) -> CallMemory {
        let Some((inner, tenant)) = &self.0 else { return CallMemory::default() };
        let (sender, mut granted) = oneshot::channel();
        inner.state().waiting.push((*tenant, sender));
        loop {
            inner.serve();
            if let Ok(granted) = timeout(LOOK, &mut granted).await {
                // The sender is dropped only together with the state.
                return CallMemory(granted.ok().map(Arc::new));
            }
        }
    }
}

impl Inner {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives those who wait what is free: first to tenants that have the fewest calls, and among these in the
    /// order in which they came.
    fn serve(self: &Arc<Self>) {
        // Those that nobody waits for any more give it back, which takes the lock and serves the next ones.
        let mut unwanted = Vec::new();
        let mut state = self.state();
        state.waiting.retain(|(_, sender)| !sender.is_closed());
        while state.free.calls > 0
            && let Some(place) = self.next(&state)
        {
            let (tenant, sender) = state.waiting.remove(place);
            let (call, ending) = (self.number(), Arc::<Notify>::default());
            state.free.calls -= 1;
            let held = state.held.entry(tenant).or_default();
            held.has.calls += 1;
            held.calls.push(Used { call, since: Instant::now(), bytes: 0, is_ending: false, ending: ending.clone() });
            unwanted.extend({
                let granted = Granted { inner: self.clone(), tenant, call, ending, queued: AtomicU64::new(0) };
                sender.send(granted).err()
            });
        }
        // One call at a time is ended for them: when it has, this is done again.
        if state.ending.calls == 0
            && let Some(place) = self.next(&state)
        {
            let has = state.calls_of(state.waiting[place].0);
            let victim = state.youngest_of_most(has + 2).or_else(|| state.oldest(LONG));
            self.end(&mut state, victim);
        }
        drop(state);
    }

    /// Whose turn it is: nobody's whose tenant has its half.
    fn next(&self, state: &State) -> Option<usize> {
        let most = self.bounds.at_once.div_ceil(2) as i64;
        let waiting = state.waiting.iter().enumerate().map(|(place, (tenant, _))| (state.calls_of(*tenant), place));
        waiting.filter(|(has, _)| *has < most).min().map(|(_, place)| place)
    }

    /// Tells calls to end.
    fn end(&self, state: &mut State, calls: impl IntoIterator<Item = (Tenant, Call)>) {
        for (tenant, call) in calls {
            let Some(held) = state.held.get_mut(&tenant) else { continue };
            let Some(used) = held.calls.iter_mut().find(|used| used.call == call) else { continue };
            used.is_ending = true;
            used.ending.notify_one();
            let part = used.part();
            held.has.add(part, -1);
            state.ending.add(part, 1);
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Changes what a call uses. Who takes more, and there is not enough, gets it from who has more.
    fn change(&self, tenant: Tenant, call: Call, change: impl FnOnce(u64) -> u64) -> Result<(), NoMemory> {
        let mut state = self.state();
        let Some((is_ending, before)) = state.used(tenant, call).map(|used| (used.is_ending, used.bytes)) else {
            return Err(NoMemory);
        };
        let after = change(before);
        let more = signed(beyond(after)) - signed(beyond(before));
        if more > 0 {
            let has = state.held.get(&tenant).map_or(0, |held| held.has.bytes) + more;
            let victims = if is_ending || has > signed(self.bounds.for_growth() / 2) {
                None
            } else {
                state.victims(more - state.free.bytes - state.ending.bytes, has)
            };
            let Some(victims) = victims else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(NoMemory);
            };
            self.end(&mut state, victims);
        }
        state.free.bytes -= more;
        if is_ending {
            state.ending.bytes += more;
        } else if let Some(held) = state.held.get_mut(&tenant) {
            held.has.bytes += more;
        }
        if let Some(used) = state.used(tenant, call) {
            used.bytes = after;
        }
        Ok(())
    }

    /// Nothing in here panics while it is half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn calls_of(&self, tenant: Tenant) -> i64 {
        self.held.get(&tenant).map_or(0, |held| held.has.calls)
    }

    fn used(&mut self, tenant: Tenant, call: Call) -> Option<&mut Used> {
        self.held.get_mut(&tenant)?.calls.iter_mut().find(|used| used.call == call)
    }

    /// Of the tenant with the most calls, if it has so many, the one that has done the least.
    fn youngest_of_most(&self, least: i64) -> Option<(Tenant, Call)> {
        let (tenant, held) = self.held.iter().max_by_key(|(_, held)| held.has.calls)?;
        let call = held.calls.iter().rfind(|used| !used.is_ending)?;
        (held.has.calls >= least).then_some((*tenant, call.call))
    }

    /// The call that has lasted longest, if it has lasted so long.
    fn oldest(&self, least: Duration) -> Option<(Tenant, Call)> {
        let calls = self.held.iter().flat_map(|(tenant, held)| held.calls.iter().map(move |used| (*tenant, used)));
        let (tenant, oldest) = calls.min_by_key(|(_, used)| used.since)?;
        (oldest.since.elapsed() >= least).then_some((tenant, oldest.call))
    }

    /// The calls whose end gives this many bytes: of tenants that have more than somebody who has so many.
    /// None if there are not enough.
    fn victims(&self, mut missing: i64, has: i64) -> Option<Vec<(Tenant, Call)>> {
        let mut victims = Vec::new();
        if missing <= 0 {
            return Some(victims);
        }
        let mut tenants: Vec<_> = self.held.iter().filter(|(_, held)| held.has.bytes > has).collect();
        tenants.sort_by_key(|(_, held)| -held.has.bytes);
        for (tenant, held) in tenants {
            let mut left = held.has.bytes;
            let mut calls: Vec<_> = held.calls.iter().filter(|used| !used.is_ending).collect();
            calls.sort_by_key(|used| std::cmp::Reverse(used.bytes));
            for used in calls {
                let freed = used.part().bytes;
                if missing <= 0 || left <= has || freed == 0 {
                    break;
                }
                (missing, left) = (missing - freed, left - freed);
                victims.push((*tenant, used.call));
            }
        }
        (missing <= 0).then_some(victims)
    }
}

impl Used {
    fn part(&self) -> Part {
        Part { calls: 1, bytes: signed(beyond(self.bytes)) }
    }
}

impl Part {
    fn add(&mut self, other: Self, times: i64) {
        self.calls += other.calls * times;
        self.bytes += other.bytes * times;
    }
}

impl CallMemory {
    /// Takes so many bytes more.
    pub(crate) fn grow(&self, bytes: u64) -> Result<(), NoMemory> {
        let Some(call) = &self.0 else { return Ok(()) };
        call.inner.change(call.tenant, call.call, |used| used.saturating_add(bytes))
    }

    /// So many bytes more, for as long as what is returned lives.
    pub(crate) fn hold(&self, bytes: u64) -> Result<HeldMemory, NoMemory> {
        self.grow(bytes)?;
        Ok(HeldMemory { call: self.clone(), bytes })
    }

    /// So many bytes for events that wait for their outputs, instead of those before.
    pub(crate) fn set_queued(&self, bytes: u64) -> Result<(), NoMemory> {
        let Some(call) = &self.0 else { return Ok(()) };
        let before = call.queued.load(Ordering::Relaxed);
        call.inner.change(call.tenant, call.call, |used| used.saturating_sub(before).saturating_add(bytes))?;
        call.queued.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Returns when the call has to end, so that others get its memory.
    pub(crate) async fn needed_by_others(&self) {
        match &self.0 {
            Some(call) => call.ending.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl HeldMemory {
    /// Has so many bytes instead.
    pub(crate) fn set(&mut self, bytes: u64) -> Result<(), NoMemory> {
        let Some(call) = &self.call.0 else { return Ok(()) };
        let before = self.bytes;
        call.inner.change(call.tenant, call.call, |used| used.saturating_sub(before).saturating_add(bytes))?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        // Less is always granted.
        let _ = self.set(0);
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let state_mut = &mut *state;
        if let Some(held) = state_mut.held.get_mut(&self.tenant)
            && let Some(place) = held.calls.iter().position(|used| used.call == self.call)
        {
            let used = held.calls.remove(place);
            if used.is_ending {
                state_mut.ending.add(used.part(), -1);
            } else {
                held.has.add(used.part(), -1);
            }
            if held.calls.is_empty() {
                state_mut.held.remove(&self.tenant);
            }
            state_mut.free.add(used.part(), 1);
        }
        drop(state);
        self.inner.serve();
    }
}

/// What of it a call does not have for sure.
fn beyond(used: u64) -> u64 {
    used.saturating_sub(CallBounds::OF_EACH)
}

/// Amounts are far from what could not be said.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX / 4)
}

impl fmt::Debug for CallBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A budget of 100 MiB: so many calls, and the rest for those that grow.
    fn budget(calls: usize) -> CallBudget {
        CallBudget::new(CallBounds::new(Some(100 * MIB), Some(calls)))
    }

    fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// A call that is there at once.
    fn begin(tenant: &TenantBudget) -> CallMemory {
        poll(tenant.admit()).expect("it need not wait")
    }

    fn is_needed(call: &CallMemory) -> bool {
        poll(call.needed_by_others()).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn one_tenant_gets_half_of_each_part() {
        let budget = budget(10);
        let (one, two) = (budget.tenant(), budget.tenant());
        let calls: Vec<_> = std::iter::from_fn(|| poll(one.admit())).collect();
        assert_eq!(calls.len(), 5);
        let grown = (0..).take_while(|_| calls[0].grow(MIB).is_ok()).count();
        assert_eq!(grown, 4 + 30, "what it has for sure, and half of the rest");
        assert_eq!(budget.now().used_in_bytes, (5 * 4 + 30) * MIB);
        assert!(calls[1].grow(4 * MIB).is_ok() && calls[1].grow(1).is_err(), "all of its calls together");
        begin(&two).grow(34 * MIB).unwrap();
        drop(calls);
        assert_eq!((budget.now().used_in_bytes, budget.now().calls, budget.now().waiting), (0, 0, 0));
        assert_eq!(budget.now().refused, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn for_whoever_has_less_a_call_of_the_one_with_the_most_is_ended() {
        let budget = budget(10);
        let tenants: Vec<_> = (0..5).map(|_| budget.tenant()).collect();
        let calls: Vec<_> = tenants.iter().map(begin).collect();
        for (call, mib) in calls.iter().zip([25, 20, 10, 5]) {
            call.grow((4 + mib) * MIB).unwrap();
        }
        let newcomer = &calls[4];
        newcomer.grow((4 + 10) * MIB).unwrap();
        assert_eq!(calls.iter().map(is_needed).collect::<Vec<_>>(), [true, false, false, false, false]);
        assert!(calls[0].grow(MIB).is_err(), "it is about to end");
        assert!(newcomer.grow(15 * MIB).is_ok(), "what is about to come back is enough");
        let mut calls = calls;
        drop(calls.remove(0));
        assert!(budget.now().used_in_bytes <= 100 * MIB, "{budget:?}");
        assert!(calls[3].grow(5 * MIB).is_err(), "nobody has more than it would have");
        assert!(!calls.iter().any(is_needed));
        assert!(calls[2].grow(5 * MIB).is_ok(), "the last one has most of all now");
        assert_eq!(calls.iter().map(is_needed).collect::<Vec<_>>(), [false, false, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_hoard_whoever_comes_gets_an_equal_part() {
        let budget = CallBudget::new(CallBounds::new(Some(1_000 * MIB), None));
        let mut hoards = Vec::new();
        for _ in 0..100 {
            let call = begin(&budget.tenant());
            while call.grow(MIB).is_ok() {}
            hoards.push(call);
            hoards.retain(|call| !is_needed(call));
        }
        assert!(budget.now().used_in_bytes <= 1_000 * MIB, "{budget:?}");
        let newcomer = begin(&budget.tenant());
        newcomer.grow((4 + 4) * MIB).unwrap();
        assert!(!is_needed(&newcomer));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_it_in_order_but_whoever_has_none_goes_first() {
        let budget = budget(4);
        let greedy = budget.tenant();
        let mut calls = vec![begin(&greedy), begin(&greedy), begin(&budget.tenant()), begin(&budget.tenant())];
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for (place, (name, tenant)) in
            [("greedy", greedy), ("first", budget.tenant()), ("second", budget.tenant())].into_iter().enumerate()
        {
            let told = told.clone();
            tokio::spawn(async move {
                let call = tenant.admit().await;
                told.send((name, call)).unwrap();
            });
            while budget.now().waiting <= place as u64 {
                tokio::task::yield_now().await;
            }
        }
        // For the first one, who has none, a call of the one with two is ended, and the youngest.
        assert_eq!(calls.iter().map(is_needed).collect::<Vec<_>>(), [false, true, false, false]);
        drop(calls.remove(1));
        let (name, first) = order.recv().await.unwrap();
        assert_eq!(name, "first");
        assert!(!calls.iter().any(is_needed), "everybody has one: the next one waits");
        drop(first);
        let (name, second) = order.recv().await.unwrap();
        assert_eq!(name, "second");
        drop(second);
        assert_eq!(order.recv().await.unwrap().0, "greedy");
        assert_eq!((budget.now().calls, budget.now().waiting), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn where_everybody_has_one_a_call_that_lasts_long_is_ended_for_who_waits() {
        let budget = budget(3);
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(begin(&budget.tenant()));
            tokio::time::advance(LONG / 3).await;
        }
        let begun = Instant::now();
        let tenant = budget.tenant();
        let waiting = tokio::spawn(async move { tenant.admit().await });
        calls[0].needed_by_others().await;
        assert!(begun.elapsed() <= LOOK, "{:?}", begun.elapsed());
        assert!(!is_needed(&calls[1]) && !is_needed(&calls[2]));
        drop(calls.remove(0));
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_waiting_takes_nothing_with_it() {
        let budget = budget(1);
        let call = begin(&budget.tenant());
        let tenant = budget.tenant();
        for _ in 0..3 {
            assert!(poll(tenant.admit()).is_none());
        }
        drop(call);
        assert_eq!((budget.now().calls, budget.now().waiting), (0, 0));
        begin(&tenant);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_for_a_while_is_given_back_even_by_a_call_that_is_ending() {
        let budget = budget(10);
        let (one, two) = (budget.tenant(), budget.tenant());
        let (greedy, other) = (begin(&one), begin(&two));
        let mut queue = greedy.hold(0).unwrap();
        queue.set(34 * MIB).unwrap();
        assert_eq!(queue.set(35 * MIB), Err(NoMemory));
        queue.set(20 * MIB).unwrap();
        assert_eq!(budget.now().used_in_bytes, (8 + 16) * MIB);
        queue.set(34 * MIB).unwrap();
        let third = begin(&budget.tenant());
        third.grow(24 * MIB).unwrap();
        other.grow((4 + 15) * MIB).unwrap();
        assert!(is_needed(&greedy));
        queue.set(0).unwrap();
        drop((greedy, other, third));
        assert_eq!(budget.now().calls, 1, "who still has some of it keeps the call");
        drop(queue);
        assert_eq!((budget.now().calls, budget.now().used_in_bytes), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_nobody_waits() {
        let call = begin(&CallBudget::default().tenant());
        call.grow(u64::MAX).unwrap();
        assert!(!is_needed(&call));
    }
}

//! One queue's lists, in memory: who is next, who is due, who has ended.
//!
//! For: finding the next job without looking at the disk, however many wait. Not for: what a job
//! is: an entry goes in where it stands and comes out again. Read [`Line::put`] and [`Line::take`].
//!
//! A waiting job takes two words here, whatever it weighs on the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound::{Excluded, Unbounded};

use crate::model::job::{JobState, QueueConfig};
use crate::model::units::Timestamp;
use crate::queue::Result;
use crate::queue::checks::is_newest_first;
use crate::queue::entry::Entry;

/// Place in a list: what the list is ordered by, and the job.
pub(super) type Place = (i64, u64);

/// Bit beside a delayed job's priority: it has a key.
const KEYED: u32 = 1 << 31;

/// The lists of one queue.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) config: QueueConfig,
    pub(super) paused: bool,
    pub(super) completed_total: u64,
    pub(super) failed_total: u64,
    /// Waiting jobs that may be claimed, by priority and age.
    ready: BTreeSet<Place>,
    /// Waiting jobs whose key has no place free.
    blocked: BTreeSet<Place>,
    keys: HashMap<Box<str>, Key>,
    /// Delayed jobs with their priority.
    delayed: BTreeMap<Place, u32>,
    active: BTreeSet<u64>,
    /// Ends of leases.
    leases: BTreeSet<Place>,
    parents: BTreeSet<u64>,
    /// Ends of total timeouts of jobs that nobody has.
    deadlines: BTreeSet<Place>,
    /// Ended jobs that are kept as the queue says, and those that say it themselves.
    ended: [Ended; 4],
    /// When those go that say it themselves.
    going: BTreeSet<Place>,
    /// Hashes of the ids that callers chose, with the jobs.
    ids: BTreeSet<(u64, u64)>,
    hasher: RandomState,
    /// By deduplication id: the job, and the end of the window if it has one.
    pub(super) same: HashMap<Box<str>, (u64, Option<Timestamp>)>,
    /// Ends of those windows.
    windows: BTreeSet<(i64, Box<str>)>,
    /// Begin of the window of the rate limit, and the claims in it.
    window: Option<(Timestamp, u32)>,
}

/// Jobs that ended in one state.
#[derive(Debug, Default)]
struct Ended {
    /// Kept as the queue says.
    usual: BTreeSet<Place>,
    /// Kept as they say themselves.
    own: BTreeSet<Place>,
}

impl Ended {
    fn of_mut(&mut self, entry: &Entry) -> &mut BTreeSet<Place> {
        match entry.own_keep() {
            Some(_) => &mut self.own,
            None => &mut self.usual,
        }
    }

    fn len(&self) -> usize {
        self.usual.len() + self.own.len()
    }

    fn oldest(&self, after: Option<Place>) -> impl Iterator<Item = &Place> {
        let above = (after.map_or(Unbounded, Excluded), Unbounded);
        merged(self.usual.range(above), self.own.range(above), |a, b| a < b)
    }

    fn newest(&self, after: Option<Place>) -> impl Iterator<Item = &Place> {
        let below = (Unbounded, after.map_or(Unbounded, Excluded));
        let (usual, own) = (self.usual.range(below), self.own.range(below));
        merged(usual.rev(), own.rev(), |a, b| a > b)
    }
}

/// Two lists as one, in the order that `is_before` says and both have.
fn merged<'l>(
    one: impl Iterator<Item = &'l Place>,
    other: impl Iterator<Item = &'l Place>,
    is_before: impl Fn(&Place, &Place) -> bool,
) -> impl Iterator<Item = &'l Place> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(a), Some(b)) if is_before(b, a) => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    })
}

/// Jobs of one key.
#[derive(Debug, Default)]
struct Key {
    waiting: BTreeSet<Place>,
    /// The first of them, which are ready.
    open: BTreeSet<Place>,
    /// Places that are taken: by active ones, and by those that wait for their next attempt.
    held: u32,
}

fn ended_at(state: JobState) -> Option<usize> {
    match state {
        JobState::Completed => Some(0),
        JobState::Failed => Some(1),
        JobState::Dead => Some(2),
        JobState::Cancelled => Some(3),
        _ => None,
    }
}

impl Line {
    pub(super) fn new(number: u32, config: QueueConfig, paused: bool) -> Self {
        Self {
            number,
            config,
            paused,
            completed_total: 0,
            failed_total: 0,
            ready: BTreeSet::new(),
            blocked: BTreeSet::new(),
            keys: HashMap::new(),
            delayed: BTreeMap::new(),
            active: BTreeSet::new(),
            leases: BTreeSet::new(),
            parents: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            ended: Default::default(),
            going: BTreeSet::new(),
            ids: BTreeSet::new(),
            hasher: RandomState::new(),
            same: HashMap::new(),
            windows: BTreeSet::new(),
            window: None,
        }
    }

    /// Puts an entry where it stands.
    pub(super) fn put(&mut self, entry: &Entry) {
        let place = entry.order();
        match entry.state {
            JobState::Waiting => self.wait(place, entry.opts.key.as_deref()),
            JobState::Delayed => {
                let keyed = if entry.opts.key.is_some() { KEYED } else { 0 };
                self.delayed.insert(place, entry.priority | keyed);
            }
            JobState::Active => {
                self.active.insert(entry.seq);
                let end = entry.lease_until.as_millis();
                self.leases.insert((end, entry.seq));
            }
            JobState::WaitingChildren => _ = self.parents.insert(entry.seq),
            state => {
                if let Some(list) = ended_at(state).and_then(|at| self.ended.get_mut(at)) {
                    list.of_mut(entry).insert(place);
                }
                if let Some(end) = entry.goes_at() {
                    self.going.insert((end.as_millis(), entry.seq));
                }
            }
        }
        if let Some(deadline) = entry.deadline
            && !entry.state.is_final()
            && entry.state != JobState::Active
        {
            self.deadlines.insert((deadline.as_millis(), entry.seq));
        }
        if entry.holds_key() {
            self.hold(entry, 1);
        }
    }

    /// Takes an entry out of where it stands.
    pub(super) fn take(&mut self, entry: &Entry) {
        let place = entry.order();
        match entry.state {
            JobState::Waiting => self.unwait(place, entry.opts.key.as_deref()),
            JobState::Delayed => _ = self.delayed.remove(&place),
            JobState::Active => {
                self.active.remove(&entry.seq);
                let end = entry.lease_until.as_millis();
                self.leases.remove(&(end, entry.seq));
            }
            JobState::WaitingChildren => _ = self.parents.remove(&entry.seq),
            state => {
                if let Some(list) = ended_at(state).and_then(|at| self.ended.get_mut(at)) {
                    list.of_mut(entry).remove(&place);
                }
                if let Some(end) = entry.goes_at() {
                    self.going.remove(&(end.as_millis(), entry.seq));
                }
            }
        }
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline.as_millis(), entry.seq));
        }
        if entry.holds_key() {
            self.hold(entry, -1);
        }
    }

    fn wait(&mut self, place: Place, key: Option<&str>) {
        let Some(key) = key else {
            self.ready.insert(place);
            return;
        };
        self.blocked.insert(place);
        self.keys
            .entry(key.into())
            .or_default()
            .waiting
            .insert(place);
        self.settle(key);
    }

    fn unwait(&mut self, place: Place, key: Option<&str>) {
        self.ready.remove(&place);
        let Some(key) = key else { return };
        self.blocked.remove(&place);
        if let Some(of_key) = self.keys.get_mut(key) {
            of_key.waiting.remove(&place);
            of_key.open.remove(&place);
        }
        self.settle(key);
    }

    fn hold(&mut self, entry: &Entry, by: i32) {
        let Some(key) = entry.opts.key.as_deref() else {
            return;
        };
        let of_key = self.keys.entry(key.into()).or_default();
        of_key.held = of_key.held.saturating_add_signed(by);
        self.settle(key);
    }

    /// Lets as many of a key be ready as have a place, the first of those that wait.
    fn settle(&mut self, key: &str) {
        let Some(of_key) = self.keys.get_mut(key) else {
            return;
        };
        let free = self.config.key_concurrency.saturating_sub(of_key.held) as usize;
        let open: BTreeSet<Place> = of_key.waiting.iter().take(free).copied().collect();
        for place in of_key.open.difference(&open) {
            self.ready.remove(place);
            self.blocked.insert(*place);
        }
        for place in open.difference(&of_key.open) {
            self.blocked.remove(place);
            self.ready.insert(*place);
        }
        of_key.open = open;
        if of_key.waiting.is_empty() && of_key.held == 0 {
            self.keys.remove(key);
        }
    }

    /// Notes which job of its like there is, and until when others count as the same.
    pub(super) fn set_same(&mut self, id: &str, to: Option<(u64, Option<Timestamp>)>) {
        let before = match to {
            Some(to) => self.same.insert(id.into(), to),
            None => self.same.remove(id),
        };
        if let Some((_, Some(until))) = before {
            self.windows.remove(&(until.as_millis(), id.into()));
        }
        if let Some((_, Some(until))) = to {
            self.windows.insert((until.as_millis(), id.into()));
        }
    }

    /// Windows that have ended, at most `limit`.
    pub(super) fn ended_windows(&self, limit: usize, now: Timestamp) -> Vec<Box<str>> {
        let ended = self.windows.iter();
        let ended = ended.take_while(|(until, _)| *until <= now.as_millis());
        ended.take(limit).map(|(_, id)| id.clone()).collect()
    }

    /// Sets the queue anew.
    pub(super) fn configure(&mut self, config: QueueConfig) {
        self.config = config;
        let keys: Vec<Box<str>> = self.keys.keys().cloned().collect();
        for key in keys {
            self.settle(&key);
        }
    }

    /// Lets delayed jobs up that are due; `read` gives the entries of those with keys.
    pub(super) fn come_up(
        &mut self,
        now: Timestamp,
        read: impl Fn(u32, u64) -> Result<Entry>,
    ) -> Result<()> {
        while let Some((&place, &priority)) = self.delayed.first_key_value()
            && place.0 <= now.as_millis()
        {
            if priority & KEYED == 0 {
                self.delayed.remove(&place);
                self.ready.insert((i64::from(priority), place.1));
                continue;
            }
            let entry = read(self.number, place.1)?;
            self.delayed.remove(&place);
            let up = (i64::from(entry.priority), entry.seq);
            self.wait(up, entry.opts.key.as_deref());
            if entry.holds_key() {
                self.hold(&entry, -1);
            }
        }
        Ok(())
    }

    /// Whether an entry that says so is still delayed.
    pub(super) fn is_delayed(&self, entry: &Entry) -> bool {
        self.delayed.contains_key(&entry.order())
    }

    /// The next to run, after those that were looked at already.
    pub(super) fn next(&self, after: Option<Place>) -> Option<Place> {
        match after {
            None => self.ready.first().copied(),
            Some(after) => {
                let above = (Excluded(after), Unbounded);
                self.ready.range(above).next().copied()
            }
        }
    }

    /// Claims that the bounds of the queue leave now.
    pub(super) fn room(&mut self, now: Timestamp) -> usize {
        if self.paused {
            return 0;
        }
        let most = self
            .config
            .concurrency
            .map_or(usize::MAX, |most| most as usize);
        let free = most.saturating_sub(self.active.len());
        let Some(limiter) = self.config.limiter else {
            return free;
        };
        self.end_window(now);
        let begun = self.window.map_or(0, |(_, begun)| begun);
        free.min(limiter.max.saturating_sub(begun) as usize)
    }

    /// Forgets the window of the rate limit if it has ended.
    pub(super) fn end_window(&mut self, now: Timestamp) {
        if let Some((from, _)) = self.window
            && self.config.limiter.is_none_or(|limiter| {
                now < from || now >= from.plus(limiter.duration.as_duration())
            })
        {
            self.window = None;
        }
    }

    /// When jobs may be claimed again that only the rate limit holds back.
    fn window_end(&self) -> Option<i64> {
        let (limiter, (from, begun)) = (self.config.limiter?, self.window?);
        let is_held = begun >= limiter.max && !self.ready.is_empty();
        is_held.then(|| from.plus(limiter.duration.as_duration()).as_millis())
    }

    /// Counts a claim for the rate limit.
    pub(super) fn began(&mut self, now: Timestamp) {
        if self.config.limiter.is_some() {
            let (_, begun) = self.window.get_or_insert((now, 0));
            *begun += 1;
        }
    }

    /// Jobs whose lease has ended, then jobs past their total timeout, at most `limit` of each.
    pub(super) fn overdue(&self, limit: usize, now: Timestamp) -> Vec<u64> {
        let until = (now.as_millis(), u64::MAX);
        let leases = self.leases.range(..=until).take(limit);
        let deadlines = self.deadlines.range(..=until).take(limit);
        leases.chain(deadlines).map(|(_, seq)| *seq).collect()
    }

    /// Jobs that are kept as the queue says and ended in `state` at or before `end`, at most `limit`.
    pub(super) fn ended_until(&self, state: JobState, end: Timestamp, limit: usize) -> Vec<u64> {
        let until = (end.as_millis(), u64::MAX);
        let list = ended_at(state).and_then(|at| self.ended.get(at));
        let list = list.into_iter().flat_map(|list| list.usual.range(..=until));
        list.take(limit).map(|(_, seq)| *seq).collect()
    }

    /// Jobs that say themselves that they are kept until now, at most `limit`.
    pub(super) fn gone_until(&self, now: Timestamp, limit: usize) -> Vec<u64> {
        let until = (now.as_millis(), u64::MAX);
        let going = self.going.range(..=until).take(limit);
        going.map(|(_, seq)| *seq).collect()
    }

    /// When something is next due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let delayed = self.delayed.first_key_value().map(|(place, _)| place.0);
        let lease = self.leases.first().map(|place| place.0);
        let deadline = self.deadlines.first().map(|place| place.0);
        let due = [delayed, lease, deadline, self.window_end()];
        let due = due.into_iter().flatten().min();
        due.map(Timestamp::from_millis)
    }

    /// Jobs that stand in `state`.
    pub(super) fn count(&self, state: JobState) -> u64 {
        let count = match state {
            JobState::Waiting => self.ready.len() + self.blocked.len(),
            JobState::Delayed => self.delayed.len(),
            JobState::Active => self.active.len(),
            JobState::WaitingChildren => self.parents.len(),
            state => ended_at(state)
                .and_then(|at| self.ended.get(at))
                .map_or(0, Ended::len),
        };
        count as u64
    }

    /// At most `limit` places of a list after one, in the list's order.
    pub(super) fn list(&self, state: JobState, after: Option<Place>, limit: usize) -> Vec<Place> {
        let above = (after.map_or(Unbounded, Excluded), Unbounded);
        let of = |seq: &u64| (0, *seq);
        match state {
            JobState::Waiting => {
                let (ready, blocked) = (self.ready.range(above), self.blocked.range(above));
                let merged = merged(ready, blocked, |a, b| a < b);
                merged.take(limit).copied().collect()
            }
            JobState::Delayed => {
                let above = self.delayed.range(above).take(limit);
                above.map(|(place, _)| *place).collect()
            }
            JobState::Active | JobState::WaitingChildren => {
                let all = match state {
                    JobState::Active => &self.active,
                    _ => &self.parents,
                };
                let above = (after.map_or(Unbounded, |(_, seq)| Excluded(seq)), Unbounded);
                all.range(above).take(limit).map(of).collect()
            }
            state => {
                let Some(list) = ended_at(state).and_then(|at| self.ended.get(at)) else {
                    return Vec::new();
                };
                if is_newest_first(state) {
                    list.newest(after).take(limit).copied().collect()
                } else {
                    list.oldest(after).take(limit).copied().collect()
                }
            }
        }
    }

    /// At most `limit` jobs that ended in `state`, oldest first, after a place.
    pub(super) fn oldest(&self, state: JobState, after: Option<Place>, limit: usize) -> Vec<Place> {
        let list = ended_at(state).and_then(|at| self.ended.get(at));
        let list = list.into_iter().flat_map(|list| list.oldest(after));
        list.take(limit).copied().collect()
    }

    /// Notes the id that a caller chose.
    pub(super) fn know(&mut self, entry: &Entry) {
        if let Some(id) = &entry.opts.job_id {
            self.ids.insert((self.hasher.hash_one(id), entry.seq));
        }
    }

    /// Forgets a job's id.
    pub(super) fn forget(&mut self, entry: &Entry) {
        if let Some(id) = &entry.opts.job_id {
            self.ids.remove(&(self.hasher.hash_one(id), entry.seq));
        }
    }

    /// Jobs that may have this id: their entries say.
    pub(super) fn named(&self, id: &str) -> Vec<u64> {
        let hash = self.hasher.hash_one(id);
        let found = self.ids.range((hash, 0)..=(hash, u64::MAX));
        found.map(|(_, seq)| *seq).collect()
    }
}

//! The embedded keeper is held to the simplest one: whatever is done to both, reopened, killed or
//! neither and with a clock that jumps, they answer the same and hold the same.

use std::collections::BTreeMap;

use plimsoll::model::job::{Durability, Failure, Job, JobState, Payload, QueueConfig};
use plimsoll::queue::{
    Ack, Change, Claim, Clear, Counts, Ending, Error, Filter, Flow, JobStore, Memory, Note,
    Outcome, PageAsk, Retry, Setting, Verb,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::flows::part;
use crate::support::*;

/// Something that is done to a keeper.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Add(u8, Value),
    /// Jobs from this id on, together.
    AddMany(u8, usize, Value),
    Claim(usize),
    /// The lease that was given so many before, and how the attempt ends.
    Settle(usize, u8),
    /// The last so many leases that were given, ended together.
    SettleMany(usize, u8),
    Extend(usize),
    Note(usize),
    Act(u8, Verb),
    Expire,
    Pass(i64),
    Set(Value),
    Pause(bool),
    Clear(u8, usize),
    Retry(JobState, usize),
    Flow(u8, Value),
    /// So many children.
    Large(u8, usize),
    Reopen,
    /// The process is killed.
    Kill,
}

impl Op {
    /// Whether it is answered only when it is on the disk.
    pub(crate) const fn is_durable(&self) -> bool {
        let is_at_once = matches!(
            self,
            Self::Claim(_)
                | Self::Extend(_)
                | Self::Note(_)
                | Self::Expire
                | Self::SettleMany(..)
                | Self::Pass(_)
        );
        !is_at_once
    }
}

/// A keeper with the leases that it gave.
pub(crate) struct Subject<'a> {
    pub(crate) keeper: &'a dyn JobStore,
    leases: &'a mut Vec<(String, String)>,
}

impl<'a> Subject<'a> {
    pub(crate) const fn new(
        keeper: &'a dyn JobStore,
        leases: &'a mut Vec<(String, String)>,
    ) -> Self {
        Self { keeper, leases }
    }

    /// Does it and tells what was answered, but for tokens.
    pub(crate) async fn apply(&mut self, op: &Op, ms: i64) -> String {
        let (bar, now) = (bar(), at(ms));
        match op {
            Op::Add(id, opts) => {
                let mut one = job("j", opts.clone());
                one.opts.job_id = Some(format!("id{id}"));
                if *id > 9 {
                    one.data = Payload::of(&"long ".repeat(200)).unwrap();
                }
                let added = self.keeper.enqueue(&bar, vec![one], now).await.unwrap();
                match &added[0] {
                    Ok(one) if one.state.is_none() => format!("{:?}", one.added),
                    other => said(other),
                }
            }
            Op::Claim(max) => self.claim(*max, ms).await,
            Op::Settle(nth, how) => {
                let (id, token) = self.lease(*nth);
                let outcome = match how {
                    0 => Outcome::Complete(Payload::of(&json!({"r": 1})).unwrap()),
                    1 => Outcome::Complete(Payload::default()),
                    2 => Outcome::Release,
                    3 => Outcome::Fail(Failure {
                        retryable: Some(false),
                        ..Failure::of("no")
                    }),
                    _ => Outcome::Fail(Failure::of("again")),
                };
                said(&self.keeper.settle(&bar, &id, &token, outcome, now).await)
            }
            Op::SettleMany(count, how) => {
                // What follows for other jobs may be told with a later one: so states alone.
                let endings = (0..*count).map(|nth| self.ending(nth, *how)).collect();
                let settled = self.keeper.settle_many(&bar, endings, Ack::AtOnce, now);
                let states = settled.await.map(|each| {
                    let state = |changes: Vec<Change>| changes.first().and_then(|one| one.state);
                    let each = each.into_iter().map(|one| one.map(state));
                    each.map(|one| said(&one)).collect::<Vec<String>>()
                });
                said(&states)
            }
            Op::Extend(nth) => {
                let (id, token) = self.lease(*nth);
                said(&self.keeper.extend(&bar, &id, &token, None, now).await)
            }
            Op::Note(nth) => {
                let (id, token) = self.lease(*nth);
                let note = Note::Log(format!("note {nth}"));
                said(&self.keeper.note(&bar, &id, &token, note, now).await)
            }
            Op::Act(id, verb) => said(&self.keeper.act(&bar, &format!("id{id}"), *verb, now).await),
            Op::Expire => said(&self.keeper.expire(3, now).await),
            Op::Set(config) => {
                let config: QueueConfig = serde_json::from_value(config.clone()).unwrap();
                said(
                    &self
                        .keeper
                        .configure(&bar, Setting::Config(Box::new(config)))
                        .await,
                )
            }
            Op::Pause(true) => said(&self.keeper.configure(&bar, Setting::Pause).await),
            Op::Pause(false) => said(&self.keeper.configure(&bar, Setting::Resume).await),
            other => self.apply_to_many(other, ms).await,
        }
    }

    /// As [`Subject::apply`], for what is done to more than one job.
    async fn apply_to_many(&mut self, op: &Op, ms: i64) -> String {
        let (bar, now) = (bar(), at(ms));
        match op {
            Op::AddMany(first, many, opts) => {
                let each = (0..*many).map(|n| {
                    let mut one = job("j", opts.clone());
                    // Some are there already, and some stand twice in the bulk.
                    let id = usize::from(*first) + n % 5;
                    one.opts.job_id = Some(format!("id{id}"));
                    one
                });
                let added = self
                    .keeper
                    .enqueue(&bar, each.collect(), now)
                    .await
                    .unwrap();
                // The number of one that is gone and still counts as the same is the keeper's own.
                let each = added.iter().map(|one| match one {
                    Ok(one) => format!("{:?} {:?} {:?}", one.state, one.added, one.due),
                    Err(error) => error.to_string(),
                });
                format!("{:?}", each.collect::<Vec<String>>())
            }
            Op::Clear(what, limit) => {
                let what = match what {
                    0 => Clear::Waiting,
                    1 => Clear::Pending,
                    2 => Clear::Ended(JobState::Dead),
                    3 => Clear::Everything { force: false },
                    _ => Clear::Everything { force: true },
                };
                said(&self.keeper.clear(&bar, what, *limit, now).await)
            }
            Op::Retry(state, limit) => {
                let retry = Retry {
                    state: *state,
                    filter: Filter::default(),
                    limit: *limit,
                    rate: 33,
                    first: now,
                    taken: 0,
                };
                said(&self.keeper.retry(&bar, &retry, now).await)
            }
            Op::Flow(id, opts) => {
                let child = |n: u8| part("bar", &format!("id{n}"), opts.clone(), Vec::new());
                let top = part(
                    "bar",
                    &format!("id{id}"),
                    json!({}),
                    vec![child(id + 1), child(id + 2)],
                );
                said(&self.keeper.enqueue_flow(top, now).await)
            }
            Op::Large(id, children) => {
                let child = |n: usize| part("bar", &format!("c{id}.{n}"), json!({}), Vec::new());
                let children: Vec<Flow> = (0..*children).map(child).collect();
                let top = part("bar", &format!("id{id}"), json!({}), children);
                said(&self.keeper.enqueue_flow(top, now).await)
            }
            _ => String::new(),
        }
    }

    async fn claim(&mut self, max: usize, ms: i64) -> String {
        let claim = Claim {
            max,
            lease: None,
            worker: "w".to_owned(),
        };
        match self.keeper.claim(&bar(), &claim, at(ms)).await {
            Ok(claimed) => {
                let mut told = Vec::new();
                for one in claimed {
                    told.push((one.job.id.clone(), one.lease.until));
                    self.leases.push((one.job.id, one.lease.token));
                }
                format!("{told:?}")
            }
            Err(error) => error.to_string(),
        }
    }

    /// The end of one attempt of several: each third ends as `how` says, the others are done.
    fn ending(&self, nth: usize, how: u8) -> Ending {
        let (id, token) = self.lease(nth);
        let outcome = match (nth % 3, how % 3) {
            (0, 0) => Outcome::Release,
            (0, 1) => Outcome::Fail(Failure::of("again")),
            _ => Outcome::Complete(Payload::of(&json!(nth)).unwrap()),
        };
        Ending { id, token, outcome }
    }

    fn lease(&self, nth: usize) -> (String, String) {
        let at = self.leases.len().wrapping_sub(nth + 1);
        self.leases.get(at).cloned().unwrap_or_default()
    }
}

const REFUSED: &str = "refused: ";

fn said<T: std::fmt::Debug>(answer: &Result<T, Error>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{REFUSED}{error}"),
    }
}

/// All that a keeper holds of the queue, list by list, but for tokens.
pub(crate) type Dump = (Option<Counts>, BTreeMap<JobState, Vec<Job>>);

pub(crate) fn dump(keeper: &dyn JobStore) -> Dump {
    let mut lists = BTreeMap::new();
    for state in JobState::VISIBLE {
        let ask = PageAsk {
            state,
            cursor: None,
            limit: 1_000,
            filter: Filter::default(),
        };
        let Ok(page) = now(keeper.page(&bar(), &ask)) else {
            continue;
        };
        let mut jobs = page.jobs;
        for job in &mut jobs {
            if let Some(lease) = &mut job.lease {
                lease.token.clear();
            }
        }
        lists.insert(state, jobs);
    }
    (now(keeper.counts(&bar())).ok(), lists)
}

fn opts() -> impl Strategy<Value = Value> {
    let pick = |values: &[Value]| proptest::sample::select(values.to_vec());
    (
        0u32..3,
        pick(&[json!(0), json!(0), json!(40), json!(150)]),
        pick(&[json!(null), json!(null), json!("a"), json!("b")]),
        1u32..4,
        pick(&[
            json!(null),
            json!(null),
            json!({"id": "d"}),
            json!({"id": "e", "ttl": 120}),
        ]),
        pick(&[
            json!(null),
            json!(null),
            json!(true),
            json!(1),
            json!({"age": 1}),
        ]),
        pick(&[json!(null), json!(null), json!(60)]),
        pick(&[json!(null), json!(null), json!(200)]),
        pick(&[
            json!(null),
            json!("fail"),
            json!("archive"),
            json!("deadletter"),
        ]),
    )
        .prop_map(
            |(priority, delay, key, attempts, dedup, keep, timeout, total, last)| {
                json!({
                    "priority": priority, "delay": delay, "key": key, "attempts": attempts,
                    "deduplication": dedup, "removeOnComplete": keep, "removeOnFail": keep,
                    "timeout": timeout, "totalTimeout": total, "onMaxRetriesExceeded": last,
                    "backoff": {"type": "linear", "delay": 25, "jitter": 0.5},
                })
            },
        )
}

fn child_opts() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        json!({}),
        json!({"attempts": 1, "failParentOnFailure": true, "removeOnComplete": true}),
        json!({"attempts": 1, "ignoreDependencyOnFailure": true, "key": "a"}),
    ])
}

fn config() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        json!({}),
        json!({"concurrency": 2, "lease": 80}),
        json!({"keyConcurrency": 2, "limiter": {"max": 3, "duration": 100}}),
        json!({"removeOnComplete": {"count": 3, "age": 1}, "deadLetter": {"maxSize": 2, "ttl": 300}}),
        json!({"lease": 50, "timeout": 120, "totalTimeout": 400, "removeOnFail": 2}),
    ])
}

fn op() -> impl Strategy<Value = Op> {
    let verbs = [Verb::Retry, Verb::Promote, Verb::Cancel, Verb::Remove];
    let states = [JobState::Failed, JobState::Dead, JobState::Cancelled];
    prop_oneof![
        12 => (0u8..14, opts()).prop_map(|(id, opts)| Op::Add(id, opts)),
        4 => (0u8..14, 2usize..9, opts()).prop_map(|(id, many, opts)| Op::AddMany(id, many, opts)),
        10 => (1usize..4).prop_map(Op::Claim),
        10 => (0usize..4, 0u8..7).prop_map(|(nth, how)| Op::Settle(nth, how)),
        6 => (1usize..6, 0u8..3).prop_map(|(count, how)| Op::SettleMany(count, how)),
        2 => (0usize..4).prop_map(Op::Extend),
        2 => (0usize..4).prop_map(Op::Note),
        5 => (0u8..16, proptest::sample::select(verbs.to_vec())).prop_map(|(id, verb)| Op::Act(id, verb)),
        6 => Just(Op::Expire),
        8 => prop_oneof![5 => 1i64..120, 1 => -300i64..0, 1 => 500i64..3_000].prop_map(Op::Pass),
        2 => config().prop_map(Op::Set),
        1 => any::<bool>().prop_map(Op::Pause),
        1 => (0u8..5, 1usize..9).prop_map(|(what, limit)| Op::Clear(what, limit)),
        2 => (proptest::sample::select(states.to_vec()), 1usize..4).prop_map(|(state, limit)| Op::Retry(state, limit)),
        2 => (0u8..12, child_opts()).prop_map(|(id, opts)| Op::Flow(id, opts)),
        3 => Just(Op::Reopen),
    ]
}

/// Both keepers, and what a kill may leave of the one on the disk.
struct Pair {
    runtime: tokio::runtime::Runtime,
    durability: Durability,
    disk: OnDisk,
    memory: Memory,
    of_disk: Vec<(String, String)>,
    of_memory: Vec<(String, String)>,
    /// What was held after the last answer that is on the disk for sure, and after each since.
    left: Vec<Memory>,
    ms: i64,
}

impl Pair {
    fn new(durability: Durability) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let memory = Memory::empty();
        Self {
            runtime: runtime.unwrap(),
            durability,
            disk: OnDisk::in_folder(tempfile::tempdir().unwrap(), durability),
            left: vec![memory.copy()],
            memory,
            of_disk: Vec::new(),
            of_memory: Vec::new(),
            ms: 0,
        }
    }

    fn step(mut self, op: &Op) -> Self {
        match op {
            Op::Pass(by) => self.ms += by,
            Op::Reopen => {
                self.disk = self.disk.reopen_as(self.durability);
                self.memory.restart();
            }
            Op::Kill => {
                self.disk = self.disk.killed();
                self.memory = self.survivor();
            }
            _ => {}
        }
        let mut subject = Subject::new(self.disk.jobs.as_ref(), &mut self.of_disk);
        let answer = self.runtime.block_on(subject.apply(op, self.ms));
        let wanted = now(Subject::new(&self.memory, &mut self.of_memory).apply(op, self.ms));
        assert_eq!(answer, wanted);
        assert_eq!(dump(self.disk.jobs.as_ref()), dump(&self.memory));
        assert_eq!(now(self.disk.jobs.next_due()), now(self.memory.next_due()));
        if op.is_durable() && !answer.starts_with(REFUSED) {
            self.left.clear();
        }
        self.left.push(self.memory.copy());
        self
    }

    /// What the kill left: all that is sure, and of what was answered at once as much as got there.
    fn survivor(&self) -> Memory {
        let found = dump(self.disk.jobs.as_ref());
        for one in &self.left {
            one.crash();
        }
        let fits = self.left.iter().find(|one| dump(*one) == found);
        fits.map_or_else(
            || panic!("none of what may be left: {found:#?}"),
            Memory::copy,
        )
    }
}

fn agree(ops: &[Op], durability: Durability) {
    let mut pair = Pair::new(durability);
    for (nth, op) in ops.iter().enumerate() {
        println!("step {nth} at {}: {op:?}", pair.ms);
        pair = pair.step(op);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_keeper_and_the_simplest_one_agree(ops in prop::collection::vec(op(), 1..120)) {
        agree(&ops, Durability::None);
    }
}

proptest! {
    // Each answer waits for the disk.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn killed_at_any_time_the_embedded_keeper_has_all_that_it_acknowledged(
        ops in prop::collection::vec(prop_oneof![9 => op(), 1 => Just(Op::Kill)], 1..100)
    ) {
        agree(&ops, Durability::Commit);
    }
}

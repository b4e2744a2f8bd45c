//! What every keeper does with schedules: each tick once, whatever clocks do.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll::clock::SettableClock;
use plimsoll::model::job::{JobState, NewSchedule, Payload};
use plimsoll::model::units::Timestamp;
use plimsoll::queue::schedule::{Shown, Standing};
use plimsoll::queue::{Claim, Error, Filter, JobStore, Memory, Outcome, PageAsk, Queues};
use serde_json::{Value, json};

use crate::support::{OnDisk, bar, now};

/// Queues with a clock that the test sets.
pub(crate) struct Desk {
    pub(crate) queues: Queues,
    pub(crate) clock: Arc<SettableClock>,
}

pub(crate) fn time(text: &str) -> Timestamp {
    let whole = match text.len() {
        5 => format!("2027-01-15T{text}:00Z"),
        8 => format!("2027-01-15T{text}Z"),
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    Timestamp::parse(&whole).unwrap()
}

/// Waits for what a keeper answers, also for one that waits for the disk.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

impl Desk {
    pub(crate) fn over(keeper: Arc<dyn JobStore>, at: &str) -> Self {
        let clock = Arc::new(SettableClock::at(time(at)));
        let queues = Queues::new(keeper, Arc::clone(&clock) as _);
        Self { queues, clock }
    }

    fn try_set(&self, fields: &Value) -> Result<Shown, Error> {
        let mut asked = json!({"name": "s", "jobType": "bar"});
        for (name, value) in fields.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let asked: NewSchedule = serde_json::from_str(&asked.to_string()).unwrap();
        wait(self.queues.schedule(asked))
    }

    pub(crate) fn set(&self, fields: &Value) -> Shown {
        self.try_set(fields).unwrap()
    }

    /// Sets the clock and does what is due.
    pub(crate) fn at(&self, at: &str) {
        self.clock.set(time(at));
        wait(self.queues.tick()).unwrap();
    }

    /// The ticks that are jobs, oldest first, without their day.
    pub(crate) fn ticks(&self) -> Vec<String> {
        let mut ticks: Vec<Timestamp> = self.jobs().into_keys().collect();
        ticks.sort();
        let text = |tick: &Timestamp| tick.to_string()[11..19].to_owned();
        ticks.iter().map(text).collect()
    }

    /// Jobs of ticks, with the instant from which on they may run.
    fn jobs(&self) -> BTreeMap<Timestamp, Timestamp> {
        let mut found = BTreeMap::new();
        for state in JobState::VISIBLE {
            let ask = PageAsk {
                state,
                cursor: None,
                limit: 1_000,
                filter: Filter::default(),
            };
            for job in now(self.queues.page(&bar(), &ask)).unwrap().jobs {
                let ms = job.id.rsplit(':').next().unwrap().parse().unwrap();
                let again = found.insert(Timestamp::from_millis(ms), job.run_at);
                assert_eq!(again, None, "{} twice", job.id);
            }
        }
        found
    }

    fn shown(&self) -> Shown {
        now(self.queues.one_schedule("s")).unwrap()
    }

    fn next(&self) -> Option<String> {
        let next = self.shown().schedule.next?;
        Some(next.to_string()[..16].to_owned())
    }

    /// Takes the next job and ends it.
    fn work(&self, outcome: Outcome) {
        let claim = Claim {
            max: 1,
            lease: None,
            worker: "w".to_owned(),
        };
        let claimed = now(self.queues.claim(&bar(), &claim, std::time::Duration::ZERO)).unwrap();
        let (id, token) = (&claimed[0].job.id, &claimed[0].lease.token);
        now(self.queues.settle(&bar(), id, token, outcome)).unwrap();
    }
}

type Case = fn(&Desk);

const CASES: &[(&str, Case)] = &[
    ("ticks come in time and once", ticks_come_in_time_and_once),
    ("a standstill skipped", a_standstill_is_skipped),
    (
        "a standstill made up once",
        a_standstill_is_made_up_for_once,
    ),
    (
        "a standstill made up whole",
        a_standstill_is_made_up_for_whole,
    ),
    (
        "clock ahead and back",
        a_clock_that_jumped_ahead_and_back_costs_no_tick,
    ),
    (
        "clock back a little",
        a_clock_that_goes_back_brings_no_tick_twice,
    ),
    ("replacing", another_pattern_replaces_the_one_before),
    ("the same again", the_same_schedule_again_moves_nothing),
    ("pausing", a_paused_schedule_rests_and_makes_up_for_nothing),
    ("by hand", a_run_by_hand_moves_no_tick),
    ("limits", a_schedule_ends_at_its_end_and_limit),
    (
        "jitter",
        jitter_is_the_same_for_one_tick_and_differs_between_ticks,
    ),
    ("outcomes", the_outcome_of_the_last_run_is_known),
    (
        "no overlap",
        a_tick_is_left_out_while_the_one_before_is_under_way,
    ),
    ("refusals", what_would_never_run_is_refused_with_the_reason),
    (
        "what no queue takes",
        a_tick_that_no_queue_takes_is_told_and_passes,
    ),
    ("previews", a_preview_tells_what_comes),
];

fn ticks_come_in_time_and_once(desk: &Desk) {
    let made = desk.set(&json!({"pattern": "*/10 * * * *", "timezone": "europe/berlin"}));
    assert_eq!(made.next_local.unwrap(), "2027-01-15T13:10:00+01:00");
    assert_eq!(made.schedule.asked.timezone, "Europe/Berlin");
    assert_eq!(now(desk.queues.names()), [bar()], "its queue is made");
    assert_eq!(now(desk.queues.tick()).unwrap(), Some(time("12:10")));
    desk.at("12:09:59");
    assert!(desk.ticks().is_empty());
    for at in ["12:10", "12:10", "12:10:30", "12:20", "12:30:01"] {
        desk.at(at);
    }
    assert_eq!(desk.ticks(), ["12:10:00", "12:20:00", "12:30:00"]);
    let shown = desk.shown().schedule;
    assert_eq!((shown.count, shown.last.unwrap().tick), (3, time("12:30")));
    assert_eq!(shown.next, Some(time("12:40")));
}

fn a_standstill_is_skipped(desk: &Desk) {
    desk.set(&json!({"pattern": "*/10 * * * *", "catchUp": "skip"}));
    desk.at("13:05");
    assert!(desk.ticks().is_empty(), "five minutes late is missed");
    desk.at("13:10:50");
    assert_eq!(desk.ticks(), ["13:10:00"], "under a minute is not");
    desk.at("14:20:30");
    assert_eq!(desk.ticks(), ["13:10:00", "14:20:00"]);
    assert_eq!(desk.next().unwrap(), "2027-01-15T14:30");
}

fn a_standstill_is_made_up_for_once(desk: &Desk) {
    desk.set(&json!({"pattern": "* * * * * *"}));
    desk.at("2028-06-01T00:00:00.500Z");
    let only: Vec<Timestamp> = desk.jobs().into_keys().collect();
    assert_eq!(
        only,
        [time("2028-06-01T00:00:00Z")],
        "the newest of 43 million"
    );
    assert_eq!(desk.shown().schedule.count, 1);
}

fn a_standstill_is_made_up_for_whole(desk: &Desk) {
    desk.set(&json!({"pattern": "*/10 * * * *", "catchUp": "all:4"}));
    desk.at("12:30:30");
    assert_eq!(desk.ticks(), ["12:10:00", "12:20:00", "12:30:00"]);
    desk.at("14:00");
    let newest = ["13:30:00", "13:40:00", "13:50:00", "14:00:00"];
    assert_eq!(desk.ticks()[3..], newest);
    let order: Vec<Timestamp> = desk.jobs().into_keys().collect();
    assert!(order.is_sorted());
}

/// A clock that was a month ahead at the start and is then set right.
fn a_clock_that_jumped_ahead_and_back_costs_no_tick(desk: &Desk) {
    desk.set(&json!({"pattern": "0 * * * *"}));
    desk.at("2027-02-15T00:00:10Z");
    assert_eq!(desk.next().unwrap(), "2027-02-15T01:00");
    desk.at("12:30");
    assert_eq!(
        desk.next().unwrap(),
        "2027-01-15T13:00",
        "nothing waits for February"
    );
    for at in ["13:00", "14:00:05", "13:30", "14:00:10", "15:00"] {
        desk.at(at);
    }
    assert_eq!(
        desk.ticks(),
        ["13:00:00", "14:00:00", "15:00:00", "00:00:00"]
    );
    // The tick that ran in the wrong month does not run again when its time really comes.
    desk.at("2027-02-14T23:00:01Z");
    desk.at("2027-02-15T00:00:00Z");
    desk.at("2027-02-15T00:59:00Z");
    let midnight = time("2027-02-15");
    let jobs = desk.jobs();
    assert!(jobs.contains_key(&midnight));
    assert_eq!(desk.next().unwrap(), "2027-02-15T01:00");
    assert_eq!(jobs.len(), 5, "{jobs:?}");
}

fn a_clock_that_goes_back_brings_no_tick_twice(desk: &Desk) {
    desk.set(&json!({"pattern": "*/10 * * * *", "opts": {"removeOnComplete": true}}));
    for at in ["12:10", "12:20"] {
        desk.at(at);
        desk.work(Outcome::Complete(Payload::default()));
    }
    for at in ["12:05", "12:10", "12:20", "12:29"] {
        desk.at(at);
    }
    assert!(desk.ticks().is_empty(), "both ran, and are gone");
    desk.at("12:30");
    assert_eq!(desk.ticks(), ["12:30:00"]);
}

fn another_pattern_replaces_the_one_before(desk: &Desk) {
    desk.set(&json!({"pattern": "*/10 * * * *"}));
    desk.at("12:10");
    let changed = desk.set(&json!({"pattern": "*/15 * * * *"}));
    assert_eq!(
        (changed.schedule.count, changed.schedule.next),
        (0, Some(time("12:15")))
    );
    for at in ["12:15", "12:20", "12:30", "12:40"] {
        desk.at(at);
    }
    assert_eq!(desk.ticks(), ["12:10:00", "12:15:00", "12:30:00"]);
    assert_eq!(now(desk.queues.schedules()).unwrap().len(), 1);
    now(desk.queues.unschedule("s")).unwrap();
    desk.at("13:00");
    assert_eq!(desk.ticks().len(), 3, "its jobs stay, and no more come");
    let gone = now(desk.queues.unschedule("s"));
    assert!(gone.unwrap_err().to_string().contains("no schedule \"s\""));
}

fn the_same_schedule_again_moves_nothing(desk: &Desk) {
    let daily = json!({"every": 86_400_000, "data": {"v": 1}});
    let first = desk.set(&daily).schedule.next;
    assert_eq!(first, Some(time("2027-01-16T12:00:00Z")));
    desk.at("2027-01-16T00:00:00Z");
    let again = desk.set(&json!({"every": 86_400_000, "data": {"v": 2}}));
    assert_eq!(
        again.schedule.next, first,
        "a start of the program is no new beginning"
    );
    desk.at("2027-01-16T12:00:00Z");
    let job = now(desk.queues.get(&bar(), &again_id(first))).unwrap();
    assert_eq!(job.data.text(), r#"{"v":2}"#);
    assert_eq!((job.name.as_str(), job.opts.delay), ("s", None));
    now(desk.queues.enable_schedule("s", false)).unwrap();
    assert_eq!(desk.set(&daily).schedule.standing(), Standing::Paused);
    let mut on = daily;
    on["enabled"] = json!(true);
    assert_eq!(desk.set(&on).schedule.standing(), Standing::Active);
}

fn again_id(tick: Option<Timestamp>) -> String {
    format!("schedule:s:{}", tick.unwrap().as_millis())
}

fn a_paused_schedule_rests_and_makes_up_for_nothing(desk: &Desk) {
    desk.set(&json!({"pattern": "*/10 * * * *", "catchUp": "all"}));
    desk.at("12:10");
    let paused = now(desk.queues.enable_schedule("s", false)).unwrap();
    assert_eq!(
        (paused.schedule.standing(), paused.schedule.next),
        (Standing::Paused, None)
    );
    desk.at("13:05");
    let resumed = now(desk.queues.enable_schedule("s", true)).unwrap();
    assert_eq!(resumed.schedule.next, Some(time("13:10")));
    desk.at("13:10");
    assert_eq!(desk.ticks(), ["12:10:00", "13:10:00"]);
    let made = desk.set(&json!({"pattern": "0 0 * * *", "enabled": false}));
    assert_eq!(made.schedule.standing(), Standing::Paused);
}

fn a_run_by_hand_moves_no_tick(desk: &Desk) {
    desk.set(&json!({"pattern": "0 0 * * *", "limit": 3}));
    let first = now(desk.queues.run_schedule("s")).unwrap();
    let second = now(desk.queues.run_schedule("s")).unwrap();
    assert_eq!(
        (first.id.as_str(), second.id.as_str()),
        ("schedule:s:run:1", "schedule:s:run:2")
    );
    let shown = desk.shown();
    assert_eq!((shown.schedule.count, shown.schedule.by_hand), (0, 2));
    assert_eq!(shown.last_state, Some(JobState::Waiting));
    assert!(shown.schedule.last.unwrap().by_hand);
    assert_eq!(desk.next().unwrap(), "2027-01-16T00:00");
}

fn a_schedule_ends_at_its_end_and_limit(desk: &Desk) {
    desk.set(
        &json!({"pattern": "*/10 * * * *", "startAt": "2027-01-15T12:20:00Z",
        "endAt": "2027-01-15T12:40:00Z"}),
    );
    for at in ["12:10", "12:20", "12:30", "12:40", "12:50"] {
        desk.at(at);
    }
    assert_eq!(desk.ticks(), ["12:20:00", "12:30:00", "12:40:00"]);
    assert_eq!(desk.shown().schedule.standing(), Standing::Ended);
    let every =
        json!({"every": 60_000, "startAt": "2027-01-15T13:00:30Z", "limit": 2, "catchUp": "all"});
    desk.set(&every);
    desk.at("15:00:30");
    assert_eq!(
        desk.ticks()[3..],
        ["14:59:30", "15:00:30"],
        "the newest two of many"
    );
    assert_eq!(desk.shown().schedule.standing(), Standing::Ended);
    assert_eq!(
        desk.set(&every).schedule.standing(),
        Standing::Ended,
        "two stay two"
    );
}

fn jitter_is_the_same_for_one_tick_and_differs_between_ticks(desk: &Desk) {
    desk.set(&json!({"pattern": "* * * * *", "jitter": 30_000, "catchUp": "all:500"}));
    let told = now(desk.queues.preview("s", 200)).unwrap();
    let waits: Vec<i64> = told
        .iter()
        .map(|tick| tick.runs_at.as_millis() - tick.at.as_millis())
        .collect();
    assert!(waits.iter().all(|wait| (0..=30_000).contains(wait)));
    let early = waits.iter().filter(|wait| **wait < 15_000).count();
    assert!(
        (60..140).contains(&early),
        "spread over the whole: {early} of 200"
    );
    desk.at("12:01");
    let (tick, runs_at) = desk.jobs().pop_first().unwrap();
    assert_eq!((tick, runs_at), (told[0].at, told[0].runs_at));
}

fn the_outcome_of_the_last_run_is_known(desk: &Desk) {
    let removed =
        json!({"pattern": "*/10 * * * *", "opts": {"removeOnComplete": true, "attempts": 1}});
    desk.set(&removed);
    desk.at("12:10");
    assert_eq!(desk.shown().last_state, Some(JobState::Waiting));
    desk.work(Outcome::Complete(Payload::default()));
    desk.at("12:10:01");
    let shown = desk.shown();
    assert_eq!(
        shown.last_state,
        Some(JobState::Completed),
        "although it is gone"
    );
    desk.at("12:20");
    let failure = serde_json::from_value(json!({"message": "no disk"})).unwrap();
    desk.work(Outcome::Fail(failure));
    desk.at("12:20:01");
    let shown = desk.shown();
    assert_eq!(
        (shown.last_state, shown.last_reason.as_deref()),
        (Some(JobState::Dead), Some("no disk"))
    );
    assert_eq!(
        shown.schedule.last.unwrap().ended.unwrap().at,
        time("12:20")
    );
}

fn a_tick_is_left_out_while_the_one_before_is_under_way(desk: &Desk) {
    desk.set(&json!({"pattern": "*/10 * * * *", "opts": {"deduplication": {"id": "s"}}}));
    desk.at("12:10");
    desk.at("12:20");
    assert_eq!(desk.ticks(), ["12:10:00"]);
    let told = desk.shown().last_reason.unwrap();
    assert!(told.contains("still under way"), "{told}");
    desk.work(Outcome::Complete(Payload::default()));
    desk.at("12:30");
    assert_eq!(desk.ticks(), ["12:10:00", "12:30:00"]);
}

fn what_would_never_run_is_refused_with_the_reason(desk: &Desk) {
    for (fields, says) in [
        (
            json!({"pattern": "0 0 30 2 *"}),
            "never fires: no date fits",
        ),
        (
            json!({"every": 1000, "endAt": "2020-01-01T00:00:00Z"}),
            "has passed",
        ),
        (
            json!({"pattern": "0 0 1 1 *", "endAt": "2027-06-01T00:00:00Z"}),
            "no tick is from now to its end",
        ),
        (
            json!({"pattern": "61 * * * *"}),
            "its minute is \"61\"; write 0 to 59",
        ),
        (
            json!({"pattern": "* * * * *", "timezone": "Europe/Belin"}),
            "did you mean Europe/Berlin",
        ),
        (
            json!({"pattern": "* * * * *", "opts": {"jobId": "x"}}),
            "opts.jobId",
        ),
        (
            json!({"pattern": "* * * * *", "every": 1000}),
            "one of the two",
        ),
        (
            json!({"pattern": "* * * * *", "startAt": i64::MAX}),
            "never fires",
        ),
    ] {
        let told = desk.try_set(&fields).unwrap_err().to_string();
        assert!(told.contains(says), "{fields}: {told}");
    }
    assert!(now(desk.queues.schedules()).unwrap().is_empty());
    assert!(
        now(desk.queues.names()).is_empty(),
        "what is refused makes no queue"
    );
    let unknown = now(desk.queues.preview("s", 1)).unwrap_err();
    assert!(matches!(unknown, Error::Schedule(_)), "{unknown}");
}

fn a_tick_that_no_queue_takes_is_told_and_passes(desk: &Desk) {
    desk.set(&json!({"pattern": "*/10 * * * *", "data": {"x": "y".repeat(200)}}));
    let small = serde_json::from_value(json!({"maxPayload": 100})).unwrap();
    now(desk
        .queues
        .configure(&bar(), plimsoll::queue::Setting::Config(small)))
    .unwrap();
    desk.at("12:10");
    assert!(desk.ticks().is_empty());
    let told = desk.shown().last_reason.unwrap();
    assert!(told.contains("maxPayload"), "{told}");
    let usual = serde_json::from_value(json!({})).unwrap();
    now(desk
        .queues
        .configure(&bar(), plimsoll::queue::Setting::Config(usual)))
    .unwrap();
    desk.at("12:20");
    assert_eq!(desk.ticks(), ["12:20:00"]);
}

fn a_preview_tells_what_comes(desk: &Desk) {
    desk.set(&json!({"pattern": "30 2 * * *", "timezone": "America/New_York", "limit": 3}));
    desk.clock.set(time("2027-03-13T12:00:00Z"));
    let told = now(desk.queues.preview("s", 10)).unwrap();
    assert_eq!(told.len(), 3, "the limit bounds it");
    desk.set(&json!({"pattern": "30 2 * * *", "timezone": "America/New_York"}));
    let told = now(desk.queues.preview("s", 2)).unwrap();
    assert_eq!(
        told[0].local, "2027-03-14T03:00:00-04:00",
        "2:30 is not shown that day"
    );
    assert_eq!(told[1].local, "2027-03-15T02:30:00-04:00");
    assert!(matches!(
        now(desk.queues.preview("s", 1_001)),
        Err(Error::TooMany { .. })
    ));
}

#[test]
fn schedules_on_the_keeper_in_memory_do_what_they_do_on_every_keeper() {
    for (name, case) in CASES {
        println!("{name}");
        case(&Desk::over(Arc::new(Memory::empty()), "12:00"));
    }
}

#[test]
fn schedules_on_the_embedded_keeper_do_what_they_do_on_every_keeper() {
    for (name, case) in CASES {
        println!("{name}");
        let disk = OnDisk::new();
        let keeper: Arc<dyn JobStore> = Arc::clone(&disk.jobs) as _;
        case(&Desk::over(keeper, "12:00"));
    }
}

#[test]
fn schedules_are_there_after_a_restart_and_in_a_backup() {
    let kept = OnDisk::new();
    let keeper: Arc<dyn JobStore> = Arc::clone(&kept.jobs) as _;
    let desk = Desk::over(keeper, "12:00");
    desk.set(&json!({"pattern": "*/10 * * * *", "catchUp": "all", "jitter": 5}));
    desk.set(&json!({"name": "ä/b", "every": 300_000}));
    desk.at("12:10");
    let before = now(desk.queues.schedules()).unwrap();
    drop(desk);
    let mut file = Vec::new();
    kept.store.backup(&mut file, |_| ()).unwrap();
    let kept = kept.reopen();
    let keeper: Arc<dyn JobStore> = Arc::clone(&kept.jobs) as _;
    let desk = Desk::over(keeper, "12:10");
    assert_eq!(now(desk.queues.schedules()).unwrap(), before);
    let to = kept.dir.path().join("restored");
    plimsoll::store::restore(&to, &mut file.as_slice(), |_| ()).unwrap();
    let store = crate::support::open_store(&to);
    let jobs =
        plimsoll::queue::Embedded::open(&store, plimsoll::queue::Options::default()).unwrap();
    let restored = Desk::over(Arc::new(jobs), "12:10");
    assert_eq!(now(restored.queues.schedules()).unwrap(), before);
}

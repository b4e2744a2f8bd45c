use std::sync::Arc;

use super::*;
use crate::clock::{Clock, SettableClock};
use crate::config::{self, Config, Environment, Flags};
use crate::model::outcome::Kept as Verdict;
use crate::model::series::{Kind, SeriesKey};
use crate::store::{Bucket, Tier};
use crate::work::app::store_options;
use crate::work::project::Projector;
use crate::work::targets::WatchedTarget;

const TARGET: &str = "made-up/one";
const GIB: f64 = 1_073_741_824.0;

fn day(n: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + n * 86_400_000)
}

fn config(folder: &std::path::Path) -> Config {
    let environment: Environment = [("HOME", "/nowhere")].into_iter().collect();
    let mut config = config::load(&Flags::default(), &environment).unwrap();
    folder.clone_into(&mut config.data_dir);
    config
}

/// A store, a target with memory alone, and a clock that is set by hand.
struct Stage {
    projector: Projector,
    target: WatchedTarget,
    clock: Arc<SettableClock>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let store = Arc::new(Store::open(store_options(&config)).unwrap());
        let clock = Arc::new(SettableClock::at(day(0)));
        let target = WatchedTarget {
            name: TARGET.to_owned(),
            options: None,
            has_host: false,
            limits: std::collections::BTreeMap::default(),
            mountpoint: Some("/".to_owned()),
        };
        let projector = Projector {
            config: Arc::new(config),
            clock: Arc::<SettableClock>::clone(&clock) as Arc<dyn Clock>,
            store,
            board: Arc::new(Board::new([TARGET.to_owned()], Vec::new())),
            targets: vec![target.clone()],
        };
        Self {
            projector,
            target,
            clock,
            _folder: folder,
        }
    }

    /// Writes the hours of days `from` to `until`; `usage` is in GiB.
    fn record(&self, from: i64, until: i64, usage: impl Fn(i64) -> f64) {
        let hours = (from * 24..until * 24).map(|hour| {
            let at =
                day(0).plus(Millis(u64::try_from(hour).unwrap() * Millis::HOUR.0).as_duration());
            let value = usage(hour / 24) * GIB;
            Bucket::gauge(at, [value; 4], 12)
        });
        let (key, buckets) = (
            SeriesKey::bare("host_memory_used_bytes"),
            hours.collect::<Vec<_>>(),
        );
        let history = self.projector.store.history();
        history
            .append_rollups(TARGET, Tier::Hour, &key, Kind::Gauge, &buckets)
            .unwrap();
    }

    async fn run(&self, on: i64) {
        self.clock.set(day(on));
        self.projector.run(&self.target).await.unwrap();
    }

    fn review(&self) -> Review {
        let state = self.projector.board.target(TARGET).unwrap();
        state.review(Resource::Memory)
    }

    fn kept(&self) -> Vec<Promise> {
        let kept = Kept::recall(&self.projector.store, TARGET).unwrap();
        kept.of(Resource::Memory)
    }
}

/// Slow growth under noise that looks like chance.
fn calm(day: i64) -> f64 {
    let noise = (day * 7_919 % 101) as f64 / 101.0 - 0.5;
    20.0 + 0.01 * day as f64 + noise
}

#[tokio::test]
async fn promises_are_kept_scored_when_due_and_learnt_from() {
    let stage = Stage::new();
    stage.record(0, 40, calm);
    stage.run(40).await;
    assert_eq!(stage.kept().len(), 1);
    assert_eq!(
        stage.review(),
        Review::none(Resource::Memory),
        "nothing was promised before"
    );
    // A second run of a day adds nothing.
    stage.clock.set(day(40).plus(Millis::HOUR.as_duration()));
    stage.projector.run(&stage.target).await.unwrap();
    assert_eq!(stage.kept().len(), 1);
    for today in 41..=54 {
        stage.record(today - 1, today, calm);
        stage.run(today).await;
    }
    let before = stage.review();
    assert_eq!((before.promises, before.since), (14, Some(day(40))));
    let scored: Vec<(u16, usize)> = before.leads.iter().map(|l| (l.lead, l.scored)).collect();
    assert_eq!(scored, [(1, 14), (3, 12), (7, 8), (14, 1)]);
    assert_ne!(before.verdict, Verdict::TooSure, "{before:?}");
    let learnt = stage.kept().last().unwrap().experience.clone();
    assert_eq!(
        learnt, before.experience,
        "the promise says what it was made with"
    );

    // Then usage goes where no past pointed.
    for today in 55..=66 {
        stage.record(today - 1, today, |day| calm(day) + 1.5 * (day - 53) as f64);
        stage.run(today).await;
    }
    let after = stage.review();
    let band = |review: &Review| review.experience.as_ref().unwrap().band;
    assert!(
        band(&after) > band(&before).max(1.1),
        "{before:?} {after:?}"
    );
    assert_eq!(after.verdict, Verdict::TooSure);
    assert!(after.leads.iter().all(|lead| lead.bias < 0.0), "{after:?}");

    // A restart shows what was known.
    let board = Board::new([TARGET.to_owned()], Vec::new());
    recall(&stage.projector.store, &board).unwrap();
    assert_eq!(
        board.target(TARGET).unwrap().review(Resource::Memory),
        after
    );
}

#[tokio::test]
async fn a_made_up_past_is_reviewed_as_if_it_had_been_watched() {
    let stage = Stage::new();
    stage.record(0, 180, calm);
    let span = crate::model::capacity::SyntheticSpan {
        from: day(0),
        until: day(180),
    };
    let history = stage.projector.store.history();
    history.mark_synthetic(TARGET, span).unwrap();
    stage.run(180).await;
    let review = stage.review();
    assert_eq!(review.promises, 13, "twelve of the past and today's");
    assert_eq!(review.synthetic, Some(span));
    let scored: Vec<(u16, usize)> = review.leads.iter().map(|l| (l.lead, l.scored)).collect();
    let want = [
        (1, 12),
        (3, 12),
        (7, 12),
        (14, 11),
        (30, 10),
        (60, 7),
        (90, 4),
    ];
    assert_eq!(scored, want);
    let promise = &stage.kept()[0];
    assert_eq!(promise.origin, day(60));
    let size = serde_json::to_string(promise).unwrap().len();
    assert!(size < 2_600, "{size} bytes: a year of them must stay small");
    // They are made up once.
    stage.run(181).await;
    assert_eq!(stage.kept().len(), 14);
}

#[test]
fn old_promises_are_thinned_to_one_a_week_and_dropped_after_thirteen_months() {
    let mut days = BTreeSet::new();
    let mut most = 0;
    for today in 0..800 {
        days.insert(day(today));
        days = kept_days(days.iter().copied(), day(today));
        most = most.max(days.len());
    }
    assert!((97..=98).contains(&most), "{most}");
    let ages: Vec<i64> = days
        .iter()
        .rev()
        .map(|d| (day(799).as_millis() - d.as_millis()) / 86_400_000)
        .collect();
    assert_eq!(ages[..46], (0..46).collect::<Vec<_>>());
    assert!(
        ages[47..].windows(2).all(|pair| pair[1] - pair[0] == 7),
        "{ages:?}"
    );
    assert!(
        *ages.last().unwrap() > 385 && *ages.last().unwrap() <= 396,
        "{ages:?}"
    );
}

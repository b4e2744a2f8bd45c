//! From readings to history: one watcher a target.
//!
//! For: asking each source in its turn, keeping what one gives when another fails, and telling the
//! history and the board. Not for: how a source reads (`postgres`, `host`) nor for what the values
//! mean (`work::project`).
//!
//! The loop in [`watch`] only owns time; [`Watcher::scrape`] and [`Watcher::look`] own meaning and
//! are tested alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::sync::watch::Receiver;

use crate::clock::Clock;
use crate::model::database::{ActivitySample, Snapshot};
use crate::model::series::{Labels, Metric, Sample, SampleSink, Scrape};
use crate::model::target::Reach;
use crate::model::units::{Millis, Timestamp};
use crate::work::activity::SessionHistory;
use crate::work::agenda::{Agenda, Due, Pace};
use crate::work::board::Board;
use crate::work::fault::{News, Part};
use crate::work::scrape::{Requests, Scraped};

/// A reading this close to the grid, as a share of the interval, is stamped with the grid's time:
/// stamps then repeat exactly, which costs nothing to store, and no reading is off by more.
const SNAP: f64 = 0.02;

/// Between two stamps at least.
const MOMENT: Duration = Duration::from_millis(1);

/// Whether the target answered.
const UP: Metric = Metric::gauge(
    "plimsoll_target_up",
    "1 if the last scrape of the target succeeded.",
);

/// How long a scrape took.
const DURATION: Metric = Metric::gauge(
    "plimsoll_scrape_duration_seconds",
    "Time that the last scrape of the target took, all sources together.",
)
.exact_to(1e-6);

/// What the metrics of this module mean.
pub(crate) const METRICS: [&Metric; 2] = [&UP, &DURATION];

/// What one source gave.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    /// Values for the history.
    pub(crate) samples: Vec<Sample>,
    /// A look at the catalogs, when one was due.
    pub(crate) snapshot: Option<Snapshot>,
}

/// Why a source gave nothing: text for people, with the cure at the end.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Hears of each fresh snapshot of a target.
pub(crate) type OnSnapshot = Box<dyn Fn(&str, Snapshot) + Send>;

/// Gives one set of readings. `host`, `postgres` and our own counters stand behind it.
pub(crate) trait Source: Send {
    /// What the log calls it.
    fn name(&self) -> &'static str;

    /// Whether the target counts as down when this source fails.
    fn is_target(&self) -> bool {
        false
    }

    /// Reads everything that is due at `at`.
    fn read(&mut self, at: Timestamp) -> BoxFuture<'_, Result<Readings, Failure>>;

    /// One quick look at what sessions do; `None` where there is nothing to see.
    fn look(&mut self) -> BoxFuture<'_, Option<ActivitySample>> {
        Box::pin(std::future::ready(None))
    }
}

/// Everything that watching one target needs.
pub(crate) struct Watcher {
    target: String,
    sources: Vec<Box<dyn Source>>,
    sinks: Vec<Arc<dyn SampleSink>>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    sessions: SessionHistory,
    /// Tells what the checks and the log make of a fresh snapshot.
    on_snapshot: OnSnapshot,
    /// Whether it watches this process itself, which is no target.
    is_own: bool,
}

impl Watcher {
    /// A watcher that has not read anything yet.
    pub(crate) fn new(
        target: String,
        sources: Vec<Box<dyn Source>>,
        sinks: Vec<Arc<dyn SampleSink>>,
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
        on_snapshot: OnSnapshot,
    ) -> Self {
        let sessions = SessionHistory::default();
        Self {
            target,
            sources,
            sinks,
            board,
            clock,
            sessions,
            on_snapshot,
            is_own: false,
        }
    }

    /// The same watcher, but of this process itself.
    pub(crate) fn of_this_process(self) -> Self {
        Self {
            is_own: true,
            ..self
        }
    }

    /// Reads all sources, keeps what they gave, and says how the target is.
    pub(crate) async fn scrape(&mut self, at: Timestamp) -> Scraped {
        let mut samples = Vec::new();
        let mut snapshot = None;
        let mut down = None;
        let watched = self.sources.iter().any(|source| source.is_target());
        let started = crate::clock::Stopwatch::start();
        for source in &mut self.sources {
            match source.read(at).await {
                Ok(readings) => {
                    samples.extend(readings.samples);
                    snapshot = readings.snapshot.or(snapshot);
                }
                Err(failure) if source.is_target() => down = Some(failure.to_string()),
                Err(failure) => {
                    let (target, source) = (&self.target, source.name());
                    tracing::warn!(target, source, error = %failure, "a source gave nothing");
                }
            }
        }
        if watched {
            samples.push(UP.sample(Labels::none(), f64::from(u8::from(down.is_none()))));
            samples.extend(self.sessions.samples());
        }
        samples.push(DURATION.sample(Labels::none(), started.elapsed().as_secs_f64()));
        let scrape = Scrape {
            target: self.target.clone(),
            at,
            samples,
        };
        let fault = self.keep(&scrape);
        let scraped = Scraped {
            samples: scrape.samples.len(),
            failed: down.clone().or(fault),
        };
        self.show(scrape, snapshot.is_some(), down);
        if let Some(snapshot) = snapshot {
            (self.on_snapshot)(&self.target, snapshot);
        }
        scraped
    }

    /// Takes one look at the sessions for the active session history.
    pub(crate) async fn look(&mut self) {
        for source in &mut self.sources {
            if let Some(sample) = source.look().await {
                self.sessions.add(self.clock.now(), &sample);
            }
        }
    }

    /// Hands a scrape to every sink; one that fails does not stop the others, and is told.
    fn keep(&self, scrape: &Scrape) -> Option<String> {
        let failed = self.sinks.iter().filter_map(|sink| sink.take(scrape).err());
        let fault = failed
            .map(|error| error.to_string())
            .reduce(|a, b| format!("{a}; {b}"));
        let error = fault.clone().unwrap_or_default();
        let (board, target) = (&self.board, &self.target);
        match board.set_fault(Part::History, Some(target), fault.clone()) {
            News::Broke => tracing::error!(target, error, "the history refuses samples"),
            News::Mended => tracing::info!(target, "the history takes samples again"),
            News::Same => {}
        }
        fault
    }

    fn show(&mut self, mut scrape: Scrape, has_catalog: bool, down: Option<String>) {
        if self.is_own {
            self.board.set_own(scrape);
            return;
        }
        // `/metrics` tells of reach by itself, also when there is no scrape to show.
        scrape
            .samples
            .retain(|sample| sample.series.metric != UP.name);
        let (at, shares) = (scrape.at, self.sessions.shares());
        let target = self.target.clone();
        self.board.update(&target, |state| {
            state.wait_shares = shares.into();
            state.reach = match (down, &state.reach) {
                (None, Reach::Down { since, .. }) => {
                    let gap_ms = at.as_millis() - since.as_millis();
                    tracing::info!(target, gap_ms, "the target answers again");
                    Reach::Up
                }
                (None, _) => Reach::Up,
                (Some(reason), Reach::Down { since, .. }) => Reach::Down {
                    since: *since,
                    reason,
                },
                (Some(reason), _) => {
                    tracing::warn!(target, reason, "the target does not answer");
                    Reach::Down { since: at, reason }
                }
            };
            if state.reach == Reach::Up {
                state.last_scrape_at = Some(at);
            }
            let scrape = Arc::new(scrape);
            if has_catalog {
                state.catalog_scrape = Some(Arc::clone(&scrape));
            }
            state.scrape = Some(scrape);
        });
    }
}

/// Watches one target until `stop` turns true. The first scrape is at once, the next on the grid; who
/// asks for one between them gets it, and the grid stays.
pub(crate) async fn watch(
    mut watcher: Watcher,
    pace: Pace,
    mut requests: Requests,
    mut stop: Receiver<bool>,
) {
    let clock = Arc::clone(&watcher.clock);
    let mut agenda = Agenda::from(clock.now(), pace);
    // Before the first there was none.
    let mut last = Timestamp::from_millis(i64::MIN);
    let mut waiting = Vec::new();
    // Asked each time: a server that is slow enough leaves no pause between two things due.
    while !stop.has_changed().unwrap_or(true) {
        // Also where something is always due: who asks is told of the next scrape, whosever it is.
        waiting.extend(requests.waiting());
        let now = clock.now();
        match agenda.due(now) {
            Due::Look => {
                watcher.look().await;
                agenda.looked(clock.now());
            }
            Due::Scrape => {
                let wanted = snapped(now, pace.scrape);
                last = stamp(wanted, now, last, pace.scrape);
                tell(&mut waiting, &watcher.scrape(last).await);
                agenda.scraped(clock.now());
            }
            Due::Nothing(_) if !waiting.is_empty() => {
                last = stamp(now, now, last, pace.scrape);
                tell(&mut waiting, &watcher.scrape(last).await);
            }
            Due::Nothing(pause) => tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Some(reply) = requests.next() => waiting.push(reply),
                _ = stop.changed() => return,
            },
        }
    }
}

/// Tells all who asked, of whom any may have gone meanwhile.
fn tell(waiting: &mut Vec<oneshot::Sender<Scraped>>, scraped: &Scraped) {
    for reply in waiting.drain(..) {
        let _ = reply.send(scraped.clone());
    }
}

/// `wanted`, or else the first moment after the last stamp: two readings never have one stamp, nor
/// the later the earlier one. A last stamp beyond what snapping explains is of a clock that was set back.
fn stamp(wanted: Timestamp, now: Timestamp, last: Timestamp, step: Millis) -> Timestamp {
    let latest = now.plus(step.as_duration().mul_f64(SNAP));
    if wanted <= last && last <= latest {
        now.max(last.plus(MOMENT))
    } else {
        wanted
    }
}

/// `at`, or the multiple of `step` that it is close to.
fn snapped(at: Timestamp, step: Millis) -> Timestamp {
    let below = at.floor_to(step);
    let above = below.plus(step.as_duration());
    let near = step.as_duration().mul_f64(SNAP);
    if at.since(below) <= near {
        below
    } else if above.since(at) <= near {
        above
    } else {
        at
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::clock::SettableClock;

    const VALUE: Metric = Metric::gauge("test_value", "A value.");

    /// Plays what it is given, one entry a scrape; `None` fails.
    struct Scripted(Vec<Option<f64>>, bool);

    impl Source for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }
        fn is_target(&self) -> bool {
            self.1
        }
        fn read(&mut self, _: Timestamp) -> BoxFuture<'_, Result<Readings, Failure>> {
            let value = self.0.remove(0);
            Box::pin(std::future::ready(match value {
                Some(value) => Ok(Readings {
                    samples: vec![VALUE.sample(Labels::none(), value)],
                    snapshot: None,
                }),
                None => Err("connection refused; is the server running?".into()),
            }))
        }
    }

    #[derive(Default)]
    struct Kept(Mutex<Vec<Scrape>>);

    impl SampleSink for Kept {
        fn take(&self, scrape: &Scrape) -> Result<(), Failure> {
            self.0.lock().unwrap().push(scrape.clone());
            Ok(())
        }
    }

    struct Full;

    impl SampleSink for Full {
        fn take(&self, _: &Scrape) -> Result<(), Failure> {
            Err("no space left on device".into())
        }
    }

    fn watcher(sources: Vec<Box<dyn Source>>, sinks: Vec<Arc<dyn SampleSink>>) -> Watcher {
        let clock = Arc::new(SettableClock::at(Timestamp::from_millis(0)));
        let board = Arc::new(Board::new(["t".to_owned()], Vec::new()));
        Watcher::new(
            "t".into(),
            sources,
            sinks,
            board,
            clock,
            Box::new(|_, _| {}),
        )
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[tokio::test]
    async fn a_dead_target_costs_its_own_readings_and_its_return_is_noticed() {
        let kept = Arc::new(Kept::default());
        let sinks: Vec<Arc<dyn SampleSink>> = vec![Arc::clone(&kept) as _];
        let postgres = Scripted(vec![Some(1.0), None, None, Some(2.0)], true);
        let host = Scripted(vec![Some(5.0); 4], false);
        let mut watcher = watcher(vec![Box::new(postgres), Box::new(host)], sinks);
        let board = Arc::clone(&watcher.board);
        watcher.scrape(at(0)).await;
        assert_eq!(board.target("t").unwrap().reach, Reach::Up);
        watcher.scrape(at(10)).await;
        watcher.scrape(at(20)).await;
        match board.target("t").unwrap().reach {
            Reach::Down { since, reason } => {
                assert_eq!(since, at(10));
                assert!(reason.contains("refused"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(board.target("t").unwrap().last_scrape_at, Some(at(0)));
        watcher.scrape(at(30)).await;
        assert_eq!(board.target("t").unwrap().reach, Reach::Up);
        let scrapes = kept.0.lock().unwrap();
        let values = |i: usize, name: &str| {
            let found = scrapes[i]
                .samples
                .iter()
                .filter(|s| s.series.metric == name);
            found.map(|s| s.value).collect::<Vec<_>>()
        };
        assert_eq!(values(1, "test_value"), [5.0]);
        assert_eq!(values(1, "plimsoll_target_up"), [0.0]);
        assert_eq!(values(3, "test_value"), [2.0, 5.0]);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_does_not_stop_the_other_sinks() {
        let kept = Arc::new(Kept::default());
        let sinks: Vec<Arc<dyn SampleSink>> = vec![Arc::clone(&kept) as _, Arc::new(Full)];
        let mut watcher = watcher(vec![Box::new(Scripted(vec![Some(1.0)], true))], sinks);
        watcher.scrape(at(0)).await;
        assert_eq!(kept.0.lock().unwrap().len(), 1);
        let faults = watcher.board.faults();
        let [fault] = &faults[..] else {
            panic!("{faults:?}");
        };
        assert_eq!(
            (fault.part, fault.target.as_deref()),
            (Part::History, Some("t"))
        );
        assert!(fault.reason.contains("space"), "{fault}");
    }

    #[tokio::test]
    async fn who_asks_gets_a_scrape_now_with_a_stamp_of_its_own() {
        let kept = Arc::new(Kept::default());
        let sinks: Vec<Arc<dyn SampleSink>> = vec![Arc::clone(&kept) as _];
        let watcher = watcher(
            vec![Box::new(Scripted(vec![Some(1.0), Some(2.0), None], true))],
            sinks,
        );
        let pace = Pace {
            scrape: Millis(3_600_000),
            look: Millis(0),
        };
        let (asker, requests) = crate::work::scrape::channel();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let watching = tokio::spawn(watch(watcher, pace, requests, stopped));
        // Who asks before the first regular scrape is told of that one.
        let first = asker.scrape().await.unwrap();
        let good = asker.scrape().await.unwrap();
        let bad = asker.scrape().await.unwrap();
        assert_eq!((first.failed, good.failed), (None, None));
        assert_eq!(good.samples, kept.0.lock().unwrap()[1].samples.len());
        assert!(bad.failed.unwrap().contains("refused"));
        let stamps: Vec<i64> = kept
            .0
            .lock()
            .unwrap()
            .iter()
            .map(|s| s.at.as_millis())
            .collect();
        assert_eq!(stamps, [0, 1, 2], "the clock stands, stamps do not");
        stop.send_replace(true);
        watching.await.unwrap();
        assert_eq!(asker.scrape().await, None, "it has stopped");
    }

    #[test]
    fn stamps_rise_whatever_is_asked_near_the_grid_and_follow_a_clock_that_is_set_back() {
        let step = Millis(10_000);
        let stamp = |wanted: i64, now: i64, last: i64| {
            let [wanted, now, last] = [wanted, now, last].map(Timestamp::from_millis);
            stamp(wanted, now, last, step).as_millis()
        };
        assert_eq!(stamp(10_000, 10_050, 5_000), 10_000);
        // Somebody was told of 10.001 just before the regular one.
        assert_eq!(stamp(10_000, 10_050, 10_001), 10_050);
        // The regular one was early and has the grid's time; then somebody asks, or it comes again.
        assert_eq!(stamp(9_910, 9_910, 10_000), 10_001);
        assert_eq!(stamp(10_000, 10_020, 10_000), 10_020);
        assert_eq!(stamp(10_000, 10_000, 3_610_000), 10_000, "an hour back");
    }

    #[test]
    fn readings_near_the_grid_are_stamped_with_it() {
        let step = Millis(10_000);
        assert_eq!(
            snapped(Timestamp::from_millis(20_150), step).as_millis(),
            20_000
        );
        assert_eq!(
            snapped(Timestamp::from_millis(19_900), step).as_millis(),
            20_000
        );
        assert_eq!(
            snapped(Timestamp::from_millis(21_000), step).as_millis(),
            21_000
        );
    }
}

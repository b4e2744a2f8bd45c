//! Rankings and comparisons over a history made by hand, so that every figure is known.

use super::*;
use crate::model::database::{Snapshot, Statement};
use crate::model::ranking::Deploy;
use crate::model::series::{Metric, Scrape};
use crate::store::Options;

const MINUTE: i64 = 60_000;
const WEEK: i64 = 7 * 86_400_000;
/// A whole hour.
const NOW: i64 = 1_700_006_400_000;

const fn counter(name: &'static str) -> Metric {
    Metric::counter(name, "A counter.")
}

const COUNTERS: [Metric; METRICS.len()] = [
    counter(METRICS[0]),
    counter(METRICS[1]),
    counter(METRICS[2]),
    counter(METRICS[3]),
    counter(METRICS[4]),
    counter(METRICS[5]),
    counter(METRICS[6]),
    counter(METRICS[7]),
];

/// What a statement does a minute: calls, ms a call, rows a call, blocks a call.
type Pace = (f64, f64, f64, f64);

struct Past {
    store: Store,
    board: Board,
    totals: BTreeMap<i64, Sums>,
    _folder: tempfile::TempDir,
}

impl Past {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let board = Board::new(["t".to_owned()], Vec::new());
        board.update("t", |state| {
            let statement = Statement {
                query_id: 1,
                query: "SELECT 1".to_owned(),
                ..Statement::default()
            };
            state.snapshot = Some(Arc::new(Snapshot {
                statements: vec![statement],
                ..Snapshot::default()
            }));
        });
        Self {
            store: Store::open(Options::in_dir(folder.path())).unwrap(),
            board,
            totals: BTreeMap::new(),
            _folder: folder,
        }
    }

    /// A scrape each minute from one instant up to another, each statement at its pace.
    fn run(&mut self, (from, until): (i64, i64), paces: &[(i64, Pace)]) {
        let mut at = from;
        while at <= until {
            for (id, (calls, ms, rows, blocks)) in paces {
                let sums = self.totals.entry(*id).or_insert([0.0; METRICS.len()]);
                let grown = [
                    *calls,
                    calls * ms / 1e3,
                    calls * rows,
                    calls * blocks,
                    0.0,
                    0.0,
                    0.0,
                    0.0,
                ];
                for (sum, by) in sums.iter_mut().zip(grown) {
                    *sum += by;
                }
            }
            let samples = self.totals.iter().flat_map(|(id, sums)| {
                let labels = Labels::none()
                    .with("datname", "shop")
                    .with("queryid", id.to_string())
                    .with("rolname", if *id == 3 { "report" } else { "app" });
                let each = COUNTERS.iter().zip(*sums);
                each.map(move |(metric, value)| metric.sample(labels.clone(), value))
                    .collect::<Vec<_>>()
            });
            let scrape = Scrape {
                target: "t".to_owned(),
                at: Timestamp::from_millis(at),
                samples: samples.collect(),
            };
            self.store.history().append(&scrape).unwrap();
            at += MINUTE;
        }
    }

    fn ask(&self, by: By, minutes: i64) -> Ranking {
        let ask = Ask {
            target: "t".to_owned(),
            from: Timestamp::from_millis(NOW - minutes * MINUTE),
            until: Timestamp::from_millis(NOW),
            by,
            limit: 10,
            database: None,
            role: None,
        };
        ranking(&self.store, &self.board, &ask).unwrap()
    }
}

fn ids(ranking: &Ranking) -> Vec<&str> {
    let ids = ranking.statements.iter();
    ids.map(|s| s.queryid.as_str()).collect()
}

fn three() -> Past {
    let mut past = Past::new();
    // Often and short; seldom and long; busy once, long ago.
    past.run(
        (NOW - 180 * MINUTE, NOW - 120 * MINUTE),
        &[(1, (100.0, 1.0, 1.0, 4.0)), (3, (1_000.0, 50.0, 9.0, 9.0))],
    );
    past.run(
        (NOW - 119 * MINUTE, NOW),
        &[(1, (100.0, 1.0, 1.0, 4.0)), (2, (1.0, 500.0, 70.0, 900.0))],
    );
    past
}

#[test]
fn a_span_ranks_what_ran_in_it_and_not_what_ran_before() {
    let past = three();
    let total = past.ask(By::Total, 60);
    assert_eq!(ids(&total), ["2", "1"]);
    assert_eq!(total.ran, 2, "the third has not run for two hours");
    let long = &total.statements[0];
    assert!((long.counted.calls - 60.0).abs() <= 1.0, "{long:?}");
    assert!((long.counted.mean_ms.unwrap() - 500.0).abs() < 1e-6);
    // 500 ms against 100 × 1 ms a minute.
    assert!((long.share.unwrap() - 5.0 / 6.0).abs() < 0.01, "{long:?}");
    assert_eq!(ids(&past.ask(By::Calls, 60)), ["1", "2"]);
    assert_eq!(ids(&past.ask(By::Rows, 60)), ["1", "2"]);
    assert_eq!(past.ask(By::Mean, 60).statements[0].share, None);
    assert_eq!(ids(&past.ask(By::Total, 180))[0], "3");
}

#[test]
fn texts_roles_and_limits_are_those_asked_for() {
    let past = three();
    let texts: Vec<_> = past.ask(By::Total, 60).statements;
    assert_eq!(texts[1].query.as_deref(), Some("SELECT 1"));
    assert_eq!(texts[0].query, None, "its text is not known any more");
    let mut ask = Ask {
        target: "t".to_owned(),
        from: Timestamp::from_millis(NOW - 180 * MINUTE),
        until: Timestamp::from_millis(NOW),
        by: By::Total,
        limit: 1,
        database: None,
        role: Some("report".to_owned()),
    };
    let of = |ask: &Ask| ranking(&past.store, &past.board, ask).unwrap();
    assert_eq!(ids(&of(&ask)), ["3"]);
    (ask.role, ask.database) = (None, Some("other".to_owned()));
    assert!(of(&ask).statements.is_empty());
}

#[test]
fn one_statement_s_history_adds_up_to_its_total() {
    let past = three();
    let span = (
        Timestamp::from_millis(NOW - 60 * MINUTE),
        Timestamp::from_millis(NOW),
    );
    let of = |id| history(&past.store, &past.board, ("t", id), span).unwrap();
    let found = of("2").unwrap();
    assert_eq!(found.points.len(), 60);
    let calls: f64 = found.points.iter().map(|p| p.counted.calls).sum();
    assert!((calls - found.total.calls).abs() < 1e-9 && calls >= 59.0);
    assert_eq!(found.ran_by, ["app in shop"]);
    assert!(of("404").is_none());
}

#[test]
fn last_week_and_a_deploy_are_what_now_is_compared_with() {
    let mut past = Past::new();
    let then = [(1, (10.0, 2.0, 1.0, 5.0)), (2, (10.0, 2.0, 1.0, 5.0))];
    past.run((NOW - WEEK - 90 * MINUTE, NOW - WEEK + 30 * MINUTE), &then);
    past.run((NOW - 100 * MINUTE, NOW - 50 * MINUTE), &then);
    let deploy = Deploy {
        name: "v2".to_owned(),
        at: Timestamp::from_millis(NOW - 50 * MINUTE),
    };
    deploy::mark(&past.store, &deploy).unwrap();
    let now = [(1, (10.0, 40.0, 1.0, 800.0)), (2, (10.0, 2.0, 1.0, 5.0))];
    past.run((NOW - 49 * MINUTE, NOW), &now);
    let found = slowdowns(&past.store, "t", Timestamp::from_millis(NOW)).unwrap();
    let slower = found.iter().filter(|s| s.mean_ms.1 > 1.5 * s.mean_ms.0);
    let against: Vec<_> = slower.map(|s| (s.query_id, s.against.as_str())).collect();
    assert_eq!(against, [(1, "last week"), (1, "before deploy v2")]);
    let since_deploy = found.iter().find(|s| s.against.contains("v2")).unwrap();
    assert!(
        (since_deploy.mean_ms.0 - 2.0).abs() < 0.1,
        "{since_deploy:?}"
    );
    assert!(
        (since_deploy.mean_ms.1 - 40.0).abs() < 0.1,
        "{since_deploy:?}"
    );
    // The minute of the deploy has a call's worth of before.
    assert!(
        (since_deploy.blocks_per_call.1 / 800.0 - 1.0).abs() < 0.03,
        "{since_deploy:?}"
    );
}

/// Calls of statement 1 in the last hour.
fn calls_of_the_hour(past: &Past) -> f64 {
    let found = past.ask(By::Calls, 60).statements;
    let one = found.iter().find(|s| s.queryid == "1").unwrap();
    assert!(one.counted.total_ms >= 0.0 && one.counted.rows >= 0.0);
    one.counted.calls
}

const STEADY: (i64, Pace) = (1, (100.0, 1.0, 1.0, 4.0));

#[test]
fn a_reset_of_the_counters_in_between_takes_nothing_away() {
    let mut past = Past::new();
    past.run((NOW - 60 * MINUTE, NOW - 31 * MINUTE), &[STEADY]);
    past.totals.clear();
    past.run((NOW - 30 * MINUTE, NOW), &[STEADY]);
    let calls = calls_of_the_hour(&past);
    assert!((calls - 6_000.0).abs() <= 200.0, "{calls}");
}

#[test]
fn an_entry_that_was_pushed_out_and_came_back_counts_again() {
    let mut past = Past::new();
    let other = (2, (5.0, 1.0, 1.0, 1.0));
    past.run((NOW - 60 * MINUTE, NOW - 41 * MINUTE), &[STEADY, other]);
    past.totals.remove(&1);
    past.run((NOW - 40 * MINUTE, NOW - 21 * MINUTE), &[other]);
    past.run((NOW - 20 * MINUTE, NOW), &[STEADY, other]);
    let calls = calls_of_the_hour(&past);
    assert!((calls - 4_000.0).abs() <= 300.0, "{calls}");
}

#[test]
fn a_crash_with_a_gap_and_counters_from_nothing_makes_no_negative() {
    let mut past = Past::new();
    past.run((NOW - 60 * MINUTE, NOW - 41 * MINUTE), &[STEADY]);
    past.totals.clear();
    past.run((NOW - 30 * MINUTE, NOW), &[STEADY]);
    let calls = calls_of_the_hour(&past);
    assert!((calls - 5_000.0).abs() <= 300.0, "{calls}");
}

/// A new major version gives every statement another id.
#[test]
fn a_statement_is_followed_through_an_upgrade_by_its_text() {
    let mut past = Past::new();
    let then = [(1, (10.0, 2.0, 1.0, 5.0)), (2, (10.0, 2.0, 1.0, 5.0))];
    past.run((NOW - WEEK - 90 * MINUTE, NOW - WEEK + 30 * MINUTE), &then);
    past.totals.clear();
    let now = [(11, (10.0, 40.0, 1.0, 800.0)), (12, (10.0, 2.0, 1.0, 5.0))];
    past.run((NOW - 59 * MINUTE, NOW), &now);
    let at = Timestamp::from_millis(NOW);
    let found = |past: &Past| -> Vec<i64> {
        let all = slowdowns(&past.store, "t", at).unwrap();
        let slower = all.iter().filter(|s| s.mean_ms.1 > 1.5 * s.mean_ms.0);
        slower.map(|s| s.query_id).collect()
    };
    assert!(
        found(&past).is_empty(),
        "nothing says that they are the same"
    );
    let texts = [
        (1, "SELECT 1"),
        (11, "SELECT 1"),
        (2, "SELECT 2"),
        (12, "SELECT 2"),
    ];
    let texts = texts.map(|(query_id, query)| Statement {
        query_id,
        query: query.to_owned(),
        ..Statement::default()
    });
    let mut kept = Texts::default();
    kept.keep(&past.store, "t", (&texts, at)).unwrap();
    assert_eq!(found(&past), [11]);
    let span = (Timestamp::from_millis(NOW - 8 * 86_400_000), at);
    let one = history(&past.store, &past.board, ("t", "11"), span)
        .unwrap()
        .unwrap();
    assert_eq!(one.before, ["1"]);
    assert!(
        (one.total.calls - 1_800.0).abs() <= 60.0,
        "{}",
        one.total.calls
    );
    // The old id is still asked for by its own name, with its text.
    let old = history(&past.store, &past.board, ("t", "1"), span)
        .unwrap()
        .unwrap();
    assert!(old.before.is_empty() && old.query.as_deref() == Some("SELECT 1"));
}

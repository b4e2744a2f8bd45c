//! How long things take: requests that this server answers, and statements of each target by class.
//!
//! For: the names of latencies and what is counted under them. Not for: keeping them (`store`) nor
//! showing them (`http`). Read [`count_request`] first.
//!
//! A server tells the mean of a statement, not each execution. So between two scrapes the mean of
//! that time counts as often as there were calls: a quantile over a class says how the means lie,
//! weighted by calls, and is blind to what varies within one statement and one interval.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::model::series::{Labels, SampleSink, Scrape, SeriesKey};
use crate::model::units::{Millis, Timestamp};
use crate::store::Store;
use crate::work::board::Board;
use crate::work::collect::Failure;

/// Time from a request's head to its answer, in seconds; labels `method` and `route`.
pub const REQUEST: &str = "plimsoll_http_latency_seconds";
/// Mean execution time of statements, as often as they were called, in seconds; label `class`.
pub const STATEMENT: &str = "plimsoll_statement_latency_seconds";
/// The name that this process goes by among the targets of latencies.
pub const OWN: &str = "plimsoll";

const CALLS: &str = "pg_statement_calls_total";
const TIME: &str = "pg_statement_exec_seconds_total";
/// Over a longer time than this between two scrapes a mean says too little.
const GAP: Millis = Millis(5 * Millis::MINUTE.0);

/// Counts an answered request.
pub fn count_request(store: &Store, at: Timestamp, method: &str, route: &str, took: Duration) {
    let key = SeriesKey {
        metric: REQUEST.into(),
        labels: Labels::none().with("method", method).with("route", route),
    };
    store
        .history()
        .observe(OWN, &key, at, took.as_secs_f64(), 1);
}

/// What a statement does, by its first word; that of a `WITH` by the word that writes, if one does.
fn class_of(text: &str) -> &'static str {
    let words = words(text);
    let mut words = words.map(str::to_ascii_lowercase);
    let first = words.next().unwrap_or_default();
    let word = match first.as_str() {
        "with" => {
            let writes = |word: &String| ["insert", "update", "delete"].contains(&word.as_str());
            words.find(writes).unwrap_or_else(|| "select".to_owned())
        }
        _ => first,
    };
    match word.as_str() {
        "select" => "SELECT",
        "insert" => "INSERT",
        "update" => "UPDATE",
        "delete" => "DELETE",
        _ => "other",
    }
}

/// Words of a statement, comments left out.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
            let (open, close) = match rest {
                _ if rest.starts_with("/*") => ("/*", "*/"),
                _ if rest.starts_with("--") => ("--", "\n"),
                _ => break,
            };
            let after = rest.get(open.len()..).unwrap_or_default();
            rest = after.split_once(close).map_or("", |(_, after)| after);
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        // What is no word is passed over one character at a time.
        let end = end.max(rest.chars().next()?.len_utf8());
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Counters of one statement at one scrape: calls and seconds.
type Counters = HashMap<Labels, (f64, f64)>;

/// Turns the counters of statements into latencies by class.
pub(crate) struct Statements {
    store: Arc<Store>,
    board: Arc<Board>,
    before: Mutex<HashMap<String, (Timestamp, Counters)>>,
}

impl Statements {
    /// Nothing was seen yet.
    pub(crate) fn new(store: Arc<Store>, board: Arc<Board>) -> Self {
        Self {
            store,
            board,
            before: Mutex::default(),
        }
    }

    /// Counts what was executed since the scrape before.
    fn count(&self, scrape: &Scrape) {
        let now = counters(scrape);
        if now.is_empty() {
            return;
        }
        let before = {
            let mut all = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(scrape.target.clone(), (scrape.at, now.clone()))
        };
        let Some((at, before)) = before else {
            return;
        };
        if scrape.at.since(at) > GAP.as_duration() {
            return;
        }
        let classes = self.classes(&scrape.target);
        for (labels, now) in &now {
            // One that was not there before has counted for who knows how long.
            let Some((mean, calls)) = before.get(labels).and_then(|then| grown(*then, *now)) else {
                continue;
            };
            let query = labels.get("queryid").and_then(|id| id.parse().ok());
            let class = query.and_then(|id: i64| classes.get(&id)).copied();
            let key = SeriesKey {
                metric: STATEMENT.into(),
                labels: Labels::none().with("class", class.unwrap_or("other")),
            };
            self.store
                .history()
                .observe(&scrape.target, &key, scrape.at, mean, calls);
        }
    }

    /// Classes of the statements whose text is known.
    fn classes(&self, target: &str) -> HashMap<i64, &'static str> {
        let snapshot = self.board.target(target).and_then(|state| state.snapshot);
        let statements = snapshot.iter().flat_map(|snapshot| &snapshot.statements);
        statements
            .map(|statement| (statement.query_id, class_of(&statement.query)))
            .collect()
    }
}

impl SampleSink for Statements {
    fn take(&self, scrape: &Scrape) -> Result<(), Failure> {
        self.count(scrape);
        Ok(())
    }
}

fn counters(scrape: &Scrape) -> Counters {
    let mut counters = Counters::new();
    for sample in &scrape.samples {
        match sample.series.metric.as_ref() {
            CALLS => counters.entry(sample.series.labels.clone()).or_default().0 = sample.value,
            TIME => counters.entry(sample.series.labels.clone()).or_default().1 = sample.value,
            _ => {}
        }
    }
    counters
}

/// Mean seconds and calls between two readings; after a reset all that was counted since.
fn grown(then: (f64, f64), now: (f64, f64)) -> Option<(f64, u64)> {
    let (calls, time) = if now.0 >= then.0 && now.1 >= then.1 {
        (now.0 - then.0, now.1 - then.1)
    } else {
        now
    };
    let whole = calls.is_finite() && calls >= 1.0 && calls < u64::MAX as f64 && time.is_finite();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count between 1 and the largest of its type"
    )]
    whole.then(|| (time.max(0.0) / calls, calls as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::database::{Snapshot, Statement};
    use crate::model::series::Metric;
    use crate::store::Options;

    #[test]
    fn a_statement_is_of_the_class_of_its_first_word() {
        for (text, class) in [
            ("SELECT 1", "SELECT"),
            ("  (select 1) union (select 2)", "SELECT"),
            ("/* app */ -- x\n insert into t values ($1)", "INSERT"),
            ("UPDATE t SET a = $1", "UPDATE"),
            ("delete from t", "DELETE"),
            ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT"),
            (
                "with gone as (delete from t returning *) insert into log select * from gone",
                "DELETE",
            ),
            ("VACUUM t", "other"),
            ("selection", "other"),
            ("/* never closed", "other"),
            ("", "other"),
            ("é ; §", "other"),
        ] {
            assert_eq!(class_of(text), class, "{text}");
        }
    }

    #[test]
    fn a_mean_counts_as_often_as_there_were_calls_and_a_reset_starts_anew() {
        assert_eq!(grown((10.0, 1.0), (14.0, 3.0)), Some((0.5, 4)));
        assert_eq!(grown((10.0, 1.0), (10.0, 1.0)), None);
        assert_eq!(grown((10.0, 9.0), (2.0, 0.5)), Some((0.25, 2)));
        assert_eq!(grown((10.0, 1.0), (f64::NAN, 1.0)), None);
    }

    const C: Metric = Metric::counter(CALLS, "Calls.");
    const T: Metric = Metric::counter(TIME, "Time.");

    fn scrape(second: i64, entries: &[(i64, f64, f64)]) -> Scrape {
        let samples = entries.iter().flat_map(|(id, calls, time)| {
            let labels = Labels::none().with("queryid", id.to_string());
            [C.sample(labels.clone(), *calls), T.sample(labels, *time)]
        });
        Scrape {
            target: "db".into(),
            at: Timestamp::from_millis(1_700_000_000_000 + second * 1_000),
            samples: samples.collect(),
        }
    }

    fn snapshot(statements: Vec<Statement>) -> Snapshot {
        let nothing: Snapshot = serde_json::from_value(serde_json::json!({
            "target": "db", "takenAt": 0, "databases": [], "settings": {}, "tables": [],
            "indexes": [], "sessions": [], "statements": [], "replicas": [], "slots": [],
            "sequences": [], "blindSpots": [],
            "server": {"version": "16", "versionNum": 160_000, "startedAt": 0, "inRecovery": false,
                "database": "db", "role": "r", "statsReset": null, "extensions": {}},
            "pool": {"total": 0, "idle": 0, "active": 0, "idleInTransaction": 0, "waiting": 0,
                "lockWaiting": 0, "oldestXactAgeMs": null, "max": 100, "reserved": 3,
                "byApplication": []},
        }))
        .unwrap();
        Snapshot {
            statements,
            ..nothing
        }
    }

    #[test]
    fn statements_are_counted_by_class_from_the_second_scrape_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(Options::in_dir(folder.path())).unwrap());
        let board = Arc::new(Board::new(["db".to_owned()], Vec::new()));
        let statement = |query_id, query: &str| Statement {
            query_id,
            query: query.to_owned(),
            ..Statement::default()
        };
        board.update("db", |state| {
            let known = vec![statement(1, "SELECT 1"), statement(2, "select 2")];
            state.snapshot = Some(Arc::new(snapshot(known)));
        });
        let sink = Statements::new(Arc::clone(&store), board);
        sink.take(&scrape(0, &[(1, 1e6, 1e6), (2, 5.0, 5.0), (3, 0.0, 0.0)]))
            .unwrap();
        sink.take(&scrape(
            10,
            &[
                (1, 1e6 + 30.0, 1e6 + 3.0),
                (2, 15.0, 5.1),
                (3, 1.0, 4.0),
                (4, 9.0, 9.0),
            ],
        ))
        .unwrap();
        // Too long after: nothing is said of what lies between.
        sink.take(&scrape(1_000, &[(1, 2e6, 2e6)])).unwrap();
        let at = |s| scrape(s, &[]).at;
        let found = store.history().latencies(at(0), at(2_000)).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|l| (l.key.labels.get("class").unwrap(), l.sketch.count()))
            .collect();
        assert_eq!(shown, [("SELECT", 40), ("other", 1)]);
        let p50 = found[0].sketch.quantile(0.5).unwrap();
        assert!((p50 / 0.1 - 1.0).abs() < 0.021, "{p50}");
    }
}

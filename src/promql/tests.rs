//! The engine over samples in memory: bounds, pinned instants, and what is read of the source.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::*;

/// Series `m{i="0"}` and on, each with a sample a second from 0: its own number plus the second.
struct Seconds {
    series: u32,
    length: i64,
    /// Whether the newest sample of each is known without looking.
    known: bool,
    read: Mutex<Vec<(Vec<u32>, i64, i64)>>,
}

impl Seconds {
    fn of(series: u32, length: i64) -> Self {
        Self {
            series,
            length,
            known: true,
            read: Mutex::default(),
        }
    }

    fn sample(second: i64, id: u32) -> Sample {
        (second * 1_000, second as f64 + f64::from(id))
    }
}

impl Source for Seconds {
    fn find(&self, _: &[Matcher]) -> Result<Vec<Found>> {
        let found = |id| Found {
            id,
            labels: Labels::none().with(NAME, "m").with("i", id.to_string()),
            last: self.known.then(|| Self::sample(self.length - 1, id)),
        };
        Ok((0..self.series).map(found).collect())
    }

    fn scan(
        &self,
        ids: &[u32],
        from: i64,
        until: i64,
        visit: &(dyn Fn(usize, Samples<'_>) + Sync),
    ) -> Result<()> {
        self.read.lock().unwrap().push((ids.to_vec(), from, until));
        for (place, id) in ids.iter().enumerate() {
            let all = (0..self.length).map(|second| Self::sample(second, *id));
            let within = all.filter(|(t, _)| (from..=until).contains(t));
            let (times, values): (Vec<i64>, Vec<f64>) = within.unzip();
            visit(place, Samples::of(&times, &values));
        }
        Ok(())
    }
}

fn ask(source: &Seconds, text: &str, steps: Steps, limits: Limits) -> Result<Value> {
    let query = Query::parse(text)?;
    if steps.count == 1 {
        query.instant(source, steps.start, limits, &AtomicBool::new(false))
    } else {
        query.range(source, steps, limits, &AtomicBool::new(false))
    }
}

fn first_row(value: Value) -> Vec<f64> {
    match value {
        Value::Vector(rows) => rows[0].values.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_last_value_that_is_known_is_not_read() {
    let source = Seconds::of(3, 100);
    let now = Steps::at(99_500);
    ask(&source, "m", now, Limits::default()).unwrap();
    assert!(
        source
            .read
            .lock()
            .unwrap()
            .iter()
            .all(|(ids, ..)| ids.is_empty())
    );
    // Before the newest sample memory cannot tell; long after it nothing is left to tell.
    ask(&source, "m", Steps::at(50_000), Limits::default()).unwrap();
    assert_eq!(source.read.lock().unwrap().last().unwrap().0.len(), 3);
    ask(
        &source,
        "rate(m[5m])",
        Steps::at(10_000_000),
        Limits::default(),
    )
    .unwrap();
    assert_eq!(source.read.lock().unwrap().last().unwrap().0.len(), 0);
}

#[test]
fn only_what_the_windows_need_is_read() {
    let source = Seconds::of(1, 1_000);
    let steps = Steps::between(600_000, 700_000, 50_000).unwrap();
    ask(&source, "rate(m[1m] offset 10s)", steps, Limits::default()).unwrap();
    let read = source.read.lock().unwrap();
    assert_eq!(read.last().unwrap(), &(vec![0], 530_000, 690_000));
}

#[test]
fn a_pinned_instant_is_read_once_and_answers_every_step() {
    let source = Seconds::of(1, 1_000);
    let steps = Steps::between(0, 900_000, 100_000).unwrap();
    for (text, wanted) in [
        ("m @ 500", 500.0),
        ("m @ end()", 900.0),
        ("m @ start() offset -7s", 7.0),
        ("max_over_time(m[10s] @ 500 offset 100s)", 400.0),
    ] {
        let values = first_row(ask(&source, text, steps, Limits::default()).unwrap());
        assert_eq!(values.len(), 10, "{text}");
        assert!(
            values.iter().all(|value| (value - wanted).abs() < 1e-9),
            "{text}: {values:?}"
        );
    }
    // The range stands still, but what is asked of it moves.
    let text = "predict_linear(m[10s] @ 500, time())";
    let values = first_row(ask(&source, text, steps, Limits::default()).unwrap());
    assert!((values[3] - (values[0] + 300.0)).abs() < 1e-6, "{values:?}");
}

#[test]
fn more_samples_than_allowed_are_refused_and_not_folded() {
    let source = Seconds::of(10, 1_000);
    let limits = Limits {
        samples: 5_000,
        ..Limits::default()
    };
    let steps = Steps::between(0, 999_000, 1_000).unwrap();
    let error = ask(&source, "max_over_time(m[1m])", steps, limits).unwrap_err();
    assert!(matches!(error, Error::Samples { limit: 5_000 }), "{error}");
    // Each window costs what is in it, also of a single series.
    let one = Seconds::of(1, 1_000);
    let error = ask(&one, "avg_over_time(m[10m])", steps, limits).unwrap_err();
    assert!(matches!(error, Error::Samples { .. }), "{error}");
    ask(&one, "rate(m[10m])", steps, limits).unwrap();
}

#[test]
fn more_values_than_allowed_are_refused_before_they_are_made() {
    let source = Seconds::of(10, 100);
    let limits = Limits {
        points: 500,
        ..Limits::default()
    };
    let steps = Steps::between(0, 99_000, 1_000).unwrap();
    for text in ["m", "rate(m[1m])", "m[100s]"] {
        let steps = if text.ends_with(']') {
            Steps::at(99_000)
        } else {
            steps
        };
        let error = ask(&source, text, steps, limits).unwrap_err();
        assert!(
            matches!(error, Error::Points { limit: 500 }),
            "{text}: {error}"
        );
    }
}

#[test]
fn an_evaluation_ends_when_it_is_told_to() {
    let source = Seconds::of(1, 10);
    let stop = AtomicBool::new(true);
    for text in ["m", "rate(m[1m])", "m[1m]", "1 + 1"] {
        let query = Query::parse(text).unwrap();
        let error = query
            .instant(&source, 5_000, Limits::default(), &stop)
            .unwrap_err();
        assert!(matches!(error, Error::Stopped), "{text}: {error}");
    }
}

#[test]
fn steps_are_counted_without_overflow() {
    assert_eq!(
        Steps::between(0, 10, 3)
            .unwrap()
            .instants()
            .collect::<Vec<_>>(),
        [0, 3, 6, 9]
    );
    assert_eq!(Steps::between(5, 5, 1).unwrap().count, 1);
    for (start, end, step) in [
        (0, 10, 0),
        (0, 10, -1),
        (10, 0, 1),
        (i64::MIN, i64::MAX, 1),
        (0, 11_000, 1),
    ] {
        assert!(
            Steps::between(start, end, step).is_none(),
            "{start} {end} {step}"
        );
    }
    assert_eq!(Steps::between(0, 10_999, 1).unwrap().count, STEPS_MAX);
}

#[test]
fn a_range_query_has_no_ranges_and_no_texts() {
    let source = Seconds::of(1, 10);
    let steps = Steps::between(0, 9_000, 1_000).unwrap();
    for text in ["m[1m]", "\"text\""] {
        let error = ask(&source, text, steps, Limits::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("must be Scalar or instant Vector"),
            "{error}"
        );
    }
}

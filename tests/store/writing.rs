//! Scrapes in, the same scrapes out: before and after sealing, restarts, and clocks gone wrong.

use plimsoll::model::capacity::SyntheticSpan;
use plimsoll::model::series::{Labels, Metric, SampleSink, Scrape};
use plimsoll::model::units::Timestamp;
use plimsoll::store::{Error, Options, Selector, Store};

use crate::support::*;

#[test]
fn what_was_appended_is_read_back_before_and_after_sealing_and_reopening() {
    let dir = folder();
    let mut store = open(&dir);
    let expected: Vec<(i64, f64)> = (0..hours(5))
        .step_by(10_000)
        .map(|ms| (ms, load_at(ms)))
        .collect();
    fill(&store, 0, hours(5));
    assert_eq!(raw(&store, &LOAD, 0, hours(9)), expected, "all in memory");
    let tick = store.tick(at(hours(5))).unwrap();
    assert_eq!((tick.sealed_logs, tick.sealed_samples), (2, 2 * 720 * 2));
    assert_eq!(
        raw(&store, &LOAD, 0, hours(9)),
        expected,
        "two spans sealed"
    );
    store.close(at(hours(5))).unwrap();
    drop(store);
    store = open(&dir);
    assert_eq!(store.opened().recovered_scrapes, 360);
    assert_eq!(store.opened().torn_bytes, 0);
    assert_eq!(raw(&store, &LOAD, 0, hours(9)), expected, "reopened");
    assert_eq!(
        raw(&store, &LOAD, hours(2) - 10_000, hours(2) + 10_000).len(),
        2
    );
    let stats = store.history().stats().unwrap();
    assert_eq!((stats.series, stats.samples), (2, 5 * 360 * 2));
    assert_eq!(stats.oldest, Some(start()));
    assert_eq!(stats.newest, Some(at(hours(5) - STEP)));
}

#[test]
fn every_bit_of_a_value_is_kept() {
    let dir = folder();
    let store = open(&dir);
    let bits = [
        0x7ff0_0000_0000_0002,
        0x7ff8_dead_beef_0001,
        0xfff8_0000_0000_0000,
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        (-0.0f64).to_bits(),
        1,
        f64::MAX.to_bits(),
    ];
    for (i, bits) in (0i64..).zip(bits) {
        put(&store, i * STEP, 1.0, f64::from_bits(bits));
    }
    let kept = |store: &Store| -> Vec<u64> {
        let values = raw(store, &LOAD, 0, hours(1));
        values
            .into_iter()
            .map(|(_, value)| value.to_bits())
            .collect()
    };
    assert_eq!(kept(&store), bits);
    store.tick(at(hours(3))).unwrap();
    assert_eq!(kept(&store), bits);
    let last = store.history().last(&Selector::metric(LOAD.name));
    assert_eq!(last[0].2, f64::MAX);
}

#[test]
fn a_clock_an_hour_forward_and_back_costs_nothing() {
    let dir = folder();
    let store = open(&dir);
    fill(&store, 0, minutes(30));
    fill(&store, minutes(90), minutes(100));
    store.tick(at(minutes(100))).unwrap();
    fill(&store, hours(30), hours(30) + minutes(1));
    store.tick(at(hours(30))).unwrap();
    fill(&store, minutes(30), minutes(50));
    for now in [minutes(50), hours(30), minutes(50), hours(60)] {
        store.tick(at(now)).unwrap();
    }
    let expected: Vec<(i64, f64)> = (0..minutes(50))
        .chain(minutes(90)..minutes(100))
        .chain(hours(30)..hours(30) + minutes(1))
        .filter(|ms| ms % STEP == 0)
        .map(|ms| (ms, count_at(ms)))
        .collect();
    assert_eq!(raw(&store, &XACTS, 0, hours(60)), expected);
    drop(store);
    assert_eq!(raw(&open(&dir), &XACTS, 0, hours(60)), expected);
}

#[test]
fn of_two_scrapes_at_one_instant_the_later_stays_also_in_a_sealed_span() {
    let dir = folder();
    let store = open(&dir);
    put(&store, 0, 1.0, 1.0);
    put(&store, 0, 2.0, 2.0);
    assert_eq!(raw(&store, &LOAD, 0, 1), [(0, 2.0)]);
    store.tick(at(hours(3))).unwrap();
    put(&store, 0, 3.0, 3.0);
    put(&store, STEP, 4.0, 4.0);
    assert_eq!(raw(&store, &LOAD, 0, hours(1)), [(0, 3.0), (STEP, 4.0)]);
    store.tick(at(hours(6))).unwrap();
    assert_eq!(raw(&store, &LOAD, 0, hours(1)), [(0, 3.0), (STEP, 4.0)]);
    let buckets = store.history().rollups(
        id(&store, &LOAD),
        plimsoll::store::Tier::FiveMinutes,
        at(0),
        at(hours(1)),
    );
    let buckets = buckets.unwrap();
    assert_eq!(
        (buckets.len(), buckets[0].count, buckets[0].sum),
        (1, 2, 7.0)
    );
}

#[test]
fn a_time_that_cannot_be_kept_is_refused_and_the_next_scrape_is_fine() {
    let dir = folder();
    let store = open(&dir);
    for ms in [-1, i64::MIN, i64::MAX] {
        let mut wrong = scrape(0, 1.0, 1.0);
        wrong.at = Timestamp::from_millis(ms);
        assert!(matches!(
            store.history().append(&wrong),
            Err(Error::Time(_))
        ));
    }
    let mut far = scrape(0, 1.0, 1.0);
    far.at = Timestamp::parse("9998-12-31T23:59:59Z").unwrap();
    store.history().append(&far).unwrap();
    store.tick(at(0)).unwrap();
    put(&store, 0, 1.0, 1.0);
    store.tick(at(0)).unwrap();
    assert_eq!(raw(&store, &LOAD, 0, 1), [(0, 1.0)]);
    let all = store.history().raw(
        id(&store, &LOAD),
        Timestamp::from_millis(i64::MIN),
        Timestamp::from_millis(i64::MAX),
    );
    assert_eq!(all.unwrap().len(), 2);
}

#[test]
fn new_series_are_refused_past_the_limit_and_old_ones_go_on() {
    let dir = folder();
    let options = Options {
        max_series: 5,
        ..Options::in_dir(dir.path())
    };
    let store = Store::open(options).unwrap();
    let many = |ms: i64, from: i64, until: i64| Scrape {
        target: TARGET.into(),
        at: at(ms),
        samples: (from..until)
            .map(|i| LOAD.sample(Labels::none().with("host", i.to_string()), 1.0))
            .collect(),
    };
    let first = store.history().append(&many(0, 0, 8)).unwrap();
    assert_eq!((first.accepted, first.refused_series), (5, 3));
    let second = store.history().append(&many(STEP, 3, 8)).unwrap();
    assert_eq!((second.accepted, second.refused_series), (2, 3));
    let later = store.history().append(&many(hours(30), 6, 8)).unwrap();
    assert_eq!(
        (later.accepted, later.refused_series),
        (2, 0),
        "the others are no longer live"
    );
}

#[test]
fn many_series_of_several_targets_keep_apart() {
    let dir = folder();
    let mut store = open(&dir);
    let metric = Metric::gauge("pg_table_size_bytes", "Size.");
    for round in 0..3 {
        for target in ["a", "b", "c"] {
            let samples = (0..40)
                .map(|table| {
                    let labels = Labels::none().with("relname", format!("t\"{table}\n"));
                    metric.sample(labels, f64::from(table * 10 + round) + target.len() as f64)
                })
                .collect();
            let scrape = Scrape {
                target: target.into(),
                at: at(i64::from(round) * hours(2)),
                samples,
            };
            SampleSink::take(store.history(), &scrape).unwrap();
        }
    }
    store.tick(at(hours(9))).unwrap();
    drop(store);
    store = open(&dir);
    assert_eq!(store.history().targets(), ["a", "b", "c"]);
    for target in ["a", "b", "c"] {
        let all = store
            .history()
            .last(&Selector::metric(metric.name).of(target));
        assert_eq!(all.len(), 40);
        for (i, (series, when, value)) in all.iter().enumerate() {
            assert_eq!(
                series.key.labels.get("relname"),
                Some(format!("t\"{i}\n").as_str())
            );
            assert_eq!((*when, *value), (at(hours(4)), (i * 10) as f64 + 3.0));
            assert_eq!(
                store
                    .history()
                    .raw(series.id, at(0), at(hours(9)))
                    .unwrap()
                    .len(),
                3
            );
        }
    }
}

#[test]
fn what_is_made_up_stays_marked() {
    let dir = folder();
    let span = SyntheticSpan {
        from: at(-hours(1)),
        until: at(0),
    };
    open(&dir).history().mark_synthetic("demo", span).unwrap();
    let store = open(&dir);
    assert_eq!(store.history().synthetic("demo"), Some(span));
    assert_eq!(store.history().synthetic(TARGET), None);
}

#[test]
fn a_reader_never_misses_what_is_being_sealed() {
    let dir = folder();
    let store = open(&dir);
    put(&store, 0, 0.0, 0.0);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for hour in 0..10 {
                fill(&store, hours(hour) + STEP, hours(hour + 1) + STEP);
                store.tick(at(hours(hour + 1))).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        let mut before = 0;
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            let values = raw(&store, &XACTS, 0, hours(24));
            assert!(values.len() >= before, "{} after {before}", values.len());
            for (i, (ms, value)) in (0i64..).zip(&values) {
                assert_eq!((*ms, *value), (i * STEP, count_at(i * STEP)));
            }
            before = values.len();
        }
    });
    assert_eq!(raw(&store, &XACTS, 0, hours(24)).len(), 3_601);
}

#[test]
fn a_torn_log_loses_its_last_scrape_only_and_says_so() {
    let dir = folder();
    let store = open(&dir);
    fill(&store, 0, minutes(10));
    drop(store);
    let log = dir.path().join("store/wal/0000000001.log");
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 3]).unwrap();
    let store = open(&dir);
    assert_eq!(store.opened().recovered_scrapes, 59);
    assert!(store.opened().torn_bytes > 0);
    assert_eq!(raw(&store, &LOAD, 0, hours(1)).len(), 59);
    fill(&store, minutes(10), minutes(20));
    drop(store);
    let store = open(&dir);
    assert_eq!(store.opened().torn_bytes, 0);
    assert_eq!(raw(&store, &LOAD, 0, hours(1)).len(), 119);
}

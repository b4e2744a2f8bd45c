//! Windows: which tier answers, and what counters, gaps and back-filled history come to.

use plimsoll::model::series::{Kind, SeriesKey};
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Bucket, Error, Fold, Selector, Store, Tier};

use crate::support::*;

fn window(
    store: &Store,
    metric: &str,
    (from, until): (i64, i64),
    step_ms: i64,
    fold: Fold,
) -> Vec<f64> {
    let found = store.history().series(&Selector::metric(metric));
    let window = store
        .history()
        .window(found[0].id, at(from), at(until), step(step_ms), fold)
        .unwrap();
    assert_eq!(window.start, at(from));
    window.values
}

fn same(left: &[f64], right: &[f64]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(a, b)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-9)
}

const FOLDS: [Fold; 8] = [
    Fold::Mean,
    Fold::Min,
    Fold::Max,
    Fold::Last,
    Fold::Sum,
    Fold::Count,
    Fold::Increase,
    Fold::Rate,
];

#[test]
fn sealed_tiers_and_memory_give_the_same_windows() {
    let (one, other) = (folder(), folder());
    let (sealed, open_only) = (open(&one), open(&other));
    for store in [&sealed, &open_only] {
        fill(store, 0, hours(3));
        fill(store, hours(3) + minutes(17), hours(5));
        put(store, hours(5), 3.0, 1.0);
        fill(store, hours(5) + STEP, hours(7) + minutes(3));
    }
    sealed.tick(at(hours(7))).unwrap();
    for fold in FOLDS {
        for metric in [XACTS.name, LOAD.name] {
            if metric == LOAD.name && matches!(fold, Fold::Increase | Fold::Rate) {
                continue;
            }
            for step_ms in [
                STEP,
                minutes(1),
                minutes(5),
                minutes(15),
                hours(1),
                hours(2),
                minutes(7),
            ] {
                let range = (0, (hours(8) / step_ms) * step_ms);
                let from = at(0).floor_to(step(step_ms)).as_millis() - start().as_millis();
                let range = (from, range.1);
                let (a, b) = (
                    window(&sealed, metric, range, step_ms, fold),
                    window(&open_only, metric, range, step_ms, fold),
                );
                assert!(same(&a, &b), "{metric} {fold:?} {step_ms}: {a:?} {b:?}");
                if metric == XACTS.name && matches!(fold, Fold::Increase | Fold::Rate) {
                    assert!(a.iter().all(|v| v.is_nan() || *v >= 0.0), "{a:?}");
                }
            }
        }
    }
}

#[test]
fn a_window_agrees_with_a_reckoning_by_hand() {
    let dir = folder();
    let store = open(&dir);
    fill(&store, 0, hours(2));
    store.tick(at(hours(2))).unwrap();
    // Ten minutes hold 60 samples of 0 1 2 3 4 5 6: eight cycles of 21, then 0 1 2 3.
    let means = window(&store, LOAD.name, (0, minutes(10)), minutes(10), Fold::Mean);
    assert!(same(&means, &[(8.0 * 21.0 + 6.0) / 60.0]), "{means:?}");
    let counts = window(&store, LOAD.name, (0, minutes(10)), minutes(5), Fold::Count);
    assert!(same(&counts, &[30.0, 30.0]));
    // 5 a second; the first step lacks the growth before its first sample.
    let rates = window(&store, XACTS.name, (0, minutes(15)), minutes(5), Fold::Rate);
    assert!(same(&rates, &[5.0, 5.0, 5.0]), "{rates:?}");
    let grown = window(
        &store,
        XACTS.name,
        (0, minutes(10)),
        minutes(5),
        Fold::Increase,
    );
    assert!(same(&grown, &[5.0 * 290.0, 5.0 * 300.0]), "{grown:?}");
    let fine = window(
        &store,
        XACTS.name,
        (minutes(5), minutes(6)),
        STEP,
        Fold::Rate,
    );
    assert!(same(&fine, &[5.0; 6]), "{fine:?}");
}

#[test]
fn a_reset_counter_gives_no_negative_rate() {
    let dir = folder();
    let store = open(&dir);
    for (i, count) in (0i64..).zip([100.0, 150.0, 200.0, 20.0, 70.0]) {
        put(&store, i * STEP, count, 0.0);
    }
    let rates = window(&store, XACTS.name, (0, 5 * STEP), STEP, Fold::Rate);
    assert!(same(&rates, &[f64::NAN, 5.0, 5.0, 2.0, 5.0]), "{rates:?}");
}

#[test]
fn there_is_no_rate_across_a_gap() {
    let dir = folder();
    let store = open(&dir);
    fill(&store, 0, minutes(1));
    fill(&store, minutes(20), minutes(21));
    for sealed in [false, true] {
        if sealed {
            store.tick(at(hours(3))).unwrap();
        }
        let rates = window(&store, XACTS.name, (0, minutes(30)), minutes(5), Fold::Rate);
        let nan = f64::NAN;
        assert!(same(&rates, &[5.0, nan, nan, nan, 5.0, nan]), "{rates:?}");
        let fine = window(
            &store,
            XACTS.name,
            (minutes(20), minutes(20) + 2 * STEP),
            STEP,
            Fold::Rate,
        );
        assert!(same(&fine, &[nan, 5.0]), "{fine:?}");
    }
}

/// Buckets of a gauge that stands at `value`, from `from` to `until`.
fn level(tier: Tier, from: i64, until: i64, value: f64) -> Vec<Bucket> {
    let len = i64::try_from(tier.step().0).unwrap();
    (from / len..until / len)
        .map(|i| Bucket::gauge(at(i * len), [value - 1.0, value, value + 1.0, value], 30))
        .collect()
}

fn back_fill(store: &Store, from: i64, until: i64, value: f64) {
    let key = SeriesKey {
        metric: LOAD.name.into(),
        labels: scrape(0, 0.0, 0.0).samples[1].series.labels.clone(),
    };
    let buckets = level(Tier::FiveMinutes, from, until, value);
    store
        .history()
        .append_rollups(TARGET, Tier::FiveMinutes, &key, Kind::Gauge, &buckets)
        .unwrap();
    store.history().settle().unwrap();
}

#[test]
fn a_made_up_past_and_a_real_present_are_one_window() {
    let dir = folder();
    let mut store = open(&dir);
    back_fill(&store, -hours(24 * 60), minutes(55), 4.0);
    fill(&store, hours(1), hours(3));
    for round in 0..3 {
        let days = window(
            &store,
            LOAD.name,
            (-hours(24 * 60), 0),
            hours(24),
            Fold::Mean,
        );
        assert!(
            days.len() == 60 && days.iter().all(|v| (v - 4.0).abs() < 1e-9),
            "{round} {days:?}"
        );
        let hourly = window(
            &store,
            LOAD.name,
            (-hours(1), hours(4)),
            hours(1),
            Fold::Count,
        );
        assert!(
            same(&hourly, &[360.0, 330.0, 360.0, 360.0, f64::NAN]),
            "{round} {hourly:?}"
        );
        let most = window(&store, LOAD.name, (0, hours(2)), hours(1), Fold::Max);
        assert!(same(&most, &[5.0, 6.0]), "{round} {most:?}");
        // Finer than the buckets: their level stands for each of its steps, but not between samples.
        let fine = window(
            &store,
            LOAD.name,
            (minutes(54), hours(1) + minutes(1)),
            STEP / 2,
            Fold::Mean,
        );
        assert!(
            fine[..12].iter().all(|v| (v - 4.0).abs() < 1e-9),
            "{fine:?}"
        );
        assert!(fine[12..72].iter().all(|v| v.is_nan()), "{fine:?}");
        assert_eq!(fine[72], load_at(hours(1)));
        assert!(fine[73].is_nan());
        let sums = window(
            &store,
            LOAD.name,
            (minutes(30), minutes(31)),
            STEP,
            Fold::Sum,
        );
        assert!(sums.iter().all(|v| v.is_nan()), "a sum is never spread");
        if round == 0 {
            store.tick(at(hours(3))).unwrap();
        } else {
            drop(store);
            store = open(&dir);
        }
    }
}

#[test]
fn back_filling_again_replaces() {
    let dir = folder();
    let store = open(&dir);
    back_fill(&store, 0, hours(4), 4.0);
    back_fill(&store, hours(2), hours(4), 8.0);
    let hourly = window(&store, LOAD.name, (0, hours(4)), hours(1), Fold::Mean);
    assert!(same(&hourly, &[4.0, 4.0, 8.0, 8.0]), "{hourly:?}");
}

#[test]
fn buckets_off_their_step_or_order_are_refused() {
    let dir = folder();
    let store = open(&dir);
    let key = SeriesKey::bare(LOAD.name);
    let mut buckets = level(Tier::Hour, 0, hours(3), 1.0);
    buckets.swap(0, 1);
    let put = |buckets: &[Bucket]| {
        store
            .history()
            .append_rollups(TARGET, Tier::Hour, &key, Kind::Gauge, buckets)
    };
    assert!(matches!(put(&buckets), Err(Error::Bucket(_))));
    let off = Bucket::gauge(at(1), [1.0; 4], 1);
    assert!(matches!(put(&[off]), Err(Error::Bucket(_))));
    assert!(store.history().series(&Selector::default()).is_empty());
}

#[test]
fn a_back_filled_counter_has_a_rate() {
    let dir = folder();
    let store = open(&dir);
    let key = SeriesKey::bare("pg_wal_bytes_total");
    let buckets: Vec<Bucket> = (0..24)
        .map(|hour| {
            Bucket::counter(
                at(hours(hour)),
                Tier::Hour,
                7_200.0 * (hour + 1) as f64,
                7_200.0,
                360,
            )
        })
        .collect();
    store
        .history()
        .append_rollups(TARGET, Tier::Hour, &key, Kind::Counter, &buckets)
        .unwrap();
    let rates = window(
        &store,
        "pg_wal_bytes_total",
        (0, hours(24)),
        hours(2),
        Fold::Rate,
    );
    assert!(same(&rates, &[2.0; 12]), "{rates:?}");
    let last = window(
        &store,
        "pg_wal_bytes_total",
        (0, hours(2)),
        hours(1),
        Fold::Last,
    );
    assert!(same(&last, &[7_200.0, 14_400.0]));
}

#[test]
fn questions_without_an_answer_say_why() {
    let dir = folder();
    let store = open(&dir);
    fill(&store, 0, minutes(1));
    let load = id(&store, &LOAD);
    let ask = |from, until, step, fold| store.history().window(load, from, until, step, fold);
    assert!(matches!(
        ask(at(0), at(1), Millis::HOUR, Fold::Rate),
        Err(Error::NotACounter(_))
    ));
    for (from, until, step) in [
        (at(0), at(1), Millis(0)),
        (at(1), at(0), Millis(1)),
        (
            Timestamp::from_millis(i64::MIN),
            Timestamp::from_millis(i64::MAX),
            Millis(1),
        ),
        (at(0), at(hours(1000)), Millis(1)),
    ] {
        let error = ask(from, until, step, Fold::Mean).unwrap_err();
        assert!(matches!(error, Error::Steps { .. }), "{error}");
    }
}

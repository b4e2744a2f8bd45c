//! Speed of the history: taking a scrape, and reading windows of a day.
//!
//! `cargo bench --bench history`. 2 000 series of one target at 10 s: a third stands still, a third
//! counts, a third goes both ways; seeded, so that every run sees the same values.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::model::series::{Labels, Metric, Scrape};
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Fold, Options, Selector, SeriesId, Store};

const SERIES: u32 = 2_000;
const APART: u64 = 10_000;
const STILL: Metric = Metric::gauge("bench_still_bytes", "Does not move.");
const COUNTER: Metric = Metric::counter("bench_events_total", "Grows.");
const GAUGE: Metric = Metric::gauge("bench_level_bytes", "Goes both ways.");

fn start() -> Timestamp {
    Timestamp::parse("2026-03-10T00:00:00Z").unwrap()
}

/// A number from 0 to 999 that depends on both and looks like noise.
fn noise(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 32)) % 1_000
}

fn scrape(number: u64) -> Scrape {
    let sample = |series: u32| {
        let labels = Labels::none().with("relname", format!("table_{series}"));
        let own = u64::from(series);
        match series % 3 {
            0 => STILL.sample(labels, f64::from(series)),
            1 => COUNTER.sample(labels, (number * 100 + noise(own, number) % 100) as f64),
            _ => GAUGE.sample(labels, (8_192 * noise(own, number)) as f64),
        }
    };
    Scrape {
        target: "bench".into(),
        at: start().plus(Millis(number * APART).as_duration()),
        samples: (0..SERIES).map(sample).collect(),
    }
}

fn first_id(store: &Store, metric: &Metric) -> SeriesId {
    let all = store.history().series(&Selector::metric(metric.name));
    all.first().unwrap().id
}

fn append(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::in_dir(dir.path())).unwrap();
    let mut number = 0;
    let mut group = c.benchmark_group("history/append");
    group.throughput(Throughput::Elements(u64::from(SERIES)));
    group.bench_function("scrape_of_2000", |b| {
        b.iter_batched(
            || {
                number += 1;
                scrape(number)
            },
            |scrape| store.history().append(&scrape).unwrap(),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn window(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::in_dir(dir.path())).unwrap();
    let day = Millis::DAY.0 / APART;
    for number in 0..day {
        store.history().append(&scrape(number)).unwrap();
        if number % 720 == 0 {
            store
                .tick(start().plus(Millis(number * APART).as_duration()))
                .unwrap();
        }
    }
    let until = start().plus(Millis::DAY.as_duration());
    let (gauge, counter) = (first_id(&store, &GAUGE), first_id(&store, &COUNTER));
    let mut group = c.benchmark_group("history/window_24h");
    group.bench_function("raw", |b| {
        b.iter(|| black_box(store.history().raw(gauge, start(), until).unwrap()));
    });
    let ask = |id, step, fold| {
        store
            .history()
            .window(id, start(), until, step, fold)
            .unwrap()
    };
    group.bench_function("mean_5m", |b| {
        b.iter(|| black_box(ask(gauge, Millis(5 * Millis::MINUTE.0), Fold::Mean)));
    });
    group.bench_function("rate_1m", |b| {
        b.iter(|| black_box(ask(counter, Millis::MINUTE, Fold::Rate)));
    });
    group.finish();
}

criterion_group!(benches, append, window);
criterion_main!(benches);

//! Cost of taking a remote-write request: unpacking, reading, interning, log and memory.
//!
//! `cargo bench --bench intake`. 600 series with the labels of a node exporter, 12 samples each, as a
//! sender that catches up sends them; and one sample each, as a sender at rest does. The sync that
//! precedes an acknowledgement is left out: it waits for the disk.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Options, Store};
use plimsoll::work::intake;

const SERIES: u64 = 600;
const APART: u64 = 10_000;

fn start() -> Timestamp {
    Timestamp::parse("2026-03-10T00:00:00Z").unwrap()
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

fn put_field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A request with `samples` instants of each series, from instant number `first` on.
fn request(first: u64, samples: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for series in 0..SERIES {
        let mut one = Vec::new();
        for (name, value) in [
            ("__name__", "node_cpu_seconds_total".to_owned()),
            ("cpu", (series / 8).to_string()),
            ("instance", "db1.example.net:9100".to_owned()),
            ("job", "node".to_owned()),
            ("mode", format!("mode{}", series % 8)),
        ] {
            let mut label = Vec::new();
            put_field(&mut label, 0x0a, name.as_bytes());
            put_field(&mut label, 0x12, value.as_bytes());
            put_field(&mut one, 0x0a, &label);
        }
        for number in first..first + samples {
            let at = start().plus(Millis(number * APART).as_duration());
            let value = (series * 1_000_000 + number * 10 + number % 7) as f64 / 100.0;
            let mut sample = vec![0x09];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(0x10);
            put_varint(&mut sample, at.as_millis().cast_unsigned());
            put_field(&mut one, 0x12, &sample);
        }
        put_field(&mut out, 0x0a, &one);
    }
    snap::raw::Encoder::new().compress_vec(&out).unwrap()
}

fn remote_write(c: &mut Criterion) {
    let mut group = c.benchmark_group("intake/remote_write");
    for samples in [12, 1] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(dir.path())).unwrap();
        let mut first = 0;
        group.throughput(Throughput::Elements(SERIES * samples));
        group.bench_function(format!("600_series_of_{samples}"), |b| {
            b.iter_batched(
                || {
                    first += samples;
                    let now = start().plus(Millis(first * APART).as_duration());
                    (now, request(first, samples))
                },
                |(now, body)| {
                    let (batch, _) = intake::read(&store, &body, now).unwrap();
                    let _ = store.history().push(&batch).unwrap();
                },
                criterion::BatchSize::PerIteration,
            );
            let now = start().plus(Millis(first * APART).as_duration());
            store.tick(now).unwrap();
        });
    }
    group.finish();
}

criterion_group!(benches, remote_write);
criterion_main!(benches);

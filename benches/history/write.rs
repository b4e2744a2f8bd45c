//! Bodies of remote write 1.0: protobuf in a snappy block.

use super::samples::{Day, Labels};

/// Series in one request.
const SERIES: usize = 600;
/// Samples of a series in one request: two minutes.
pub(crate) const SAMPLES: usize = 12;

/// Calls `send` with each request of scrapes `from..until`, moved in time by `shift` ms.
///
/// `copies` sends each series so many times, told apart by a label.
pub(crate) fn requests(
    day: &Day,
    scrapes: std::ops::Range<usize>,
    shift: i64,
    copies: usize,
    mut send: impl FnMut(&[u8], usize),
) {
    let mut snappy = snap::raw::Encoder::new();
    let heads: Vec<Vec<Vec<u8>>> = (0..copies)
        .map(|copy| day.series.iter().map(|labels| head(labels, copy)).collect())
        .collect();
    for first in scrapes.clone().step_by(SAMPLES) {
        let last = (first + SAMPLES).min(scrapes.end);
        for heads in &heads {
            for start in (0..heads.len()).step_by(SERIES) {
                let end = (start + SERIES).min(heads.len());
                let mut body = Vec::new();
                for number in start..end {
                    let mut series = heads[number].clone();
                    let times = &day.times[day.clocks[number]];
                    for scrape in first..last {
                        put_sample(
                            &mut series,
                            day.values[number][scrape],
                            times[scrape] + shift,
                        );
                    }
                    put_field(&mut body, 1, &series);
                }
                let packed = snappy.compress_vec(&body).unwrap();
                send(&packed, (end - start) * (last - first));
            }
        }
    }
}

fn head(labels: &Labels, copy: usize) -> Vec<u8> {
    let mut labels = labels.clone();
    if copy > 0 {
        labels.push(("copy".to_owned(), copy.to_string()));
        labels.sort();
    }
    let mut out = Vec::new();
    for (name, value) in &labels {
        let mut label = Vec::new();
        put_field(&mut label, 1, name.as_bytes());
        put_field(&mut label, 2, value.as_bytes());
        put_field(&mut out, 1, &label);
    }
    out
}

fn put_sample(out: &mut Vec<u8>, value: f64, at: i64) {
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(0x10);
    put_varint(&mut sample, at.cast_unsigned());
    put_field(out, 2, &sample);
}

fn put_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

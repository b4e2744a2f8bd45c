//! What others send and the files that they bring: remote write, CSV, OpenMetrics.
#![no_main]

use plimsoll::exchange::labels::checked;
use plimsoll::exchange::{Rows, csv, openmetrics, remote};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    request(bytes);
    if let Ok(unpacked) = remote::unpack(bytes) {
        request(&unpacked);
    }
    if let Ok(records) = csv::Records::new(bytes) {
        rows(records);
    }
    let headed = [csv::HEADER.as_bytes(), b"\n", bytes].concat();
    rows(csv::Records::new(headed.as_slice()).expect("it has its header"));
    rows(openmetrics::Lines::new(bytes));
});

fn request(bytes: &[u8]) {
    let mut samples = 0usize;
    let _ = remote::series(
        bytes,
        &mut samples,
        |samples, _, _| *samples += 1,
        |_, series| {
            let pairs = remote::pairs(&series.labels).collect::<Result<Vec<_>, _>>()?;
            let _ = checked(pairs);
            Ok(())
        },
    );
    assert!(samples <= bytes.len());
}

fn rows(mut rows: impl Rows) {
    while let Ok(Some(row)) = rows.next() {
        let series = row.series.to_vec();
        let _ = rows.name(&series);
    }
}

//! What the disk can do: appends of 4 kB, each followed by fdatasync.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Synced appends per second, over a second.
pub(crate) fn rate(folder: &Path) -> f64 {
    let path = folder.join("calibration");
    let mut file = File::create(&path).unwrap();
    let block = [7u8; 4096];
    let began = Instant::now();
    let mut count = 0u32;
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path).unwrap();
    rate
}

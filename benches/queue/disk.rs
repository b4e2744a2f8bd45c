//! What the disk can do: appends of 4 kB, each followed by fdatasync; and making it slower.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
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

/// How much longer each sync takes on a slow disk, in µs.
const LONGER_US: &str = "2000";
/// By which `slow_disk.c` is told so.
const LONGER: &str = "BENCH_SYNC_US";

/// Whether this process, and all that it starts, wait longer for each sync.
pub(crate) fn is_slow() -> bool {
    std::env::var_os(LONGER).is_some()
}

/// Runs this program again where each sync takes longer.
pub(crate) fn again_on_a_slow_one(words: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("slow_disk.so");
    let built = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/benches/queue/slow_disk.c"
        ))
        .arg("-ldl")
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "a C compiler is needed to make syncs slower"
    );
    let done = Command::new(std::env::current_exe().unwrap())
        .args(words)
        .env("LD_PRELOAD", &library)
        .env(LONGER, LONGER_US)
        .status();
    assert!(done.unwrap().success());
}

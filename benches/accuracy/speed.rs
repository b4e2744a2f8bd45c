//! Speed at sizes that the sets do not have: two years of hours, and 10,000 series at once.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plimsoll::clock::Stopwatch;

use crate::limit::{MANY_PEAK_MB, MANY_WALL_S, TWO_YEARS_MS, beside};
use crate::{ahead, processor};

const TWO_YEARS: usize = 17_520;
/// Series of two years whose mean cost counts.
const LONG: u64 = 8;
const MANY: u64 = 10_000;
const MANY_POINTS: usize = 960;
const MANY_HORIZON: usize = 48;

/// Prints what the large cases cost.
pub(crate) fn table() {
    println!("\n| case | measured (limit) |\n|---|---|");
    let long: Vec<Vec<f64>> = (0..LONG).map(|seed| hours(seed, TWO_YEARS)).collect();
    for horizon in [720, 4_380, 8_760] {
        let ms = processor::ms_each(long.len(), || {
            for values in &long {
                std::hint::black_box(ahead(values, None, horizon, &[]));
            }
        });
        let ms = beside(ms, 2, TWO_YEARS_MS);
        println!("| {TWO_YEARS} hours, {horizon} ahead, CPU ms | {ms} |");
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("many.csv");
    write_many(&input);
    let (wall, peak) = run_many(&input, &folder.path().join("next.csv"));
    let case = format!("{MANY} series of {MANY_POINTS} hours, {MANY_HORIZON} ahead, two threads");
    println!("| {case}, wall s | {} |", beside(wall, 1, MANY_WALL_S));
    println!("| {case}, peak MB | {} |", beside(peak, 0, MANY_PEAK_MB));
}

/// Hours with days, weeks, growth and noise, another series for each seed.
fn hours(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed + 1;
    // SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
    let mut uniform = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (level, growth, swing) = (50.0 + 100.0 * uniform(), 0.02 * uniform(), 30.0 * uniform());
    (0..count)
        .map(|hour| {
            let day = (std::f64::consts::TAU * hour as f64 / 24.0).sin();
            let is_weekend = hour / 24 % 7 >= 5;
            let noise = uniform() + uniform() + uniform() - 1.5;
            let rest = if is_weekend { 0.6 } else { 1.0 };
            level + growth * hour as f64 + swing * rest * day + 4.0 * noise
        })
        .collect()
}

fn write_many(path: &Path) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    writeln!(out, "series,step,y").unwrap();
    for seed in 0..MANY {
        for (step, y) in hours(seed, MANY_POINTS).into_iter().enumerate() {
            writeln!(out, "h{seed},{step},{y:.3}").unwrap();
        }
    }
    out.flush().unwrap();
}

/// Wall seconds and peak megabytes of the program itself on the file.
fn run_many(input: &Path, out: &Path) -> (f64, f64) {
    /// How often its memory is looked at; the kernel keeps the peak.
    const LOOK: Duration = Duration::from_millis(20);
    let watch = Stopwatch::start();
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["forecast", "--format", "csv", "--levels", "80,95"])
        .args(["--horizon", &MANY_HORIZON.to_string()])
        .arg("--input")
        .arg(input)
        .arg("--out")
        .arg(out)
        .env("RAYON_NUM_THREADS", "2")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = f64::NAN;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak_mb(&child).unwrap_or(peak);
        std::thread::sleep(LOOK);
    };
    assert!(status.success(), "plimsoll forecast failed: {status}");
    (watch.elapsed().as_secs_f64(), peak)
}

/// The most memory that was resident so far.
fn peak_mb(child: &Child) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

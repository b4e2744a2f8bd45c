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
const YEAR: usize = 8_760;
/// Series of two years whose mean cost counts.
const LONG: u64 = 8;
const MANY: u64 = 10_000;
const MANY_POINTS: usize = 960;
const MANY_HORIZON: usize = 48;

/// Prints what the large cases cost.
pub(crate) fn table() {
    println!("\n| case | measured (limit) |\n|---|---|");
    let long: Vec<Vec<f64>> = (0..LONG).map(|seed| hours(seed, TWO_YEARS)).collect();
    for horizon in [720, 4_380, YEAR] {
        let ms = processor::ms_each(long.len(), || {
            for values in &long {
                std::hint::black_box(ahead(values, None, horizon, &[]));
            }
        });
        let ms = beside(ms, 2, TWO_YEARS_MS);
        println!("| {TWO_YEARS} hours, {horizon} ahead, CPU ms | {ms} |");
    }
    let folder = tempfile::tempdir().unwrap();
    let ms = beside(whole_year_ms(folder.path()), 1, TWO_YEARS_MS);
    println!(
        "| {TWO_YEARS} hours, {YEAR} ahead, CPU ms, of the program, reading and writing included | {ms} |"
    );
    let input = folder.path().join("many.csv");
    write(&input, MANY, MANY_POINTS);
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

fn write(path: &Path, series: u64, points: usize) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    writeln!(out, "series,step,y").unwrap();
    for seed in 0..series {
        for (step, y) in hours(seed, points).into_iter().enumerate() {
            writeln!(out, "h{seed},{step},{y:.3}").unwrap();
        }
    }
    out.flush().unwrap();
}

/// The program on a file, not yet started.
fn program(input: &Path, out: &Path, horizon: usize) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    program
        .args(["forecast", "--format", "csv", "--levels", "80,95"])
        .args(["--horizon", &horizon.to_string()])
        .arg("--input")
        .arg(input)
        .arg("--out")
        .arg(out)
        .stderr(Stdio::null());
    program
}

/// Processor time that a series of two years takes the program, a year ahead, on one thread: that of
/// many series less that of one.
fn whole_year_ms(folder: &Path) -> f64 {
    const SERIES: u64 = 41;
    /// The kernel counts in steps of 10 ms.
    const RUNS: u32 = 5;
    let spent = |series: u64| {
        let input = folder.join("years.csv");
        write(&input, series, TWO_YEARS);
        let before = processor::children_ms();
        for _ in 0..RUNS {
            let mut program = program(&input, &folder.join("year.csv"), YEAR);
            let status = program.env("RAYON_NUM_THREADS", "1").status().unwrap();
            assert!(status.success(), "plimsoll forecast failed: {status}");
        }
        (processor::children_ms() - before) / f64::from(RUNS)
    };
    (spent(SERIES) - spent(1)) / (SERIES - 1) as f64
}

/// Wall seconds and peak megabytes of the program itself on the file.
fn run_many(input: &Path, out: &Path) -> (f64, f64) {
    /// How often its memory is looked at; the kernel keeps the peak.
    const LOOK: Duration = Duration::from_millis(20);
    let watch = Stopwatch::start();
    let mut child = program(input, out, MANY_HORIZON)
        .env("RAYON_NUM_THREADS", "2")
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

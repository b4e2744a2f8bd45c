//! How right the forecasts are, on series whose future is known: the figures of `models/card.md`.
//!
//! Reads `../shared/data/capacity` (made by its `gen.py`; more such folders may be given as
//! arguments) and `../shared/data/infra`, where they stand; says so where they do not. One thread,
//! so that the time a series is its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use plimsoll::clock::Stopwatch;
use plimsoll::forecast::{Fold, Plan, Threshold, forecast};
use plimsoll::model::capacity::{Forecast, Outlook};
use plimsoll::model::series::Window;
use plimsoll::model::units::{Millis, Timestamp};

fn main() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let shared = std::iter::once(shared).chain([PathBuf::from("../shared/data")]);
    let root = shared.into_iter().find(|folder| folder.is_dir());
    // `cargo bench` passes flags of its own; only folders are taken.
    let mut capacity: Vec<PathBuf> = std::env::args()
        .skip(1)
        .map(PathBuf::from)
        .filter(|path| path.is_dir())
        .collect();
    let Some(root) = root else {
        if capacity.is_empty() {
            println!("../shared/data is not there; nothing was measured");
        }
        return capacity_sets(&capacity);
    };
    if capacity.is_empty() {
        capacity.push(root.join("capacity"));
    }
    capacity_sets(&capacity);
    daily_infra(&root.join("infra"));
}

/// `series → values` of a file with the columns series, step, y.
fn series(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let reader = BufReader::new(flate2::read::GzDecoder::new(File::open(path).unwrap()));
    for line in reader.lines().skip(1) {
        let line = line.unwrap();
        let mut cells = line.split(',');
        let name = cells.next().unwrap();
        let y = cells.nth(1).unwrap().parse().unwrap_or(f64::NAN);
        match all.get_mut(name) {
            Some(values) => values.push(y),
            None => drop(all.insert(name.to_owned(), vec![y])),
        }
    }
    all
}

/// Sums over the series of one group.
#[derive(Default)]
struct Tally {
    series: usize,
    late: Vec<f64>,
    near: usize,
    missed: usize,
    never: usize,
    false_alarms: usize,
    far: usize,
    false_soon: usize,
    inside: usize,
    brier: f64,
    points: usize,
    in80: usize,
    in95: usize,
    smape: f64,
    log_relative: f64,
    ms: f64,
}

impl Tally {
    fn crossing(&mut self, truth: Option<f64>, horizon: f64, quantiles: [Option<f64>; 3], p: f64) {
        let [lo, mid, hi] = quantiles.map(|q| q.unwrap_or(f64::INFINITY));
        let hit = truth.is_some_and(|t| t <= horizon);
        self.brier += (p - f64::from(u8::from(hit))).powi(2);
        if let Some(t) = truth {
            self.late.push((mid.min(horizon) - t).abs());
            self.missed += usize::from(mid.is_infinite());
            self.near += usize::from((mid - t).abs() <= (0.2 * t).max(3.0));
            self.inside += usize::from(lo <= t && t <= hi);
        } else {
            self.never += 1;
            self.false_alarms += usize::from(mid.is_finite());
        }
        if truth.is_none_or(|t| t > 60.0) {
            self.far += 1;
            self.false_soon += usize::from(mid <= 30.0);
        }
    }

    fn future(&mut self, forecast: &Forecast, actual: &[f64], naive: &[f64]) {
        let (mut own, mut base, mut smape, mut count) = (0.0, 0.0, 0.0, 0.0_f64);
        for ((point, y), n) in forecast.points.iter().zip(actual).zip(naive) {
            if !y.is_finite() {
                continue;
            }
            own += (y - point.mean).abs();
            base += (y - n).abs();
            smape += 200.0 * (y - point.mean).abs() / (y.abs() + point.mean.abs()).max(1e-9);
            count += 1.0;
            self.points += 1;
            self.in80 += usize::from(point.bands[1].lo <= *y && *y <= point.bands[1].hi);
            self.in95 += usize::from(point.bands[2].lo <= *y && *y <= point.bands[2].hi);
        }
        self.series += 1;
        self.smape += smape / count.max(1.0);
        self.log_relative += (own.max(1e-12) / base.max(1e-12)).ln();
    }

    fn row(&self, name: &str) -> String {
        let share = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        let hits = self.late.len();
        let n = self.series.max(1) as f64;
        let mean = match hits {
            0 => "–".to_owned(),
            _ => format!("{:.1}", self.late.iter().sum::<f64>() / hits as f64),
        };
        format!(
            "| {name} | {} | {mean} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.3} | {:.1} | {:.1} | {:.2} | {:.2} | {:.2} |",
            self.series,
            share(self.near, hits),
            share(self.missed, hits),
            share(self.false_alarms, self.never),
            share(self.false_soon, self.far),
            share(self.inside, hits),
            self.brier / n,
            share(self.in80, self.points),
            share(self.in95, self.points),
            self.smape / n,
            (self.log_relative / n).exp(),
            self.ms / n,
        )
    }
}

const HEAD: &str = "| set | series | crossing error, days | within 20 % | missed | false alarms | \
                    false within 30 d | truth in p10–p90 | Brier | in 80 % | in 95 % | sMAPE | \
                    MAE / seasonal naive | ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// Seasonal naive by weeks of days.
fn naive_week(past: &[f64], steps: usize) -> Vec<f64> {
    let last = past
        .iter()
        .rev()
        .find(|v| v.is_finite())
        .copied()
        .unwrap_or(0.0);
    (0..steps)
        .map(|j| {
            let at = past.len().checked_sub(7 - j % 7);
            let same = at.and_then(|at| past.get(at)).copied();
            same.filter(|v| v.is_finite()).unwrap_or(last)
        })
        .collect()
}

/// Means of whole days.
fn days(values: &[f64], per_day: usize) -> Vec<f64> {
    let day = |chunk: &[f64]| {
        let there: Vec<f64> = chunk.iter().copied().filter(|v| v.is_finite()).collect();
        there.iter().sum::<f64>() / there.len() as f64
    };
    let skip = values.len() % per_day;
    values[skip..].chunks(per_day).map(day).collect()
}

fn timed(window: &Window, plan: &Plan, tally: &mut [&mut Tally]) -> Option<Forecast> {
    let watch = Stopwatch::start();
    let outlook = forecast(window, plan).unwrap();
    let ms = watch.elapsed().as_secs_f64() * 1e3;
    for each in tally.iter_mut() {
        each.ms += ms;
    }
    match outlook {
        Outlook::Forecast(forecast) => Some(*forecast),
        Outlook::NotEnoughData { .. } => None,
    }
}

fn capacity_sets(folders: &[PathBuf]) {
    let mut groups: BTreeMap<String, Tally> = BTreeMap::new();
    let mut all = Tally::default();
    for folder in folders {
        let past = series(&folder.join("cap_train.csv.gz"));
        let future = series(&folder.join("cap_test.csv.gz"));
        let truth = std::fs::read_to_string(folder.join("truth.csv")).unwrap();
        for line in truth.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |i: usize| cells[i].parse::<f64>().ok();
            let step = Millis(cells[3].parse::<u64>().unwrap() * 1000);
            let per_day = usize::try_from(Millis::DAY.0 / step.0).unwrap();
            let horizon = number(8).unwrap();
            let window = Window {
                start: Timestamp::from_millis(0),
                step,
                values: past[cells[0]].clone(),
            };
            let plan = Plan {
                horizon: Millis(cells[8].parse::<u64>().unwrap() * Millis::DAY.0),
                thresholds: vec![Threshold {
                    name: "limit".to_owned(),
                    value: number(6).unwrap(),
                }],
                fold: Fold::Mean,
                seed: 1,
                ..Plan::default()
            };
            let group = groups.entry(cells[1].to_owned()).or_default();
            let tallies: &mut [&mut Tally] = &mut [group, &mut all];
            let forecast = timed(&window, &plan, tallies).unwrap();
            let crossing = &forecast.crossings[0];
            let quantiles = [crossing.p10, crossing.p50, crossing.p90]
                .map(|q| q.map(|at| at.since(window.end()).as_secs_f64() / 86_400.0));
            let actual = days(&future[cells[0]], per_day);
            let naive = naive_week(&days(&window.values, per_day), actual.len());
            for tally in tallies {
                tally.crossing(number(7), horizon, quantiles, crossing.probability);
                tally.future(&forecast, &actual, &naive);
            }
        }
    }
    if all.series > 0 {
        println!("{HEAD}");
        for (name, tally) in &groups {
            println!("{}", tally.row(name));
        }
        println!("{}", all.row("all capacity"));
    }
}

fn daily_infra(folder: &Path) {
    let Ok(meta) = std::fs::read_to_string(folder.join("meta.json")) else {
        return println!("{} is not there; infra was not measured", folder.display());
    };
    let meta: BTreeMap<String, serde_json::Value> = serde_json::from_str(&meta).unwrap();
    let past = series(&folder.join("infra_train.csv.gz"));
    let future = series(&folder.join("infra_test.csv.gz"));
    let (mut storage, mut other) = (Tally::default(), Tally::default());
    for (name, facts) in meta.iter().filter(|(_, facts)| facts["freq"] == "daily") {
        let (Some(values), Some(actual)) = (past.get(name), future.get(name)) else {
            continue;
        };
        let window = Window {
            start: Timestamp::from_millis(0),
            step: Millis::DAY,
            values: values.clone(),
        };
        let plan = Plan {
            horizon: Millis(actual.len() as u64 * Millis::DAY.0),
            ..Plan::default()
        };
        let is_storage = name.starts_with("gitsize");
        let tally = if is_storage { &mut storage } else { &mut other };
        let Some(forecast) = timed(&window, &plan, &mut [tally]) else {
            continue;
        };
        let seasonal = facts["periods"][0] == 7 && !is_storage;
        let last = values
            .iter()
            .rev()
            .find(|v| v.is_finite())
            .copied()
            .unwrap();
        let naive = if seasonal {
            naive_week(values, actual.len())
        } else {
            vec![last; actual.len()]
        };
        tally.future(&forecast, actual, &naive);
    }
    println!("{}", storage.row("real storage (gitsize, 90 d)"));
    println!("{}", other.row("other daily (90 d)"));
}

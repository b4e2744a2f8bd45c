//! Growth towards a threshold: when it is met, by archetype.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plimsoll::forecast::{Extension, Reached};
use plimsoll::model::units::Millis;

use crate::limit::{OfCapacity, beside};
use crate::measure::symmetric;
use crate::member::Alone;
use crate::{ahead, processor, sets};

const HEAD: &str = "| archetype | series | crossing error, days | within 20 % | missed | false alarms | \
                    false within 30 d | truth in p10–p90 | Brier | in 80 % | in 95 % | sMAPE | CPU ms |\
                    \n|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// One series whose growth is known.
struct Growth {
    archetype: String,
    past: Vec<f64>,
    actual: Vec<f64>,
    step: Millis,
    threshold: f64,
    /// Days to the threshold; nothing where it is not met within the horizon.
    truth: Option<f64>,
    horizon_days: f64,
}

impl Growth {
    fn forecast(&self) -> Extension {
        ahead(
            &self.past,
            Some(self.step),
            self.actual.len(),
            &[self.threshold],
        )
    }
}

/// Prints one row an archetype, and one for all.
pub(crate) fn table(folders: &[PathBuf]) {
    let mut groups: BTreeMap<String, Vec<Growth>> = BTreeMap::new();
    for folder in folders {
        for growth in read(folder) {
            groups
                .entry(growth.archetype.clone())
                .or_default()
                .push(growth);
        }
    }
    println!("{HEAD}");
    let (mut all, mut ms) = (Tally::default(), 0.0);
    for (name, group) in &groups {
        let mut tally = Tally::default();
        for growth in group {
            let extension = growth.forecast();
            tally.add(growth, &extension);
            all.add(growth, &extension);
        }
        let each = processor::ms_each(group.len(), || {
            for growth in group {
                std::hint::black_box(growth.forecast());
            }
        });
        ms += each * group.len() as f64;
        println!("{}", tally.row(name, each, &OfCapacity::NONE));
    }
    println!("{}", all.row("**all**", ms / all.series, &OfCapacity::ALL));
}

/// What the members got right on all of them.
pub(crate) fn members(folders: &[PathBuf]) -> Alone {
    let mut alone = Alone::default();
    for growth in folders.iter().flat_map(|folder| read(folder)) {
        alone.add(&growth.past, Some(growth.step), &growth.actual);
    }
    alone
}

fn read(folder: &Path) -> Vec<Growth> {
    let mut past = sets::columns(&folder.join("cap_train.csv.gz"));
    let mut future = sets::columns(&folder.join("cap_test.csv.gz"));
    let truth = std::fs::read_to_string(folder.join("truth.csv")).unwrap();
    let mut lines = truth.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| names.iter().position(|n| *n == name).unwrap();
    let of = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |name: &str| cells[place(name)];
        Growth {
            archetype: cell("archetype").to_owned(),
            past: past.remove(cell("series")).unwrap(),
            actual: future.remove(cell("series")).unwrap(),
            step: Millis(cell("step_seconds").parse::<u64>().unwrap() * 1000),
            threshold: cell("threshold").parse().unwrap(),
            truth: cell("ttt_days").parse().ok(),
            horizon_days: cell("horizon_days").parse().unwrap(),
        }
    };
    lines.map(of).collect()
}

/// Sums over series.
#[derive(Default)]
struct Tally {
    series: f64,
    /// Series whose threshold is met.
    met: f64,
    late: f64,
    near: f64,
    missed: f64,
    inside: f64,
    false_alarms: f64,
    /// Series whose threshold is met after 60 days or never.
    far: f64,
    false_soon: f64,
    brier: f64,
    /// Sums of shares, so that hours do not count more than days.
    in80: f64,
    in95: f64,
    smape: f64,
}

fn one(is: bool) -> f64 {
    f64::from(u8::from(is))
}

impl Tally {
    fn add(&mut self, growth: &Growth, extension: &Extension) {
        self.series += 1.0;
        self.crossing(growth, &extension.reached[0]);
        let [b80, b95] = extension.bands.as_slice() else {
            return;
        };
        let (mut in80, mut in95, mut smape) = (0.0, 0.0, 0.0);
        for (j, y) in growth.actual.iter().enumerate() {
            in80 += one(b80.lo[j] <= *y && *y <= b80.hi[j]);
            in95 += one(b95.lo[j] <= *y && *y <= b95.hi[j]);
            smape += symmetric(*y, extension.mean[j]);
        }
        let points = growth.actual.len() as f64;
        self.in80 += in80 / points;
        self.in95 += in95 / points;
        self.smape += smape / points;
    }

    fn crossing(&mut self, growth: &Growth, reached: &Reached) {
        let days = growth.step.as_days();
        let [early, middle, late] = [reached.p10, reached.p50, reached.p90]
            .map(|steps| steps.map_or(f64::INFINITY, |steps| steps * days));
        self.brier += (reached.probability - one(growth.truth.is_some())).powi(2);
        if let Some(truth) = growth.truth {
            self.met += 1.0;
            self.late += (middle.min(growth.horizon_days) - truth).abs();
            self.near += one((middle - truth).abs() <= (0.2 * truth).max(3.0));
            self.missed += one(middle.is_infinite());
            self.inside += one(early <= truth && truth <= late);
        } else {
            self.false_alarms += one(middle.is_finite());
        }
        if growth.truth.is_none_or(|truth| truth > 60.0) {
            self.far += 1.0;
            self.false_soon += one(middle <= 30.0);
        }
    }

    fn row(&self, name: &str, cpu_ms: f64, limits: &OfCapacity) -> String {
        // 0 of 0 is NaN, which is shown as a dash.
        let percent = |part: f64, whole: f64| 100.0 * part / whole;
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {:.3} | {} | {:.1} | {:.2} | {cpu_ms:.2} |",
            self.series,
            beside(self.late / self.met, 1, limits.late_days),
            beside(percent(self.near, self.met), 1, limits.near),
            beside(percent(self.missed, self.met), 1, limits.missed),
            beside(
                percent(self.false_alarms, self.series - self.met),
                1,
                (None, None)
            ),
            beside(percent(self.false_soon, self.far), 1, limits.false_soon),
            beside(percent(self.inside, self.met), 1, limits.inside),
            self.brier / self.series,
            beside(percent(self.in80, self.series), 1, limits.in80),
            percent(self.in95, self.series),
            self.smape / self.series,
        )
    }
}

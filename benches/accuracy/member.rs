//! How right each member is by itself, beside the combination of them all.

use std::collections::BTreeMap;

use plimsoll::forecast::{Ask, Detail, Series, extend};
use plimsoll::model::units::Millis;

/// Errors of the members on one set.
#[derive(Default)]
pub(crate) struct Alone {
    series: f64,
    members: BTreeMap<&'static str, Sum>,
}

/// One member on the series that it applies to.
#[derive(Default)]
struct Sum {
    series: f64,
    /// Logarithms of its error over that of the combination.
    log_relative: f64,
    weight: f64,
}

impl Alone {
    /// Forecasts one series and scores every member; NaN of the future is left out.
    pub(crate) fn add(&mut self, past: &[f64], step: Option<Millis>, actual: &[f64]) {
        let series = Series {
            values: past,
            step,
            periods: &[],
        };
        let ask = Ask {
            horizon: actual.len(),
            levels: &[],
            thresholds: &[],
            floor: None,
            ceiling: None,
            seed: 0,
            detail: Detail::Members,
        };
        let told = extend(&series, &ask).unwrap();
        let there: Vec<f64> = actual.iter().copied().filter(|y| y.is_finite()).collect();
        if there.is_empty() {
            return;
        }
        let size = there.iter().map(|y| y.abs()).sum::<f64>() / there.len() as f64;
        let little = 1e-3 * size + 1e-12;
        let error = |mean: &[f64]| {
            let errors = actual.iter().zip(mean).map(|(y, f)| (y - f).abs());
            let sum: f64 = errors.filter(|error| error.is_finite()).sum();
            sum / there.len() as f64 + little
        };
        self.series += 1.0;
        let all = error(&told.mean);
        for member in &told.members {
            let sum = self.members.entry(member.name).or_default();
            sum.series += 1.0;
            sum.log_relative += (error(&member.mean) / all).ln();
            sum.weight += member.weight;
        }
    }

    fn cell(&self, name: &str) -> String {
        self.members.get(name).map_or_else(
            || "–".to_owned(),
            |sum| {
                let relative = (sum.log_relative / sum.series).exp();
                let weight = 100.0 * sum.weight / self.series;
                let share = 100.0 * sum.series / self.series;
                let applies = if share > 99.9 {
                    String::new()
                } else {
                    format!(" of {share:.0} %")
                };
                format!("{relative:.2}{applies}, {weight:.0}")
            },
        )
    }
}

/// Prints a row a member and a column a set: the geometric mean over series of its error over that of
/// the combination, the share of series that it applies to where that is not all, and its mean weight
/// in percent.
pub(crate) fn table(sets: &[(String, Alone)]) {
    let mut names: Vec<&str> = Vec::new();
    for (_, alone) in sets {
        names.extend(alone.members.keys());
    }
    names.sort_unstable();
    names.dedup();
    let heads: Vec<&str> = sets.iter().map(|(name, _)| name.as_str()).collect();
    println!("\n| member | {} |", heads.join(" | "));
    println!("|---|{}", "---|".repeat(sets.len()));
    for name in names {
        let cells: Vec<String> = sets.iter().map(|(_, alone)| alone.cell(name)).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

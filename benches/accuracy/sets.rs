//! The series: M4's four sets and infrastructure by frequency.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// One past and its future; NaN is a missing value.
pub(crate) struct Known {
    pub(crate) past: Vec<f64>,
    pub(crate) actual: Vec<f64>,
    /// Period of the measures; the forecast is not told.
    pub(crate) period: usize,
}

/// Series that are scored together.
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) series: Vec<Known>,
}

/// M4 (the monthly set is of M3), then infrastructure.
pub(crate) fn all(root: &Path) -> Vec<Set> {
    let m4 = root.join("m4");
    let sets = [("hourly", 24), ("weekly", 1), ("daily", 1), ("monthly", 12)];
    let mut found: Vec<Set> = sets
        .iter()
        .map(|(name, period)| {
            let mut past = columns(&m4.join(format!("{name}_train.csv.gz")));
            let future = columns(&m4.join(format!("{name}_test.csv.gz")));
            let series = future.into_iter().map(|(series, actual)| Known {
                past: past.remove(&series).unwrap(),
                actual,
                period: *period,
            });
            Set {
                name: format!("m4 {name}"),
                series: series.collect(),
            }
        })
        .collect();
    found.extend(infra(&root.join("infra")));
    found
}

/// By frequency; growth of repositories is a group of its own.
fn infra(folder: &Path) -> Vec<Set> {
    let meta = std::fs::read_to_string(folder.join("meta.json")).unwrap();
    let meta: BTreeMap<String, serde_json::Value> = serde_json::from_str(&meta).unwrap();
    let mut past = columns(&folder.join("infra_train.csv.gz"));
    let mut future = columns(&folder.join("infra_test.csv.gz"));
    let mut groups: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    for (series, facts) in meta {
        let group = if series.starts_with("gitsize") {
            "gitsize"
        } else {
            facts["freq"].as_str().unwrap()
        };
        let period = facts["periods"][0].as_u64().unwrap_or(1);
        groups
            .entry(format!("infra {group}"))
            .or_default()
            .push(Known {
                past: past.remove(&series).unwrap(),
                actual: future.remove(&series).unwrap(),
                period: usize::try_from(period).unwrap(),
            });
    }
    let sets = groups.into_iter();
    sets.map(|(name, series)| Set { name, series }).collect()
}

/// `series → values` of a file with the columns series, step, y and perhaps more.
pub(crate) fn columns(path: &Path) -> BTreeMap<String, Vec<f64>> {
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

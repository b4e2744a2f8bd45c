//! How right the forecasts are, on series whose future is known: the figures of `models/card.md`.
//!
//! `cargo bench --bench accuracy [-- DIR…]`. Reads `../shared/data/{m4,infra,capacity}` where that
//! folder stands and says so where it does not. Each DIR is a capacity set made by that folder's
//! `gen.py`; sets that lie in one folder make one table. Everything goes through
//! [`plimsoll::forecast::extend`] on one thread; beside each figure stands the limit that was set.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement may stop at the first surprise"
)]

mod capacity;
mod limit;
mod measure;
mod member;
mod processor;
mod sets;
mod speed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plimsoll::forecast::{Ask, Detail, Extension, Series, extend};
use plimsoll::model::units::{Level, Millis};

use limit::Limits;
use measure::{Known, Tally};
use member::Alone;

fn main() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    // `cargo bench` passes flags of its own; only folders are taken.
    let given = std::env::args().skip(1).map(PathBuf::from);
    let mut folders: Vec<PathBuf> = given.filter(|path| path.is_dir()).collect();
    let mut members: Vec<(String, Alone)> = Vec::new();
    if beside.is_dir() {
        known_sets(&beside, &mut members);
        if folders.is_empty() {
            folders.push(beside.join("capacity"));
        }
    } else {
        println!(
            "{} is not there; M4 and infrastructure were not measured",
            beside.display()
        );
    }
    let mut tables: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for folder in folders {
        let parent = folder.parent().unwrap_or(&folder).to_path_buf();
        tables.entry(parent).or_default().push(folder);
    }
    for (parent, folders) in tables {
        println!("\ncapacity sets in {}", parent.display());
        capacity::table(&folders);
        members.push(("capacity".to_owned(), capacity::members(&folders)));
    }
    member::table(&members);
    speed::table();
}

/// Extends without telling periods, as `plimsoll forecast --input` does: what was never negative
/// does not become so.
fn ahead(values: &[f64], step: Option<Millis>, horizon: usize, thresholds: &[f64]) -> Extension {
    let series = Series {
        values,
        step,
        periods: &[],
    };
    let is_negative = values.iter().any(|v| *v < 0.0);
    let has_size = values.iter().any(|v| *v > 0.0);
    let ask = Ask {
        horizon,
        levels: &[Level::P80, Level::P95],
        thresholds,
        floor: (has_size && !is_negative).then_some(0.0),
        ceiling: None,
        seed: 0,
        detail: Detail::None,
    };
    extend(&series, &ask).unwrap()
}

/// M4 and infrastructure, a row each; what members got right is added to `members`.
fn known_sets(root: &Path, members: &mut Vec<(String, Alone)>) {
    println!("{}", Tally::HEAD);
    for set in sets::all(root) {
        let (mut tally, mut alone) = (Tally::default(), Alone::default());
        for one in &set.series {
            alone.add(&one.past, None, &one.actual);
            let extension = ahead(&one.past, None, one.actual.len(), &[]);
            tally.add(&Known {
                past: &one.past,
                actual: &one.actual,
                period: one.period,
                extension: &extension,
            });
        }
        tally.cpu_ms = processor::ms_each(set.series.len(), || {
            for one in &set.series {
                std::hint::black_box(ahead(&one.past, None, one.actual.len(), &[]));
            }
        });
        println!("{}", tally.row(&set.name, &Limits::of(&set.name)));
        members.push((set.name, alone));
    }
}

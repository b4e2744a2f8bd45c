//! A day of recorded behaviour: 2 319 series at 10 s, 20 million samples.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Labels of a series, sorted by name, with `__name__`.
pub(crate) type Labels = Vec<(String, String)>;

/// All samples, by scrape: each series has a value at each.
pub(crate) struct Day {
    /// Labels of each series.
    pub(crate) series: Vec<Labels>,
    /// Place of each series' clock in `times`.
    pub(crate) clocks: Vec<usize>,
    /// Instants of each clock, in ms.
    pub(crate) times: Vec<Vec<i64>>,
    /// Values, all of a series together.
    pub(crate) values: Vec<Vec<f64>>,
}

impl Day {
    /// Reads the day, made once from the recording in `../shared`; `None` where it is missing.
    pub(crate) fn load(hours: u32) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let maker = root.join("../shared/tools/extend_samples.py");
        let path = Self::path(hours);
        if !path.exists() {
            if !maker.exists() {
                println!("{} is missing: nothing to measure with", maker.display());
                return None;
            }
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let made = Command::new("python3")
                .arg(&maker)
                .arg(&path)
                .arg(hours.to_string())
                .status();
            if !made.is_ok_and(|status| status.success()) {
                let _ = std::fs::remove_file(&path);
                println!(
                    "{} did not run; it needs python3 with numpy",
                    maker.display()
                );
                return None;
            }
        }
        Some(Self::read(&path))
    }

    /// Where the file lies.
    pub(crate) fn path(hours: u32) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        root.join(format!("target/bench/samples-{hours}h.csv"))
    }

    fn read(path: &Path) -> Self {
        let mut day = Self {
            series: Vec::new(),
            clocks: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
        };
        let (mut names, mut jobs) = (Vec::new(), Vec::<String>::new());
        let mut from = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let mut next = 0;
        loop {
            line.clear();
            if from.read_line(&mut line).unwrap() == 0 {
                return day;
            }
            let mut parts = line.trim_end().rsplitn(3, ',');
            let value: f64 = parts.next().unwrap().parse().unwrap();
            let at: i64 = parts.next().unwrap().parse().unwrap();
            let name = parts.next().unwrap();
            // The first scrape names the series; every other has them in the same order.
            if names.first().is_some_and(|first| first == name) {
                next = 0;
            }
            if next == names.len() {
                names.push(name.to_owned());
                let (job, labels) = read_name(name);
                let clock = jobs
                    .iter()
                    .position(|known| *known == job)
                    .unwrap_or_else(|| {
                        jobs.push(job);
                        day.times.push(Vec::new());
                        jobs.len() - 1
                    });
                day.series.push(labels);
                day.clocks.push(clock);
                day.values.push(Vec::new());
            }
            day.values[next].push(value);
            let times = &mut day.times[day.clocks[next]];
            if times.last() != Some(&at) {
                times.push(at);
            }
            next += 1;
        }
    }

    /// How many samples there are.
    pub(crate) fn samples(&self) -> usize {
        self.values.iter().map(Vec::len).sum()
    }

    /// How many scrapes there are.
    pub(crate) fn scrapes(&self) -> usize {
        self.values[0].len()
    }

    /// The last instant.
    pub(crate) fn end(&self) -> i64 {
        self.times
            .iter()
            .filter_map(|times| times.last())
            .copied()
            .max()
            .unwrap()
    }

    /// The metric whose number of series is nearest to `wanted`, and that number.
    pub(crate) fn metric_of(&self, wanted: usize) -> (String, usize) {
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        for labels in &self.series {
            *counts.entry(name_of(labels)).or_default() += 1;
        }
        let (name, count) = counts
            .into_iter()
            .min_by_key(|(_, count)| count.abs_diff(wanted))
            .unwrap();
        (name.to_owned(), count)
    }
}

/// The metric among labels.
pub(crate) fn name_of(labels: &Labels) -> &str {
    labels
        .iter()
        .find(|(name, _)| name == "__name__")
        .map_or("", |(_, value)| value)
}

/// A selector of just this series.
pub(crate) fn selector(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| name != "__name__")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{}{{{}}}", name_of(labels), pairs.join(","))
}

/// Job and labels of `"job|metric{label=""value""}"`, quoted as CSV does.
fn read_name(quoted: &str) -> (String, Labels) {
    let text = quoted.trim_matches('"').replace("\"\"", "\"");
    let (job, series) = text.split_once('|').unwrap();
    let (metric, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut pairs = vec![
        ("__name__".to_owned(), metric.to_owned()),
        ("job".to_owned(), job.to_owned()),
    ];
    let mut left = labels.trim_end_matches('}');
    while let Some((name, rest)) = left.split_once("=\"") {
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                other => value.push(other),
            }
        }
        if !value.is_empty() && name != "job" {
            pairs.push((name.trim_start_matches(',').to_owned(), value));
        }
        left = &rest[end..];
    }
    pairs.sort();
    (job.to_owned(), pairs)
}

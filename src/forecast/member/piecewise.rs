//! A line that may bend: hinges at even distances and level shifts, chosen by linfa's elastic net.
//!
//! The net only chooses the columns; the slopes come from least squares on the chosen ones, since
//! a shrunken last slope would move every date. The penalty is chosen by a criterion of Schwarz
//! (1978, "Estimating the dimension of a model") on an effective number of observations (Bayley
//! and Hammersley 1946, for errors that follow each other), so that a slow wander is not taken
//! for bends. Outliers are weighted down after Huber 1964, "Robust estimation of a location
//! parameter". Source of the whole: Meinshausen 2007, "Relaxed lasso".

use super::{Past, effective, present, yearly};
use crate::forecast::settings::settings;
use crate::stats::regress::{Design, Fit, Gram, Weighted};
use crate::stats::{MAD_TO_SD, mad, median};

/// A tiny ridge keeps neighbouring hinges from playing against each other.
const RIDGE: f64 = 1e-6;

/// On the values as they are: growth by amounts.
pub(super) fn plain(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    extend(past, past.values, horizon)
}

/// On logarithms: growth by factors. Needs values above zero.
pub(super) fn logarithmic(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    if present(past.values).any(|(_, v)| v <= 0.0) {
        return None;
    }
    let logs: Vec<f64> = past.values.iter().map(|v| v.ln()).collect();
    let future = extend(past, &logs, horizon)?;
    Some(future.into_iter().map(f64::exp).collect())
}

/// What explains a past, whatever is explained: its values or their logarithms.
pub(super) struct Frame {
    bends: Vec<f64>,
    design: Design,
    /// All rows weighing the same.
    even: Weighted,
}

impl Frame {
    fn of(past: &Past<'_>) -> Option<Self> {
        let bends = bends(past.values.len());
        let mut design = Design::new(columns(past, &bends));
        for (i, _) in present(past.values) {
            design.push(row(past, &bends, i));
        }
        let even = Weighted::new(&design, &vec![1.0; design.rows()]).ok()?;
        Some(Self {
            bends,
            design,
            even,
        })
    }
}

/// The line, what may bend it, level shifts and the yearly season.
fn row<'a>(past: &'a Past<'_>, bends: &'a [f64], i: usize) -> impl Iterator<Item = f64> + 'a {
    let t = i as f64 / past.values.len() as f64;
    let hinges = bends.iter().map(move |b| (t - b).max(0.0));
    let jumps = past.shifts.iter();
    let jumps = jumps.map(move |s| f64::from(u8::from(i >= *s)));
    std::iter::once(t)
        .chain(hinges)
        .chain(jumps)
        .chain(yearly(past.year, i))
}

/// Columns of the yearly season.
fn fixed(past: &Past<'_>) -> usize {
    past.year.map_or(0, |_| 4)
}

fn columns(past: &Past<'_>, bends: &[f64]) -> usize {
    1 + bends.len() + past.shifts.len() + fixed(past)
}

fn extend(past: &Past<'_>, values: &[f64], horizon: usize) -> Option<Vec<f64>> {
    let frame = past.frame.get_or_init(|| Frame::of(past)).as_ref()?;
    let Frame {
        bends,
        design,
        even,
    } = frame;
    let n = values.len();
    let columns = columns(past, bends);
    let targets: Vec<f64> = present(values).map(|(_, v)| v).collect();
    let yearly = columns - fixed(past)..columns;
    let always: Vec<usize> = std::iter::once(0).chain(yearly).collect();
    let residuals_of = |fit: &Fit| -> Vec<f64> {
        let rows = design.iter().zip(&targets);
        rows.map(|(row, v)| v - fit.at(row.iter().copied()))
            .collect()
    };
    let gram = even.gram(&targets).ok()?;
    let (kept, mut fit) = choose(&gram, &always, columns, &residuals_of);
    for _ in 0..settings().piecewise.rounds {
        let weights = huber_weights(&residuals_of(&fit));
        let gram = Gram::new(design, &targets, &weights).ok()?;
        fit = gram.solve(&kept, RIDGE);
    }
    let recent = residuals_of(&fit);
    let from = recent.len().saturating_sub(settings().history.level);
    let off = median(recent.get(from..)?).ok()?;
    Some(
        (n..n + horizon)
            .map(|i| fit.at(row(past, bends, i)) + off)
            .collect(),
    )
}

/// Places of possible bends, as shares of the history.
fn bends(n: usize) -> Vec<f64> {
    let set = &settings().piecewise;
    let count = (n / set.steps_per_bend.max(1)).min(set.max_bends);
    (0..count)
        .map(|k| set.first + (set.last - set.first) * (k as f64 + 0.5) / count as f64)
        .collect()
}

/// The best columns over the penalties, and their fit.
fn choose(
    gram: &Gram,
    always: &[usize],
    columns: usize,
    residuals_of: &dyn Fn(&Fit) -> Vec<f64>,
) -> (Vec<usize>, Fit) {
    let set = &settings().piecewise;
    let all: Vec<usize> = (0..columns).collect();
    let rich = residuals_of(&gram.solve(&all, RIDGE));
    let count = effective(&rich);
    let n = rich.len() as f64;
    let score = |fit: &Fit| {
        let spread = (fit.residual_sum / n).max(f64::MIN_POSITIVE);
        count * spread.ln() + set.criterion * (fit.used as f64 + 1.0) * n.ln()
    };
    let plain = gram.solve(always, RIDGE);
    let mut best = (score(&plain), always.to_vec(), plain);
    for penalty in &set.penalties {
        let Ok(mut kept) = gram.kept_by_elastic_net(*penalty, set.l1_ratio) else {
            continue;
        };
        kept.extend(always);
        kept.sort_unstable();
        kept.dedup();
        let fit = gram.solve(&kept, RIDGE);
        let own = score(&fit);
        if own < best.0 {
            best = (own, kept, fit);
        }
    }
    (best.1, best.2)
}

fn huber_weights(residuals: &[f64]) -> Vec<f64> {
    let scale = mad(residuals).unwrap_or(0.0) * MAD_TO_SD;
    let bound = settings().piecewise.huber * scale;
    let weigh = |r: &f64| {
        if r.abs() <= bound || bound <= 0.0 {
            1.0
        } else {
            bound / r.abs()
        }
    };
    residuals.iter().map(weigh).collect()
}

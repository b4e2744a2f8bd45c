//! Level shifts: the steps at which a series jumps and stays, such as a migration.
//!
//! A moving-window statistic, of the kind of Bauer and Hackl 1978, "The use of MOSUMs for quality
//! control", with medians in place of sums, so that spikes do not count, and the median absolute
//! deviation (Hampel 1974, "The influence curve and its role in robust estimation") in place of a known
//! scale. Bounds, and the search for the very step, are our own.

use crate::stats::moving::Moving;
use crate::stats::{MAD_TO_SD, mad, median};

use super::settings::settings;

/// Indexes of the first step after each jump, in order.
///
/// Medians of the steps before and after are compared at every step, so that spikes do not count;
/// a jump stands out from what is usual for this series by robust standard deviations, and is the
/// largest within its window.
pub(super) fn find(values: &[f64]) -> Vec<usize> {
    let set = &settings().shift;
    let w = set.window;
    let n = values.len();
    if n < 4 * w {
        return Vec::new();
    }
    let middles = middles(values, w, w.div_ceil(2));
    let jumps: Vec<(usize, f64)> = middles
        .iter()
        .zip(middles.iter().skip(w))
        .enumerate()
        .map(|(before, (old, new))| (before + w, new - old))
        .filter(|(_, jump)| jump.is_finite())
        .collect();
    let sizes: Vec<f64> = jumps.iter().map(|(_, jump)| *jump).collect();
    let (Ok(usual), Ok(scale)) = (median(&sizes), mad(&sizes)) else {
        return Vec::new();
    };
    let largest = values
        .iter()
        .filter(|v| v.is_finite())
        .fold(0.0_f64, |m, v| m.max(v.abs()));
    let bound = (set.sd * MAD_TO_SD * scale).max(1e-9 * largest);
    let mut loud: Vec<(usize, f64)> = jumps
        .iter()
        .map(|(t, jump)| (*t, (jump - usual).abs()))
        .filter(|(_, size)| *size > bound)
        .collect();
    loud.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut taken: Vec<usize> = Vec::new();
    for (t, _) in loud {
        if taken.len() < set.max && taken.iter().all(|other| other.abs_diff(t) >= w) {
            taken.push(sharpened(values, t, w));
        }
    }
    taken.sort_unstable();
    taken.dedup();
    taken
}

/// Sizes of the jumps at `places`, growth across them left out.
pub(super) fn sizes(values: &[f64], places: &[usize]) -> Vec<(usize, f64)> {
    if places.is_empty() {
        return Vec::new();
    }
    let w = settings().shift.window;
    let middle = |from: usize, until: usize| {
        let hood = values
            .get(from..until.min(values.len()))
            .unwrap_or_default();
        let there: Vec<f64> = hood.iter().copied().filter(|v| v.is_finite()).collect();
        median(&there).unwrap_or(f64::NAN)
    };
    // Medians one window apart, with no jump between them, show the growth of one window.
    let middles = middles(values, w, 1);
    let apart = middles.iter().zip(middles.iter().skip(w));
    let apart: Vec<f64> = apart
        .map(|(old, new)| new - old)
        .filter(|d| d.is_finite())
        .collect();
    let growth = median(&apart).unwrap_or(0.0);
    let size = |at: usize| middle(at, at + w) - middle(at.saturating_sub(w), at) - growth;
    let sized = places.iter().map(|at| (*at, size(*at)));
    sized.filter(|(_, size)| size.is_finite()).collect()
}

/// The median of each whole window of `w` steps, the first one first; NaN where fewer than `least`
/// of its values are there.
fn middles(values: &[f64], w: usize, least: usize) -> Vec<f64> {
    let mut window = Moving::with_capacity(w + 1);
    let mut middles = Vec::with_capacity(values.len());
    for (at, v) in values.iter().enumerate() {
        window.take(*v);
        if let Some(gone) = at.checked_sub(w).and_then(|gone| values.get(gone)) {
            window.leave(*gone);
        }
        if at + 1 >= w {
            let enough = window.count() >= least;
            middles.push(if enough { window.median() } else { f64::NAN });
        }
    }
    middles
}

/// The largest single step near `t`: medians see a jump in about the right place only.
fn sharpened(values: &[f64], t: usize, w: usize) -> usize {
    let middle = |from: usize, until: usize| {
        let hood = values.get(from..until).unwrap_or_default();
        let there: Vec<f64> = hood.iter().copied().filter(|v| v.is_finite()).collect();
        median(&there).unwrap_or(f64::NAN)
    };
    let reach = w / 2;
    (t.saturating_sub(reach)..=t + reach)
        .map(|at| {
            (
                at,
                (middle(at, at + 2) - middle(at.saturating_sub(2), at)).abs(),
            )
        })
        .filter(|(_, size)| size.is_finite())
        .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
        .map_or(t, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    #[test]
    fn a_migration_is_found_on_its_day() {
        let values: Vec<f64> = (0..120)
            .map(|i| 10.0 + 0.05 * i as f64 + noise(i) + if i >= 70 { 15.0 } else { 0.0 })
            .collect();
        assert_eq!(find(&values), [70]);
    }

    #[test]
    fn growth_and_noise_are_no_jumps() {
        let values: Vec<f64> = (0..150).map(|i| 0.4 * i as f64 + 3.0 * noise(i)).collect();
        assert!(find(&values).is_empty(), "{:?}", find(&values));
        assert!(find(&[1.0; 100]).is_empty());
    }
}

//! An elastic net by coordinate descent, on columns that make a triangle.
//!
//! For: which columns a penalty keeps ([`Gram::kept_by_elastic_net`](super::regress::Gram)), asked some
//! dozens of times for each series. Not for: columns of any shape. The steps and when they end are those
//! of linfa's `ElasticNet`, which the test compares with; for twenty columns that spends nine tenths
//! of its time on views of arrays.
//!
//! Source: Friedman, Hastie and Tibshirani 2010, "Regularization paths for generalized linear models via
//! coordinate descent", section 2; the end of the search by the duality gap: Kim, Koh, Lustig, Boyd and
//! Gorinevsky 2007, "An interior-point method for large-scale l1-regularized least squares", section III.

/// The search stops at this change of a coefficient of scaled columns.
const TOLERANCE: f64 = 1e-4;
/// The search stops after this many sweeps, converged or not: only which columns are kept is asked
/// of it, and that is settled long before the coefficients are.
const SWEEPS: usize = 60;

/// What coefficients cost: their sizes times `l1`, half their squares times `l2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Penalty {
    pub(super) l1: f64,
    pub(super) l2: f64,
}

/// Coefficients of columns whose rows end early: what is not there is 0.
pub(super) fn coefficients(columns: &[&[f64]], target: &[f64], penalty: Penalty) -> Vec<f64> {
    let squares: Vec<f64> = columns.iter().map(|x| product(x, x)).collect();
    let mut coefficients = vec![0.0_f64; columns.len()];
    let mut left = target.to_vec();
    let enough = TOLERANCE * product(target, target);
    for sweep in 1..=SWEEPS {
        let (mut largest, mut moved) = (0.0_f64, 0.0_f64);
        for ((x, square), own) in columns.iter().zip(&squares).zip(&mut coefficients) {
            if *square <= f64::EPSILON {
                continue;
            }
            let before = *own;
            add(&mut left, before, x);
            let with = product(x, &left);
            *own = with.signum() * (with.abs() - penalty.l1).max(0.0) / (square + penalty.l2);
            add(&mut left, -*own, x);
            moved = moved.max((*own - before).abs());
            largest = largest.max(own.abs());
        }
        let rests = largest <= f64::EPSILON || moved / largest < TOLERANCE;
        let is_asked = rests || sweep + 1 == SWEEPS;
        if is_asked && gap(columns, target, &coefficients, &left, penalty) < enough {
            break;
        }
    }
    coefficients
}

/// How far the loss lies above the least one at most.
fn gap(columns: &[&[f64]], target: &[f64], own: &[f64], left: &[f64], penalty: Penalty) -> f64 {
    let Penalty { l1, l2 } = penalty;
    let steepest = columns
        .iter()
        .zip(own)
        .map(|(x, b)| (product(x, left) - l2 * b).abs())
        .fold(0.0_f64, f64::max);
    let square = product(left, left);
    let share = if steepest > l1 { l1 / steepest } else { 1.0 };
    let size: f64 = own.iter().map(|b| b.abs()).sum();
    0.5 * square * (1.0 + share * share) + l1 * size - share * product(left, target)
        + 0.5 * l2 * (1.0 + share * share) * product(own, own)
}

/// In the order of the rows, up to the shorter one's end.
fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, column: &[f64]) {
    if factor.abs() > f64::EPSILON {
        for (cell, x) in to.iter_mut().zip(column) {
            *cell += factor * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linfa::Dataset;
    use linfa::traits::Fit as _;
    use linfa_elasticnet::ElasticNet;
    use ndarray::{Array1, Array2};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn coefficients_are_those_of_linfa(
            cells in prop::collection::vec(-1.0_f64..1.0, 28),
            target in prop::collection::vec(-1.0_f64..1.0, 7),
            share in 0.01_f64..0.9,
            l1_ratio in 0.1_f64..1.0,
        ) {
            let mut left = &cells[..];
            let mut columns = Vec::new();
            for j in 0..7 {
                let (own, rest) = left.split_at(j + 1);
                columns.push(own);
                left = rest;
            }
            let strongest = columns.iter().map(|x| product(x, &target).abs());
            let strength = share * strongest.fold(0.0, f64::max);
            let penalty = Penalty { l1: strength * l1_ratio, l2: strength * (1.0 - l1_ratio) };
            let found = coefficients(&columns, &target, penalty);
            let matrix = Array2::from_shape_fn((7, 7), |(a, b)| columns[b].get(a).copied().unwrap_or(0.0));
            let net = ElasticNet::params()
                .penalty(strength / 7.0)
                .l1_ratio(l1_ratio)
                .with_intercept(false)
                .tolerance(TOLERANCE)
                .max_iterations(60)
                .fit(&Dataset::new(matrix, Array1::from_vec(target)))
                .unwrap();
            for (own, theirs) in found.iter().zip(net.hyperplane()) {
                prop_assert!((own - theirs).abs() < 1e-9, "{found:?} {:?}", net.hyperplane());
            }
        }
    }
}

//! Products of the columns of a design: fitted on any of its columns without going over the rows again.
//!
//! For: choosing among columns, and many targets over one design. Not for: designs as they come
//! ([`least_squares`](super::least_squares)). Read [`Weighted`] first, then [`Gram`].

use linfa::Dataset;
use linfa::traits::Fit as _;
use linfa_elasticnet::ElasticNet;
use ndarray::{Array1, Array2, ShapeBuilder as _};

use super::{Design, Fit};
use crate::stats::{Error, Result, check};

/// A column keeps its place only if this share of its variance is not explained by those before.
const RANK_TOLERANCE: f64 = 1e-9;
/// Coordinate descent stops at this change of a coefficient of scaled columns.
const NET_TOLERANCE: f64 = 1e-4;
/// Coordinate descent stops after this many sweeps, converged or not: only which columns are kept
/// is asked of it, and that is settled long before the coefficients are.
const NET_SWEEPS: u32 = 60;

/// Centred columns and X'X, rows weighted: what is the same for any targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted {
    /// Square roots of the weights: on both factors, they weight their product.
    roots: Vec<f64>,
    shares: Vec<f64>,
    weight: f64,
    means: Vec<f64>,
    centred: Array2<f64>,
    scales: Vec<f64>,
    products: Array2<f64>,
}

impl Weighted {
    /// Folds rows and weights (all finite, weights not negative) into products.
    ///
    /// # Errors
    /// [`Error::Lengths`] when the two differ in number, [`Error::TooFewRows`] for fewer than two,
    /// and as [`check`].
    pub fn new(design: &Design, weights: &[f64]) -> Result<Self> {
        let (rows, columns) = (weights.len(), design.columns);
        same_length(design.rows(), rows)?;
        check(&design.values)?;
        check(weights)?;
        let weight: f64 = weights.iter().sum();
        if rows < 2 || weight <= 0.0 {
            return Err(Error::TooFewRows { rows, columns });
        }
        let shares: Vec<f64> = weights.iter().map(|w| w / weight).collect();
        let mut means = vec![0.0; columns];
        for (row, share) in design.iter().zip(&shares) {
            for (mean, x) in means.iter_mut().zip(row) {
                *mean += x * share;
            }
        }
        let roots: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        let mut centred = Array2::zeros((rows, columns));
        let cells = centred.as_slice_mut().unwrap_or_default();
        let cells = cells.chunks_exact_mut(columns.max(1));
        for ((row, root), cells) in design.iter().zip(&roots).zip(cells) {
            for ((x, mean), cell) in row.iter().zip(&means).zip(cells) {
                *cell = (x - mean) * root;
            }
        }
        let mut products = centred.t().dot(&centred);
        let scales: Vec<f64> = products.diag().iter().map(|d| d.max(0.0).sqrt()).collect();
        for ((a, b), cell) in products.indexed_iter_mut() {
            *cell = per_scale(*cell, scale_at(&scales, a) * scale_at(&scales, b));
        }
        Ok(Self {
            roots,
            shares,
            weight,
            means,
            centred,
            scales,
            products,
        })
    }

    /// With targets, one a row, all finite.
    ///
    /// # Errors
    /// [`Error::Lengths`] when rows and targets differ in number, and as [`check`].
    pub fn gram(&self, targets: &[f64]) -> Result<Gram> {
        same_length(self.roots.len(), targets.len())?;
        check(targets)?;
        let shared = targets.iter().zip(&self.shares);
        let target_mean: f64 = shared.map(|(t, share)| t * share).sum();
        let rooted = targets.iter().zip(&self.roots);
        let target: Array1<f64> = rooted.map(|(t, root)| (t - target_mean) * root).collect();
        let mut with_target = self.centred.t().dot(&target).to_vec();
        for (cell, scale) in with_target.iter_mut().zip(&self.scales) {
            *cell = per_scale(*cell, *scale);
        }
        Ok(Gram {
            rows: targets.len(),
            weight: self.weight,
            means: self.means.clone(),
            scales: self.scales.clone(),
            target_mean,
            products: self.products.clone(),
            with_target,
            target_square: target.dot(&target),
        })
    }
}

fn same_length(rows: usize, targets: usize) -> Result<()> {
    if rows == targets {
        Ok(())
    } else {
        Err(Error::Lengths { rows, targets })
    }
}

/// X'X, X'y and y'y of centred and scaled columns, rows weighted.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    rows: usize,
    weight: f64,
    pub(super) means: Vec<f64>,
    pub(super) scales: Vec<f64>,
    pub(super) target_mean: f64,
    /// Row-major, `columns × columns`; 1 on the diagonal where the column varies.
    products: Array2<f64>,
    with_target: Vec<f64>,
    target_square: f64,
}

impl Gram {
    /// Folds rows, targets and weights (all finite, weights not negative) into products.
    ///
    /// # Errors
    /// As [`Weighted::new`] and [`Weighted::gram`].
    pub fn new(design: &Design, targets: &[f64], weights: &[f64]) -> Result<Self> {
        Weighted::new(design, weights)?.gram(targets)
    }

    /// Columns that an elastic net keeps, at a penalty that is a share (0 to 1) of the one that
    /// keeps none. Source: Friedman, Hastie and Tibshirani 2010, "Regularization paths for
    /// generalized linear models via coordinate descent", section 2.
    ///
    /// # Errors
    /// [`Error::Solver`] if linfa refuses the input.
    pub fn kept_by_elastic_net(&self, penalty_share: f64, l1_ratio: f64) -> Result<Vec<usize>> {
        let factor = self.factor(&(0..self.scales.len()).collect::<Vec<_>>(), 0.0);
        let kept = &factor.columns;
        let k = kept.len();
        if k == 0 || self.target_square <= 0.0 {
            return Ok(Vec::new());
        }
        // R'R = X'X and R'ỹ = X'y, so that (R, ỹ) has the inner products of all rows. linfa goes
        // through it column by column: so it lies in memory.
        let upper = Array2::from_shape_fn((k, k).f(), |(a, b)| {
            factor.lower.get((b, a)).copied().unwrap_or(0.0)
        });
        let size = self.target_square.sqrt();
        let target = Array1::from_iter(factor.forward.iter().map(|v| v / size));
        let strongest = kept
            .iter()
            .filter_map(|c| self.with_target.get(*c))
            .fold(0.0_f64, |max, v| max.max((v / size).abs()));
        // linfa divides the squares by twice the rows it sees, which are `k` here.
        let penalty = penalty_share * strongest / (l1_ratio.max(1e-3) * k as f64);
        let net = ElasticNet::params()
            .penalty(penalty)
            .l1_ratio(l1_ratio)
            .with_intercept(false)
            .tolerance(NET_TOLERANCE)
            .max_iterations(NET_SWEEPS)
            .fit(&Dataset::new(upper, target))
            .map_err(|e| Error::Solver(e.to_string()))?;
        let coefficients = net.hyperplane();
        Ok(kept
            .iter()
            .zip(coefficients)
            .filter(|(_, coefficient)| coefficient.abs() > 1e-7)
            .map(|(column, _)| *column)
            .collect())
    }

    /// Least squares on the chosen columns, with a ridge as a share of each column's own square.
    pub fn solve(&self, columns: &[usize], ridge: f64) -> Fit {
        let factor = self.factor(columns, ridge);
        let scaled = factor.backward();
        let mut coefficients = vec![0.0; self.scales.len()];
        let mut intercept = self.target_mean;
        for (column, b) in factor.columns.iter().zip(&scaled) {
            let own = per_scale(*b, scale_at(&self.scales, *column));
            if let Some(cell) = coefficients.get_mut(*column) {
                *cell = own;
            }
            intercept -= own * self.means.get(*column).copied().unwrap_or(0.0);
        }
        let explained: f64 = factor
            .columns
            .iter()
            .zip(&scaled)
            .map(|(column, b)| 2.0 * b * self.with_target.get(*column).copied().unwrap_or(0.0))
            .sum::<f64>()
            - self.quadratic(&factor.columns, &scaled);
        let residual_sum = (self.target_square - explained).max(0.0);
        let used = factor.columns.len();
        let freedom = self.rows.saturating_sub(used + 1).max(1) as f64;
        Fit {
            intercept,
            coefficients,
            residual_sum,
            residual_variance: residual_sum / self.weight * self.rows as f64 / freedom,
            used,
        }
    }

    fn product(&self, a: usize, b: usize) -> f64 {
        self.products.get((a, b)).copied().unwrap_or(0.0)
    }

    fn quadratic(&self, columns: &[usize], b: &[f64]) -> f64 {
        let rows = columns.iter().zip(b);
        rows.map(|(i, bi)| {
            let row = columns.iter().zip(b);
            bi * row.map(|(j, bj)| bj * self.product(*i, *j)).sum::<f64>()
        })
        .sum()
    }

    /// Cholesky, column by column; one that the earlier ones explain is passed over.
    pub(super) fn factor(&self, columns: &[usize], ridge: f64) -> Factor {
        let mut factor = Factor {
            columns: Vec::with_capacity(columns.len()),
            lower: Array2::zeros((columns.len(), columns.len())),
            forward: Vec::with_capacity(columns.len()),
        };
        for &column in columns {
            let own = self.product(column, column);
            let mut row = Vec::with_capacity(factor.columns.len());
            for (j, other) in factor.columns.iter().enumerate() {
                let done: f64 = row
                    .iter()
                    .zip(factor.lower.row(j))
                    .map(|(a, b)| a * b)
                    .sum();
                let pivot = factor.lower.get((j, j)).copied().unwrap_or(1.0);
                row.push((self.product(column, *other) - done) / pivot);
            }
            let left = own * (1.0 + ridge) - row.iter().map(|v| v * v).sum::<f64>();
            if own <= 0.0 || left <= RANK_TOLERANCE * own {
                continue;
            }
            let pivot = left.sqrt();
            let met: f64 = row.iter().zip(&factor.forward).map(|(a, b)| a * b).sum();
            let target = self.with_target.get(column).copied().unwrap_or(0.0);
            factor.forward.push((target - met) / pivot);
            row.push(pivot);
            let mut place = factor.lower.row_mut(factor.columns.len());
            for (cell, v) in place.iter_mut().zip(row) {
                *cell = v;
            }
            factor.columns.push(column);
        }
        factor
    }
}

/// Lower Cholesky factor of the products of independent columns, and L⁻¹X'y.
pub(super) struct Factor {
    pub(super) columns: Vec<usize>,
    lower: Array2<f64>,
    forward: Vec<f64>,
}

impl Factor {
    fn backward(&self) -> Vec<f64> {
        let k = self.columns.len();
        let mut solution = vec![0.0; k];
        for i in (0..k).rev() {
            let below: f64 = (i + 1..k)
                .map(|j| {
                    let cell = self.lower.get((j, i)).copied().unwrap_or(0.0);
                    cell * solution.get(j).copied().unwrap_or(0.0)
                })
                .sum();
            let pivot = self.lower.get((i, i)).copied().unwrap_or(1.0);
            let right = self.forward.get(i).copied().unwrap_or(0.0);
            if let Some(cell) = solution.get_mut(i) {
                *cell = (right - below) / pivot;
            }
        }
        solution
    }
}

pub(super) fn scale_at(scales: &[f64], column: usize) -> f64 {
    scales.get(column).copied().unwrap_or(0.0)
}

/// A column that does not vary has no scale; everything about it is 0.
pub(super) fn per_scale(value: f64, scale: f64) -> f64 {
    if scale > 0.0 { value / scale } else { 0.0 }
}

//! Linear regressions behind a checked door: linfa and ndarray live here and nowhere else.
//!
//! Two ways in. [`least_squares`] hands a small design to linfa as it is. [`Gram`] first folds the
//! rows into X'X and X'y, after which every penalty and every subset of columns costs only work in
//! the number of columns: the elastic net runs on the Cholesky factor of X'X, which gives the same
//! coefficients as on all rows, because it has the same inner products.
//!
//! Columns are centred and scaled here, since linfa does neither and one penalty must mean the
//! same for all columns. Columns that others explain are left out (coefficient 0) instead of
//! giving numbers without meaning.

use linfa::Dataset;
use linfa::traits::Fit as _;
use linfa_elasticnet::ElasticNet;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2, ShapeBuilder as _};

use super::{Error, Result, check};

/// A column keeps its place only if this share of its variance is not explained by those before.
const RANK_TOLERANCE: f64 = 1e-9;
/// Coordinate descent stops at this change of a coefficient of scaled columns.
const NET_TOLERANCE: f64 = 1e-4;
/// Coordinate descent stops after this many sweeps, converged or not: only which columns are kept
/// is asked of it, and that is settled long before the coefficients are.
const NET_SWEEPS: u32 = 60;

/// Rows of explaining variables, one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    columns: usize,
    values: Vec<f64>,
}

impl Design {
    /// An empty design of `columns` columns; the intercept is not one of them.
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            values: Vec::new(),
        }
    }

    /// Adds one row; missing values are 0, surplus ones are dropped.
    pub fn push(&mut self, row: impl IntoIterator<Item = f64>) {
        let whole = self.values.len() + self.columns;
        self.values.extend(row.into_iter().take(self.columns));
        self.values.resize(whole, 0.0);
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// The rows, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.columns.max(1))
    }
}

/// A fitted linear regression, in the columns' own units.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Value where all columns are 0.
    pub intercept: f64,
    /// One a column; 0 for a column left out.
    pub coefficients: Vec<f64>,
    /// Sum of squared residuals, weighted as the rows were.
    pub residual_sum: f64,
    /// Residual variance, `residual_sum / (rows − used columns − 1)`.
    pub residual_variance: f64,
    /// Columns that carry a coefficient.
    pub used: usize,
}

impl Fit {
    /// The fitted value of one row.
    pub fn at(&self, row: impl IntoIterator<Item = f64>) -> f64 {
        let terms = self.coefficients.iter().zip(row);
        self.intercept + terms.map(|(c, x)| c * x).sum::<f64>()
    }
}

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
    means: Vec<f64>,
    scales: Vec<f64>,
    target_mean: f64,
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
    fn factor(&self, columns: &[usize], ridge: f64) -> Factor {
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
struct Factor {
    columns: Vec<usize>,
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

fn scale_at(scales: &[f64], column: usize) -> f64 {
    scales.get(column).copied().unwrap_or(0.0)
}

/// A column that does not vary has no scale; everything about it is 0.
fn per_scale(value: f64, scale: f64) -> f64 {
    if scale > 0.0 { value / scale } else { 0.0 }
}

/// Ordinary least squares with an intercept, by linfa's QR, rank checked before.
///
/// # Errors
/// [`Error::Lengths`], [`Error::TooFewRows`] unless rows exceed columns + 1, as [`check`], and
/// [`Error::Solver`] if linfa refuses.
pub fn least_squares(design: &Design, targets: &[f64]) -> Result<Fit> {
    let rows = targets.len();
    if rows <= design.columns + 1 {
        return Err(Error::TooFewRows {
            rows,
            columns: design.columns,
        });
    }
    let gram = Gram::new(design, targets, &vec![1.0; rows])?;
    let all: Vec<usize> = (0..design.columns).collect();
    let kept = gram.factor(&all, 0.0).columns;
    let scaled = Array2::from_shape_fn((rows, kept.len()), |(r, c)| {
        let column = kept.get(c).copied().unwrap_or(0);
        let x = design
            .values
            .get(r * design.columns + column)
            .copied()
            .unwrap_or(0.0);
        let mean = gram.means.get(column).copied().unwrap_or(0.0);
        per_scale(x - mean, scale_at(&gram.scales, column))
    });
    let target = Array1::from_iter(targets.iter().map(|t| t - gram.target_mean));
    let mut coefficients = vec![0.0; design.columns];
    let mut intercept = gram.target_mean;
    let mut residuals = target.clone();
    if !kept.is_empty() {
        let fit = LinearRegression::default()
            .with_intercept(false)
            .fit(&Dataset::new(scaled.clone(), target))
            .map_err(|e| Error::Solver(e.to_string()))?;
        residuals = residuals - scaled.dot(fit.params());
        for (column, b) in kept.iter().zip(fit.params()) {
            let own = per_scale(*b, scale_at(&gram.scales, *column));
            if let Some(cell) = coefficients.get_mut(*column) {
                *cell = own;
            }
            intercept -= own * gram.means.get(*column).copied().unwrap_or(0.0);
        }
    }
    let residual_sum = residuals.dot(&residuals);
    Ok(Fit {
        intercept,
        coefficients,
        residual_sum,
        residual_variance: residual_sum / (rows - kept.len() - 1) as f64,
        used: kept.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six rows of two columns, and `2 + 3a − b` with errors that sum to nothing.
    fn small() -> (Design, Vec<f64>) {
        let mut design = Design::new(2);
        let mut targets = Vec::new();
        let errors = [0.1, -0.1, 0.05, -0.05, 0.02, -0.02];
        for (i, error) in errors.into_iter().enumerate() {
            let (a, b) = (i as f64, ((i * i) % 5) as f64);
            design.push([a, b]);
            targets.push(2.0 + 3.0 * a - b + error);
        }
        (design, targets)
    }

    #[test]
    fn linfa_and_the_gram_agree() {
        let (design, targets) = small();
        let by_linfa = least_squares(&design, &targets).unwrap();
        let gram = Gram::new(&design, &targets, &[1.0; 6]).unwrap();
        let by_gram = gram.solve(&[0, 1], 0.0);
        for (a, b) in by_linfa.coefficients.iter().zip(&by_gram.coefficients) {
            assert!((a - b).abs() < 1e-10, "{a} {b}");
        }
        assert!((by_linfa.intercept - by_gram.intercept).abs() < 1e-10);
        assert!((by_linfa.residual_sum - by_gram.residual_sum).abs() < 1e-10);
        assert!((by_linfa.residual_variance - by_gram.residual_variance).abs() < 1e-10);
    }

    #[test]
    fn a_line_by_hand_is_found() {
        // y on x for (1,2) (2,3) (3,5) (4,6): slope 7/5, intercept 1/2, residual sum 1/5.
        let mut design = Design::new(1);
        for x in 1..=4 {
            design.push([f64::from(x)]);
        }
        let fit = least_squares(&design, &[2.0, 3.0, 5.0, 6.0]).unwrap();
        assert!((fit.coefficients[0] - 1.4).abs() < 1e-12);
        assert!((fit.intercept - 0.5).abs() < 1e-12);
        assert!((fit.residual_sum - 0.2).abs() < 1e-12);
        assert!((fit.residual_variance - 0.1).abs() < 1e-12);
        assert!((fit.at([5.0]) - 7.5).abs() < 1e-12);
    }

    #[test]
    fn a_column_that_others_explain_is_left_out() {
        let mut design = Design::new(3);
        let mut targets = Vec::new();
        for i in 0..8 {
            let x = f64::from(i);
            design.push([x, 7.0, 2.0 * x + 1.0]);
            targets.push(4.0 * x);
        }
        let fit = least_squares(&design, &targets).unwrap();
        assert_eq!(fit.used, 1);
        assert!((fit.at([3.0, 7.0, 7.0]) - 12.0).abs() < 1e-9);
    }

    #[test]
    fn the_elastic_net_keeps_what_matters() {
        let mut design = Design::new(3);
        let mut targets = Vec::new();
        for i in 0..60_u8 {
            let [a, b, c] = [7, 5, 3].map(|m| f64::from(i % m));
            design.push([a, b, c]);
            targets.push(5.0 * b + 0.001 * a);
        }
        let gram = Gram::new(&design, &targets, &[1.0; 60]).unwrap();
        assert_eq!(gram.kept_by_elastic_net(0.3, 0.9).unwrap(), [1]);
        assert!(gram.kept_by_elastic_net(1.0, 0.9).unwrap().is_empty());
    }

    #[test]
    fn weights_move_the_fit_to_the_heavy_rows() {
        let mut design = Design::new(1);
        for x in 0..4 {
            design.push([f64::from(x)]);
        }
        let targets = [0.0, 1.0, 2.0, 30.0];
        let gram = Gram::new(&design, &targets, &[1.0, 1.0, 1.0, 1e-9]).unwrap();
        assert!((gram.solve(&[0], 0.0).coefficients[0] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn bad_input_is_an_error() {
        let (design, mut targets) = small();
        let short = Error::Lengths {
            rows: 6,
            targets: 5,
        };
        assert_eq!(Gram::new(&design, &targets[..5], &[1.0; 5]), Err(short));
        assert!(matches!(
            least_squares(&Design::new(2), &[]),
            Err(Error::TooFewRows { .. })
        ));
        targets[3] = f64::NAN;
        assert_eq!(
            least_squares(&design, &targets),
            Err(Error::NotFinite { at: 3 })
        );
    }
}

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

mod gram;

use linfa::Dataset;
use linfa::traits::Fit as _;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

use super::{Error, Result};

pub use self::gram::{Gram, Weighted};

use self::gram::{per_scale, scale_at};

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

/// Ordinary least squares with an intercept, by linfa's QR, rank checked before.
///
/// # Errors
/// [`Error::Lengths`], [`Error::TooFewRows`] unless rows exceed columns + 1, as [`check`](super::check), and
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

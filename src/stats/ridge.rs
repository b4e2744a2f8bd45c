//! Ridge regressions of a growing past: rows are folded into products once, and every prefix of
//! them is solved from what was folded by then.
//!
//! For: one regression at many origins, each with a centre of its own. Not for: choosing columns
//! (`regress`). Source: Hoerl and Kennard 1970, "Ridge regression: biased estimation for
//! nonorthogonal problems"; the ridge pulls towards given coefficients instead of zero.

use ndarray::{Array2, ArrayView2};

/// Sums of products of `columns` explaining values, one target and 1, over the rows seen so far.
#[derive(Debug, Clone)]
pub struct Products {
    columns: usize,
    /// Symmetric, `(columns + 2)` square: columns, target, 1.
    sums: Array2<f64>,
}

impl Products {
    /// Nothing seen yet.
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            sums: Array2::zeros((columns + 2, columns + 2)),
        }
    }

    /// Numbers in one row: the columns, the target and 1.
    pub const fn width(&self) -> usize {
        self.columns + 2
    }

    /// Folds rows of [`Self::width`] finite numbers each, one after another; a torn last row is
    /// left out.
    pub fn fold(&mut self, rows: &[f64]) {
        let width = self.width();
        let count = rows.len() / width;
        let whole = rows.get(..count * width).unwrap_or_default();
        if let Ok(view) = ArrayView2::from_shape((count, width), whole) {
            self.sums += &view.t().dot(&view);
        }
    }

    fn sum(&self, a: usize, b: usize) -> f64 {
        self.sums.get((a, b)).copied().unwrap_or(0.0)
    }

    /// Rows folded so far.
    pub fn rows(&self) -> f64 {
        self.sum(self.columns + 1, self.columns + 1)
    }

    /// Mean and variance of the target; zeros before the first row.
    pub fn target(&self) -> (f64, f64) {
        let rows = self.rows();
        if rows <= 0.0 {
            return (0.0, 0.0);
        }
        let mean = self.sum(self.columns, self.columns + 1) / rows;
        let square = self.sum(self.columns, self.columns) / rows;
        (mean, (square - mean * mean).max(0.0))
    }

    /// Coefficients without intercept after `centre` is taken off columns and target, drawn to 1 at
    /// column `home` (to 0 where there is none) by `ridge` times the columns' mean square.
    ///
    /// `None` when there are hardly more rows than columns, or the system cannot be solved.
    pub fn solve(&self, centre: f64, home: Option<usize>, ridge: f64) -> Option<Vec<f64>> {
        /// More rows than columns, so that one odd row does not decide.
        const SPARE: f64 = 4.0;
        let (k, rows) = (self.columns, self.rows());
        if k == 0 || rows < k as f64 + SPARE {
            return None;
        }
        let total = |i: usize| self.sum(k + 1, i);
        let product = |i: usize, j: usize| {
            self.sum(i, j) - centre * (total(i) + total(j)) + rows * centre * centre
        };
        let trace: f64 = (0..k).map(|i| product(i, i)).sum();
        // Columns without variance leave nothing but rounding.
        let pull = ridge * trace / k as f64 + 1e-10 * rows;
        let mut lower = vec![0.0; k * k];
        let mut right = Vec::with_capacity(k);
        for (i, row) in lower.chunks_exact_mut(k).enumerate() {
            for (j, cell) in row.iter_mut().take(i + 1).enumerate() {
                *cell = product(i, j) + if i == j { pull } else { 0.0 };
            }
            right.push(product(i, k) + if home == Some(i) { pull } else { 0.0 });
        }
        cholesky(&mut lower, &mut right, k)?;
        right.iter().all(|b| b.is_finite()).then_some(right)
    }
}

/// Solves a symmetric positive system in place; the lower triangle comes in and its factor goes
/// out, row after row.
#[expect(
    clippy::indexing_slicing,
    reason = "every index is below `k`, the side of the square"
)]
fn cholesky(a: &mut [f64], b: &mut [f64], k: usize) -> Option<()> {
    for i in 0..k {
        let (above, own) = a.split_at_mut(i * k);
        for j in 0..i {
            let row = &above[j * k..j * k + k];
            let dot = super::dot(&own[..j], &row[..j]);
            own[j] = (own[j] - dot) / row[j];
        }
        let square = super::dot(&own[..i], &own[..i]);
        let rest = own[i] - square;
        if rest.is_nan() || rest <= 0.0 {
            return None;
        }
        own[i] = rest.sqrt();
        let dot: f64 = own[..i].iter().zip(&b[..i]).map(|(x, y)| x * y).sum();
        b[i] = (b[i] - dot) / own[i];
    }
    for i in (0..k).rev() {
        let dot: f64 = (i + 1..k).map(|q| a[q * k + i] * b[q]).sum();
        b[i] = (b[i] - dot) / a[i * k + i];
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(ridge: f64, home: Option<usize>) -> Option<Vec<f64>> {
        let mut products = Products::new(2);
        for i in 0..40 {
            let (a, b) = (f64::from(i % 7), f64::from((i * i) % 5));
            products.fold(&[a, b, 3.0 * a - b, 1.0]);
        }
        products.solve(0.0, home, ridge)
    }

    #[test]
    fn coefficients_are_found_and_drawn_home() {
        let exact = folded(0.0, None).unwrap();
        assert!((exact[0] - 3.0).abs() < 1e-9 && (exact[1] + 1.0).abs() < 1e-9);
        let drawn = folded(1e9, Some(1)).unwrap();
        assert!(drawn[0].abs() < 1e-3 && (drawn[1] - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_centre_is_taken_off_everything() {
        // The mean of the column is 500 + 1; what is left is a line through the centre.
        let mut products = Products::new(1);
        for i in 0..30 {
            let x = 500.0 + f64::from(i % 3);
            products.fold(&[x, 501.0 + 0.5 * (x - 501.0), 1.0]);
        }
        let found = products.solve(501.0, None, 0.0).unwrap();
        assert!((found[0] - 0.5).abs() < 1e-6, "{found:?}");
        let (mean, variance) = products.target();
        assert!((mean - 501.0).abs() < 1e-9 && (variance - 0.25 * 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn too_few_rows_solve_nothing() {
        let mut products = Products::new(3);
        products.fold(&[1.0, 2.0, 3.0, 4.0, 1.0, 9.0]);
        assert!((products.rows() - 1.0).abs() < 1e-12);
        assert_eq!(products.solve(0.0, None, 1.0), None);
    }
}

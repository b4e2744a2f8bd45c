//! The trend of filled values: the centred moving average of one cycle.
//!
//! It removes a season of that cycle exactly (Kendall and Stuart 1966, "The advanced theory of
//! statistics" vol. 3, section 46). Gaps need another one (`period`).

/// Each value with the mean of the cycle around it; the first is that of step `steps / 2`, and as
/// many are left out at the end. An even cycle has half weights at its ends.
pub(super) fn around(values: &[f64], steps: usize) -> impl Iterator<Item = (f64, f64)> {
    let half = steps / 2;
    let mut sum: f64 = values.iter().take(2 * half).sum();
    values.windows(2 * half + 1).map(move |window| {
        let first = window.first().copied().unwrap_or(0.0);
        let last = window.last().copied().unwrap_or(0.0);
        sum += last;
        let mean = if steps.is_multiple_of(2) {
            (sum - 0.5 * (first + last)) / steps as f64
        } else {
            sum / steps as f64
        };
        sum -= first;
        (window.get(half).copied().unwrap_or(0.0), mean)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_leaves_the_line_it_stands_on() {
        for steps in [4, 7] {
            let season = |i: usize| (i % steps) as f64 - (steps - 1) as f64 / 2.0;
            let values: Vec<f64> = (0..30).map(|i| 3.0 * i as f64 + season(i)).collect();
            let found: Vec<(f64, f64)> = around(&values, steps).collect();
            assert_eq!(found.len(), 30 - 2 * (steps / 2));
            for (k, (own, mean)) in found.into_iter().enumerate() {
                let i = k + steps / 2;
                assert!((own - values[i]).abs() < 1e-12);
                assert!((mean - 3.0 * i as f64).abs() < 1e-9, "{steps} {i}: {mean}");
            }
        }
        assert_eq!(around(&[1.0, 2.0], 4).count(), 0);
    }
}

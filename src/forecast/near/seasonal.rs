//! Seasonal indices by classical decomposition, shrunk by what is not sure of them.
//!
//! Source: Makridakis, Wheelwright and Hyndman 1998, "Forecasting: methods and applications",
//! section 3/3; shrinking: Miller and Williams 2003, "Shrinkage estimators of time series seasonal
//! factors". The share kept is 1 − 1/F, F being that of the phases.

use super::trend::around;

/// One index a phase; phase 0 is the first value of what they were found on.
#[derive(Debug, Clone)]
pub(super) struct Indices {
    values: Vec<f64>,
    multiplies: bool,
}

impl Indices {
    /// Indices of filled values over a cycle of `steps`; none for less than three cycles.
    pub(super) fn of(values: &[f64], steps: usize, multiplies: bool) -> Option<Self> {
        if steps < 2 || values.len() < 3 * steps {
            return None;
        }
        let half = steps / 2;
        let mut phases: Vec<(f64, f64, f64)> = vec![(0.0, 0.0, 0.0); steps];
        for (i, (own, trend)) in around(values, steps).enumerate() {
            let index = if multiplies { own / trend } else { own - trend };
            if let (Some((total, square, count)), true) =
                (phases.get_mut((i + half) % steps), index.is_finite())
            {
                *total += index;
                *square += index * index;
                *count += 1.0;
            }
        }
        let neutral = if multiplies { 1.0 } else { 0.0 };
        let mean_of = |(total, _, count): &(f64, f64, f64)| {
            if *count > 0.0 { total / count } else { neutral }
        };
        let means: Vec<f64> = phases.iter().map(mean_of).collect();
        let middle = crate::stats::mean(&means).ok()?;
        if multiplies && middle <= 0.0 {
            return None;
        }
        let centred = |v: &f64| if multiplies { v / middle } else { v - middle };
        let n: f64 = phases.iter().map(|(_, _, count)| count).sum();
        let scale = if multiplies { middle } else { 1.0 };
        let within: f64 = phases
            .iter()
            .zip(&means)
            .map(|((_, square, count), mean)| (square - count * mean * mean).max(0.0))
            .sum::<f64>()
            / (scale * scale);
        let between: f64 = phases
            .iter()
            .zip(&means)
            .map(|((_, _, count), mean)| count * (centred(mean) - neutral).powi(2))
            .sum();
        let k = steps as f64;
        let f = (between / (k - 1.0)) / (within / (n - k).max(1.0)).max(f64::MIN_POSITIVE);
        let kept = (1.0 - 1.0 / f).max(0.0);
        let values = means
            .iter()
            .map(|mean| neutral + kept * (centred(mean) - neutral))
            .collect();
        Some(Self { values, multiplies })
    }

    fn at(&self, i: usize) -> f64 {
        let neutral = if self.multiplies { 1.0 } else { 0.0 };
        self.values
            .get(i % self.values.len().max(1))
            .copied()
            .unwrap_or(neutral)
    }

    /// Values without their season.
    pub(super) fn remove(&self, values: &[f64]) -> Vec<f64> {
        let flat = |(i, v): (usize, &f64)| {
            if self.multiplies {
                v / self.at(i)
            } else {
                v - self.at(i)
            }
        };
        values.iter().enumerate().map(flat).collect()
    }

    /// Puts the season on a future that begins at step `from`.
    pub(super) fn put_on(&self, from: usize, future: &mut [f64]) {
        for (j, v) in future.iter_mut().enumerate() {
            *v = if self.multiplies {
                *v * self.at(from + j)
            } else {
                *v + self.at(from + j)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_season_is_taken_off_and_put_on() {
        let shape = [1.2, 0.9, 0.8, 1.1];
        let values: Vec<f64> = (0..40).map(|i| (100.0 + i as f64) * shape[i % 4]).collect();
        let indices = Indices::of(&values, 4, true).unwrap();
        let flat = indices.remove(&values);
        for (i, v) in flat.iter().enumerate() {
            assert!((v - 100.0 - i as f64).abs() < 1.5, "{i} {v}");
        }
        let mut future = vec![140.0; 4];
        indices.put_on(40, &mut future);
        assert!((future[0] - 168.0).abs() < 1.0 && (future[2] - 112.0).abs() < 1.0);
    }

    #[test]
    fn a_season_that_is_only_noise_is_shrunk() {
        let mut z = 1_u64;
        let values: Vec<f64> = (0..36)
            .map(|_| {
                z = z
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                100.0 + (z >> 40) as f64 / 1e6
            })
            .collect();
        let indices = Indices::of(&values, 12, false).unwrap();
        let spread = values.iter().fold(0.0_f64, |m, v| m.max((v - 108.0).abs()));
        assert!(indices.values.iter().all(|v| v.abs() < 0.5 * spread));
        assert!(Indices::of(&values, 13, false).is_none());
    }
}

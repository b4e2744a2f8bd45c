//! Seasonal indices by classical decomposition, shrunk by what is not sure of them.
//!
//! Source: Makridakis, Wheelwright and Hyndman 1998, "Forecasting: methods and applications",
//! section 3/3; shrinking: Miller and Williams 2003, "Shrinkage estimators of time series seasonal
//! factors". The share kept is 1 − 1/F, F being that of the phases. A cycle of no whole number of steps
//! (a year of weeks) has its steps between two phases, each taking part in both; that is our own.

use super::trend::around;

/// One index a phase; phase 0 is the first value of what they were found on.
#[derive(Debug, Clone)]
pub(super) struct Indices {
    values: Vec<f64>,
    /// Steps of a cycle, exactly.
    length: f64,
    multiplies: bool,
}

impl Indices {
    /// Indices of filled values over a cycle of `steps`, or, exactly, `length`; none for less than three
    /// cycles.
    pub(super) fn of(
        values: &[f64],
        (steps, length): (usize, f64),
        multiplies: bool,
    ) -> Option<Self> {
        if steps < 2 || values.len() < 3 * steps {
            return None;
        }
        let neutral = if multiplies { 1.0 } else { 0.0 };
        let mut found = Self {
            values: vec![neutral; steps],
            length,
            multiplies,
        };
        let half = steps / 2;
        let mut phases: Vec<(f64, f64, f64)> = vec![(0.0, 0.0, 0.0); steps];
        for (i, (own, trend)) in around(values, steps).enumerate() {
            let index = if multiplies { own / trend } else { own - trend };
            if !index.is_finite() {
                continue;
            }
            for (phase, share) in found.phases(i + half) {
                if let Some((total, square, count)) = phases.get_mut(phase) {
                    *total += share * index;
                    *square += share * index * index;
                    *count += share;
                }
            }
        }
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
        found.values = means
            .iter()
            .map(|mean| neutral + kept * (centred(mean) - neutral))
            .collect();
        Some(found)
    }

    /// The two phases that a step lies between, each with its share.
    fn phases(&self, step: usize) -> [(usize, f64); 2] {
        let count = self.values.len().max(1);
        let steps = count as f64;
        if (self.length - steps).abs() < f64::EPSILON * steps {
            return [(step % count, 1.0), (0, 0.0)];
        }
        let place = (step as f64 % self.length) / self.length * steps;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place within a cycle"
        )]
        let phase = place as usize;
        let share = place.fract();
        [(phase % count, 1.0 - share), ((phase + 1) % count, share)]
    }

    fn at(&self, step: usize) -> f64 {
        let neutral = if self.multiplies { 1.0 } else { 0.0 };
        let value = |phase: usize| self.values.get(phase).copied().unwrap_or(neutral);
        let [(first, own), (second, other)] = self.phases(step);
        own * value(first) + other * value(second)
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
        let indices = Indices::of(&values, (4, 4.0), true).unwrap();
        let flat = indices.remove(&values);
        for (i, v) in flat.iter().enumerate() {
            assert!((v - 100.0 - i as f64).abs() < 1.5, "{i} {v}");
        }
        let mut future = vec![140.0; 4];
        indices.put_on(40, &mut future);
        assert!((future[0] - 168.0).abs() < 1.0 && (future[2] - 112.0).abs() < 1.0);
    }

    #[test]
    fn a_year_of_weeks_keeps_its_place_over_decades() {
        const YEAR: f64 = 365.2425 / 7.0;
        let season = |i: usize| (std::f64::consts::TAU * i as f64 / YEAR).sin();
        let values: Vec<f64> = (0..1040).map(|i| 100.0 + 10.0 * season(i)).collect();
        let missed = |length: f64| {
            let indices = Indices::of(&values, (52, length), false).unwrap();
            let mut future = vec![100.0; 52];
            indices.put_on(1040, &mut future);
            let errors = future.iter().zip(1040..);
            errors
                .map(|(v, i)| (v - 100.0 - 10.0 * season(i)).abs())
                .fold(0.0, f64::max)
        };
        // 52 weeks run ahead of the year by a week in six of them.
        let (exact, whole) = (missed(YEAR), missed(52.0));
        assert!(exact < 0.3 && whole > 1.5, "{exact} {whole}");
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
        let indices = Indices::of(&values, (12, 12.0), false).unwrap();
        let spread = values.iter().fold(0.0_f64, |m, v| m.max((v - 108.0).abs()));
        assert!(indices.values.iter().all(|v| v.abs() < 0.5 * spread));
        assert!(Indices::of(&values, (13, 13.0), false).is_none());
    }
}

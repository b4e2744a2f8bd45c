//! From days back to the steps they were folded from: the shape of the day put on again.
//!
//! The shape is the median distance from (or the median ratio to) the day's mean by time of day,
//! over recent days that are nearly whole; what is left of them is the noise within a day. A shape
//! that could be noise is none.
//!
//! Our own derivation. A median of n normal values strays by √(π/2)·σ/√n, so that the bound below, of
//! four σ/√n, is a little above three of its standard errors; σ is taken from the median absolute
//! deviation (Hampel 1974, "The influence curve and its role in robust estimation").

use crate::stats::{MAD_TO_SD, mad, mean, median};

/// What a day looks like inside.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DayShape {
    /// One a step of the day, the first step first; amounts or shares of the day's mean.
    shape: Vec<f64>,
    multiplies: bool,
    /// Standard deviation of what is left, in amounts or shares of the day's mean.
    noise: f64,
}

/// A recent day: its mean, and its readings by time of day.
struct Day {
    mean: f64,
    readings: Vec<(usize, f64)>,
}

impl DayShape {
    /// Of values that end with a whole day of `per` steps.
    pub(super) fn of(values: &[f64], per: usize) -> Self {
        /// Eight weeks: long enough to be steady, short enough to be of today.
        const RECENT: usize = 56;
        let days: Vec<Day> = values
            .rchunks_exact(per)
            .take(RECENT)
            .filter_map(Day::of)
            .collect();
        let amounts = Self::found(&days, per, false);
        let lowest = days
            .iter()
            .fold(f64::INFINITY, |low, day| low.min(day.mean));
        if lowest <= 0.0 || !lowest.is_finite() {
            return amounts;
        }
        let ratios = Self::found(&days, per, true);
        let typical = median(&days.iter().map(|day| day.mean).collect::<Vec<_>>()).unwrap_or(1.0);
        if ratios.noise * typical < amounts.noise {
            ratios
        } else {
            amounts
        }
    }

    fn found(days: &[Day], per: usize, multiplies: bool) -> Self {
        let apart = |day: &Day, v: f64| {
            if multiplies {
                v / day.mean - 1.0
            } else {
                v - day.mean
            }
        };
        let mut phases: Vec<Vec<f64>> = vec![Vec::new(); per];
        for day in days {
            for (phase, v) in &day.readings {
                if let Some(bucket) = phases.get_mut(*phase) {
                    bucket.push(apart(day, *v));
                }
            }
        }
        let mut shape: Vec<f64> = phases.iter().map(|b| median(b).unwrap_or(0.0)).collect();
        let spread = |shape: &[f64]| {
            let left = phases.iter().zip(shape);
            let left = left.flat_map(|(bucket, typical)| bucket.iter().map(move |v| v - typical));
            mad(&left.collect::<Vec<_>>()).unwrap_or(0.0) * MAD_TO_SD
        };
        // The largest of many noisy medians is above zero without any shape to the day.
        let doubt = 4.0 * spread(&shape) / (days.len().max(1) as f64).sqrt();
        if shape.iter().all(|v| v.abs() <= doubt) {
            shape.fill(0.0);
        }
        let off = mean(&shape).unwrap_or(0.0);
        for v in &mut shape {
            *v -= off;
        }
        let noise = spread(&shape);
        Self {
            shape,
            multiplies,
            noise,
        }
    }

    /// Steps of a day.
    pub(super) fn per(&self) -> usize {
        self.shape.len().max(1)
    }

    /// The value at step `phase` of a day with this mean.
    pub(super) fn put_on(&self, day: f64, phase: usize) -> f64 {
        let own = self.shape.get(phase).copied().unwrap_or(0.0);
        if self.multiplies {
            day * (1.0 + own)
        } else {
            day + own
        }
    }

    /// Deviation from a day with this mean, one a step; nothing where a day has no shape.
    pub(super) fn profile(&self, day: f64) -> Option<Vec<f64>> {
        let has_shape = self.shape.iter().any(|v| *v != 0.0);
        let steps = 0..self.per();
        has_shape.then(|| steps.map(|phase| self.put_on(day, phase) - day).collect())
    }

    /// Standard deviation of one reading around the day with this mean.
    pub(super) fn noise(&self, day: f64) -> f64 {
        if self.multiplies {
            self.noise * day.abs()
        } else {
            self.noise
        }
    }
}

impl Day {
    fn of(chunk: &[f64]) -> Option<Self> {
        let there = chunk
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, v)| v.is_finite());
        let readings: Vec<(usize, f64)> = there.collect();
        let whole = readings.len() as f64 >= 0.9 * chunk.len() as f64;
        let mean = mean(&readings.iter().map(|(_, v)| *v).collect::<Vec<_>>()).ok()?;
        (whole && mean.is_finite()).then_some(Self { mean, readings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(i: usize) -> f64 {
        (std::f64::consts::TAU * (i % 24) as f64 / 24.0).sin()
    }

    #[test]
    fn amounts_and_shares_are_told_apart() {
        let added: Vec<f64> = (0..720)
            .map(|i| 100.0 + (i / 24) as f64 * 5.0 + 10.0 * clock(i))
            .collect();
        let shape = DayShape::of(&added, 24);
        assert!(!shape.multiplies);
        assert!((shape.put_on(300.0, 6) - 310.0).abs() < 0.1);
        let grown: Vec<f64> = (0..720)
            .map(|i| (100.0 + (i / 24) as f64 * 5.0) * (1.0 + 0.2 * clock(i)))
            .collect();
        let shape = DayShape::of(&grown, 24);
        assert!(shape.multiplies);
        assert!((shape.put_on(300.0, 6) - 360.0).abs() < 0.1);
        assert!(shape.noise(300.0) < 0.1);
    }

    #[test]
    fn noise_has_no_shape() {
        let mut z = 7_u64;
        let values: Vec<f64> = (0..720)
            .map(|_| {
                z = z
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                50.0 + (z >> 40) as f64 / 1e7
            })
            .collect();
        let shape = DayShape::of(&values, 24);
        assert!(shape.shape.iter().all(|v| *v == 0.0));
        assert!((0.2..0.9).contains(&shape.noise(50.0)));
        assert_eq!(shape.per(), 24);
    }
}

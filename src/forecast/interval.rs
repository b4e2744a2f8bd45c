//! How wide: the spread of the back-test's errors by steps ahead, and bands calibrated on it.
//!
//! The spread follows c·(steps ahead)^gamma: gamma is 0 for noise around a level, ½ for a random
//! walk, 1 for a wrong slope. It is fitted on the logarithms of binned errors, drawn towards a
//! prior. Bands are normal quantiles times factors that make the back-test's own coverage right
//! (split conformal prediction on scaled errors: Lei et al. 2018, "Distribution-free predictive
//! inference for regression"), cut to a range because origins are few. The power law, its prior and
//! the share that a random walk has in it are our own.

use crate::stats::quantile::quantile;

use super::combine::Scored;
use super::settings::settings;

/// The error that bands must allow for: level shifts will come again, but not as if they were sure.
fn allowed(s: &Scored) -> f64 {
    s.error + settings().interval.jump_share * s.jumped
}

/// Spread of the errors by steps ahead, with its calibration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spread {
    one_step: f64,
    gamma: f64,
    floor: f64,
    reach: Reach,
}

/// Levels at which widths are calibrated.
pub(super) const ANCHORS: [f64; 3] = [0.50, 0.80, 0.95];

/// Half the width of a band in standard deviations, calibrated at [`ANCHORS`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reach {
    /// On normal quantiles.
    factors: [f64; 3],
}

impl Reach {
    /// That of a normal distribution.
    pub(super) const NORMAL: Self = Self { factors: [1.0; 3] };

    /// From half the widths at [`ANCHORS`], in standard deviations.
    pub(super) fn of(widths: [f64; 3]) -> Self {
        let mut factors = widths;
        for (factor, anchor) in factors.iter_mut().zip(ANCHORS) {
            *factor /= central(anchor);
        }
        Self { factors }
    }

    /// Half the width of the band at `level`, between the nearest anchors' factors.
    pub(super) fn at(self, level: f64) -> f64 {
        let [f50, f80, f95] = self.factors;
        let between = |a: f64, b: f64, from: f64, to: f64| {
            a + (b - a) * ((level - from) / (to - from)).clamp(0.0, 1.0)
        };
        let factor = if level < 0.80 {
            between(f50, f80, 0.50, 0.80)
        } else {
            between(f80, f95, 0.80, 0.95)
        };
        factor * central(level)
    }

    /// The factor in the middle of the bands: what simulated paths spread by.
    pub(super) const fn middle(self) -> f64 {
        let [_, f80, _] = self.factors;
        f80
    }

    /// Each anchor's width times its factor.
    fn times(mut self, factors: [f64; 3]) -> Self {
        for (own, factor) in self.factors.iter_mut().zip(factors) {
            *own *= factor;
        }
        self
    }
}

/// Half the width of a normal distribution's central share.
fn central(level: f64) -> f64 {
    normal_quantile(f64::midpoint(1.0, level))
}

impl Spread {
    /// Fits the spread on scored errors; `level` and `walk` (the usual size of one step) stand in
    /// where there are none.
    pub(super) fn of(scores: &[Scored], origins: usize, level: f64, walk: f64) -> Self {
        let set = &settings().interval;
        let floor = set.floor_share * level.abs() / set.floor_steps.sqrt();
        let (one_step, gamma) = power_law(scores).unwrap_or((walk, 0.5));
        let mut spread = Self {
            one_step,
            gamma,
            floor,
            reach: Reach::NORMAL,
        };
        // A random walk's share of the doubt, the larger the fewer origins there are.
        let doubt = 2.0 / (origins as f64 + 2.0);
        let walk = walk.min(2.0 * one_step);
        spread.one_step = ((1.0 - doubt) * one_step.powi(2) + doubt * walk.powi(2)).sqrt();
        if scores.len() >= 2 * ANCHORS.len() {
            let sizes: Vec<f64> = scores
                .iter()
                .map(|s| allowed(s).abs() / spread.at(s.ahead).max(f64::MIN_POSITIVE))
                .collect();
            let few = 1.0 + 0.5 / origins.max(1) as f64;
            for (factor, anchor) in spread.reach.factors.iter_mut().zip(ANCHORS) {
                let seen = quantile(&sizes, anchor).unwrap_or(1.0);
                *factor = (seen * few / central(anchor)).clamp(set.factor_min, set.factor_max);
            }
        }
        spread
    }

    /// The same, with every band so many times as wide.
    pub(super) fn widened(mut self, factor: f64) -> Self {
        self.one_step *= factor;
        self.floor *= factor;
        self
    }

    /// One standard deviation, `ahead` steps from the end.
    pub(super) fn at(&self, ahead: usize) -> f64 {
        let ahead = ahead.max(1) as f64;
        let fitted = self.one_step * ahead.powf(self.gamma);
        fitted.max(self.floor * ahead.sqrt())
    }

    /// Half the widths of bands, in standard deviations.
    pub(super) fn reach(&self) -> Reach {
        let set = &settings().interval;
        self.reach.times([set.stretch, set.stretch, set.stretch_95])
    }

    /// What simulated paths spread by: calibrated in the middle of the bands.
    pub(super) fn path_factor(&self) -> f64 {
        settings().interval.path_stretch * self.reach.middle()
    }
}

/// `(spread one step ahead, gamma)` by least squares on logarithms of binned squares, drawn to
/// the prior; nothing when there is no error at all.
fn power_law(scores: &[Scored]) -> Option<(f64, f64)> {
    const BINS: usize = 8;
    let set = &settings().interval;
    let farthest = scores.iter().map(|s| s.ahead).max()? as f64;
    let mut bins = [(0.0, 0.0, 0.0); BINS];
    for s in scores {
        let place = (s.ahead as f64).ln() / (farthest.ln() + 1e-9) * BINS as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of bins"
        )]
        let bin = (place as usize).min(BINS - 1);
        if let Some((square, log, count)) = bins.get_mut(bin) {
            *square += allowed(s).powi(2);
            *log += (s.ahead as f64).ln();
            *count += 1.0;
        }
    }
    let points: Vec<(f64, f64)> = bins
        .iter()
        .filter(|(square, _, count)| *count > 0.0 && *square > 0.0)
        .map(|(square, log, count)| (log / count, 0.5 * (square / count).ln()))
        .collect();
    if points.is_empty() {
        return None;
    }
    let n = points.len() as f64;
    let x = points.iter().map(|p| p.0).sum::<f64>() / n;
    let y = points.iter().map(|p| p.1).sum::<f64>() / n;
    let xx: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let xy: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let gamma = (xy + set.gamma_weight * set.gamma_prior) / (xx + set.gamma_weight);
    let gamma = gamma.clamp(set.gamma_min, set.gamma_max);
    Some(((y - gamma * x).exp(), gamma))
}

/// Φ⁻¹, with a relative error below 1.15e-9 for 0 < p < 1.
///
/// Source: Acklam 2003, "An algorithm for computing the inverse normal cumulative distribution
/// function" (rational approximation in three ranges).
pub(super) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.02425;
    let poly = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        poly(&C, q) / poly(&D, q)
    };
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    if p < TAIL {
        tail(p)
    } else if p > 1.0 - TAIL {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        q * poly(&A, q * q) / poly(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(size: impl Fn(usize) -> f64) -> Vec<Scored> {
        (0..6)
            .flat_map(|origin| (1..=60).map(move |ahead| (origin, ahead)))
            .map(|(origin, ahead)| Scored {
                origin,
                ahead,
                error: size(ahead) * if (origin + ahead) % 2 == 0 { 1.0 } else { -1.0 },
                jumped: 0.0,
                baseline_error: 1.0,
            })
            .collect()
    }

    #[test]
    fn normal_quantiles_agree_with_tables() {
        for (p, z) in [
            (0.9, 1.281_551_566),
            (0.975, 1.959_963_985),
            (0.01, -2.326_347_874),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}");
        }
        assert!(normal_quantile(0.5).abs() < 1e-12);
    }

    #[test]
    fn a_wrong_slope_widens_faster_than_a_random_walk() {
        let slope = Spread::of(&scores(|j| j as f64), 6, 0.0, 1.0);
        let walk = Spread::of(&scores(|j| (j as f64).sqrt()), 6, 0.0, 1.0);
        assert!(
            slope.gamma > walk.gamma + 0.2,
            "{} {}",
            slope.gamma,
            walk.gamma
        );
        assert!(slope.at(600) > 5.0 * slope.at(60));
    }

    #[test]
    fn widths_come_back_at_their_anchors() {
        let widths = [0.7, 1.5, 2.9];
        let reach = Reach::of(widths);
        for (width, anchor) in widths.into_iter().zip(ANCHORS) {
            assert!((reach.at(anchor) - width).abs() < 1e-12, "{anchor}");
        }
        assert!((Reach::NORMAL.at(0.95) - 1.959_963_985).abs() < 1e-8);
    }

    #[test]
    fn reach_rises_with_the_level() {
        let spread = Spread::of(&scores(|j| (j as f64).sqrt()), 6, 0.0, 1.0);
        let levels = [0.1, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99];
        for pair in levels.windows(2) {
            let [narrow, wide] = [pair[0], pair[1]].map(|level| spread.reach().at(level));
            assert!(narrow < wide, "{pair:?}");
        }
    }
}

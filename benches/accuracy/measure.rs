//! Measures of forecasts against a known future; `benches/peers/score.py` says each in words.

use plimsoll::forecast::Extension;

use crate::limit::{Limits, beside};

/// One series, its future, and what was forecast.
pub(crate) struct Known<'a> {
    pub(crate) past: &'a [f64],
    pub(crate) actual: &'a [f64],
    /// Period of scale and naive forecasts.
    pub(crate) period: usize,
    /// With bands at 80 and 95 %.
    pub(crate) extension: &'a Extension,
}

/// Sums over the series of a set.
#[derive(Default)]
pub(crate) struct Tally {
    series: f64,
    smape: f64,
    mase: f64,
    smape_naive2: f64,
    mase_naive2: f64,
    log_relative: f64,
    points: f64,
    in80: f64,
    in95: f64,
    msis: f64,
    pub(crate) cpu_ms: f64,
}

impl Tally {
    pub(crate) const HEAD: &str = "| set | series | sMAPE | MASE | OWA | rMAE | in 80 % | in 95 % | \
                                   MSIS95 | CPU ms |\n|---|---|---|---|---|---|---|---|---|---|";

    pub(crate) fn add(&mut self, known: &Known<'_>) {
        let horizon = known.actual.len();
        let past = carried(known.past);
        let naive2 = naive2(&past, known.period, horizon);
        let plain = seasonal_naive(&past, known.period, horizon);
        let scale = scale(known.past, &past, known.period);
        let bands = &known.extension.bands;
        let (mut count, mut size, mut msis) = (0.0, 0.0, 0.0);
        let (mut error, mut error2, mut error_plain) = (0.0, 0.0, 0.0);
        let (mut smape, mut smape2) = (0.0, 0.0);
        for (j, y) in known
            .actual
            .iter()
            .enumerate()
            .filter(|(_, y)| y.is_finite())
        {
            let mean = known.extension.mean[j];
            let within = |band: usize| bands[band].lo[j] <= *y && *y <= bands[band].hi[j];
            count += 1.0;
            size += y.abs();
            error += (y - mean).abs();
            error2 += (y - naive2[j]).abs();
            error_plain += (y - plain[j]).abs();
            smape += symmetric(*y, mean);
            smape2 += symmetric(*y, naive2[j]);
            self.in80 += f64::from(u8::from(within(0)));
            self.in95 += f64::from(u8::from(within(1)));
            let (lo, hi) = (bands[1].lo[j], bands[1].hi[j]);
            msis += hi - lo + 40.0 * ((lo - y).max(0.0) + (y - hi).max(0.0));
        }
        if count < 1.0 {
            return;
        }
        let little = 1e-3 * size / count + 1e-12;
        self.series += 1.0;
        self.points += count;
        self.smape += smape / count;
        self.smape_naive2 += smape2 / count;
        self.mase += error / count / scale;
        self.mase_naive2 += error2 / count / scale;
        self.log_relative += ((error / count + little) / (error_plain / count + little)).ln();
        self.msis += msis / count / scale;
    }

    pub(crate) fn row(&self, name: &str, limits: &Limits) -> String {
        let n = self.series;
        let owa = f64::midpoint(self.smape / self.smape_naive2, self.mase / self.mase_naive2);
        format!(
            "| {name} | {n} | {:.2} | {:.3} | {} | {} | {} | {} | {} | {} |",
            self.smape / n,
            self.mase / n,
            beside(owa, 3, limits.owa),
            beside((self.log_relative / n).exp(), 3, limits.rmae),
            beside(100.0 * self.in80 / self.points, 1, limits.in80),
            beside(100.0 * self.in95 / self.points, 1, limits.in95),
            beside(self.msis / n, 2, limits.msis),
            beside(self.cpu_ms, 2, limits.cpu_ms),
        )
    }
}

/// The symmetric percentage error of one point.
pub(crate) fn symmetric(y: f64, forecast: f64) -> f64 {
    200.0 * (y - forecast).abs() / (y.abs() + forecast.abs()).max(1e-12)
}

/// Gaps filled by the last value before them, or the first value there is.
fn carried(values: &[f64]) -> Vec<f64> {
    let first = values.iter().find(|v| v.is_finite()).copied();
    let mut last = first.unwrap();
    values
        .iter()
        .map(|v| {
            last = if v.is_finite() { *v } else { last };
            last
        })
        .collect()
}

/// Mean absolute seasonal step of the past.
fn scale(gapped: &[f64], filled: &[f64], period: usize) -> f64 {
    let steps = |values: &[f64], lag: usize| -> Vec<f64> {
        let pairs = values.iter().skip(lag).zip(values);
        let steps = pairs.map(|(after, before)| (after - before).abs());
        steps.filter(|step| step.is_finite()).collect()
    };
    let mut found = steps(gapped, period);
    if found.is_empty() {
        found = steps(filled, 1);
    }
    let mean = found.iter().sum::<f64>() / found.len() as f64;
    if mean > 0.0 { mean } else { 1e-9 }
}

/// The last period again.
fn seasonal_naive(past: &[f64], period: usize, horizon: usize) -> Vec<f64> {
    let n = past.len();
    if period > n {
        return vec![past[n - 1]; horizon];
    }
    (0..horizon)
        .map(|j| past[n - period + j % period])
        .collect()
}

/// The last value without its season, and the season put on again.
fn naive2(past: &[f64], period: usize, horizon: usize) -> Vec<f64> {
    let n = past.len();
    let Some(factors) = season(past, period) else {
        return vec![past[n - 1]; horizon];
    };
    let last = past[n - 1] / factors[(n - 1) % period];
    (0..horizon)
        .map(|j| last * factors[(n + j) % period])
        .collect()
}

/// M4's test: the autocorrelation at the period beyond 1.645 of Bartlett's standard errors.
fn is_seasonal(past: &[f64], period: usize) -> bool {
    if period <= 1 || past.len() < 3 * period {
        return false;
    }
    let mean = past.iter().sum::<f64>() / past.len() as f64;
    let away: Vec<f64> = past.iter().map(|v| v - mean).collect();
    let product =
        |lag: usize| -> f64 { away.iter().skip(lag).zip(&away).map(|(a, b)| a * b).sum() };
    let power = product(0);
    if power <= 0.0 {
        return false;
    }
    let squares: f64 = (1..period).map(|lag| (product(lag) / power).powi(2)).sum();
    let error = ((1.0 + 2.0 * squares) / past.len() as f64).sqrt();
    (product(period) / power).abs() > 1.645 * error
}

/// Factors of a classical multiplicative decomposition, of mean 1, where there is a season.
fn season(past: &[f64], period: usize) -> Option<Vec<f64>> {
    if !is_seasonal(past, period) || past.iter().any(|v| *v <= 0.0) {
        return None;
    }
    let half = period / 2;
    let mut sums = vec![(0.0, 0.0_f64); period];
    for (i, v) in past.iter().enumerate().take(past.len() - half).skip(half) {
        let hood = &past[i - half..=i + half];
        let ends = f64::midpoint(hood[0], hood[hood.len() - 1]);
        let twice = if period.is_multiple_of(2) { ends } else { 0.0 };
        let level = (hood.iter().sum::<f64>() - twice) / period as f64;
        let (sum, count) = &mut sums[i % period];
        *sum += v / level;
        *count += 1.0;
    }
    let factors: Vec<f64> = sums.iter().map(|(sum, count)| sum / count).collect();
    let mean = factors.iter().sum::<f64>() / period as f64;
    Some(factors.iter().map(|factor| factor / mean).collect())
}

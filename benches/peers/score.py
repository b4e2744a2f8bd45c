"""Measures of forecasts, series by series, and their differences.

For: judging rows `series,step,mean,lo80,hi80,lo95,hi95` against a future that is known, by the
measures of the M4 competition (Makridakis, Spiliotis and Assimakopoulos 2020, "The M4 Competition:
100,000 time series and 61 forecasting methods", section 2.3). Not for: making forecasts (`methods`).

With actual values y, forecasts f, bounds l and u, and a period m of the past x:

- sMAPE: mean of 200 |y − f| / (|y| + |f|), in percent.
- MASE: mean |y − f| over the scale, which is mean |x_t − x_(t−m)| in the past.
- OWA: the mean of sMAPE and MASE, each over that of Naive2 on the same series (ratios of means).
- rMAE: geometric mean over series of mean |y − f| over that of the seasonal naive forecast; a
  thousandth of the mean |y| is added to both, so that a future without change divides by no zero.
- cov80, cov95: share of points inside their bounds, in percent.
- MSIS95: mean of u − l + 40 × what lies outside, over the scale (α = 0.05).

The scale and the two naive forecasts see the past with gaps filled by the last value before them;
points of the future that are missing count nowhere. Capacity sets hold days and hours, so there
coverage is a mean over series, of which none counts more for having more points.
"""

import numpy as np

ORDER = ("lo95", "lo80", "mean", "hi80", "hi95")


def carried(values):
    """Gaps filled by the last value before them, or the first value there is."""
    there = np.isfinite(values)
    if not there.any():
        raise ValueError("a series without a value cannot be scored")
    last = np.maximum.accumulate(np.where(there, np.arange(len(values)), -1))
    return values[np.where(last < 0, np.argmax(there), last)]


def is_seasonal(values, period):
    """M4's test: is the autocorrelation at the period beyond 1.645 standard errors (Bartlett)?"""
    if period <= 1 or len(values) < 3 * period:
        return False
    away = values - values.mean()
    power = float(away @ away)
    if power == 0:
        return False
    lags = [float(away[lag:] @ away[:-lag]) / power for lag in range(1, period + 1)]
    error = np.sqrt((1 + 2 * sum(r * r for r in lags[:-1])) / len(values))
    return abs(lags[-1]) > 1.645 * error


def season_of(values, period):
    """Factors of a classical multiplicative decomposition by place in the period, or nothing.

    Their mean is 1. Nothing where the series is not seasonal, or not positive.
    """
    if not is_seasonal(values, period) or values.min() <= 0:
        return None
    weights = np.ones(period + 1 if period % 2 == 0 else period)
    if period % 2 == 0:
        weights[[0, -1]] = 0.5
    level = np.convolve(values, weights / period, mode="valid")
    from_step = period // 2
    places = (np.arange(len(level)) + from_step) % period
    ratios = values[from_step : from_step + len(level)] / level
    factors = np.array([ratios[places == place].mean() for place in range(period)])
    return factors / factors.mean()


def naive2(values, period, horizon):
    """The last value of the series without its season, and the season put on again."""
    factors = season_of(values, period)
    if factors is None:
        return np.full(horizon, values[-1])
    ahead = factors[(len(values) + np.arange(horizon)) % period]
    return values[-1] / factors[(len(values) - 1) % period] * ahead


def seasonal_naive(values, period, horizon):
    """The last period again."""
    if period > len(values):
        return np.full(horizon, values[-1])
    return values[len(values) - period + np.arange(horizon) % period]


def scale_of(past, period):
    """Mean absolute seasonal step of a past with gaps."""
    steps = np.abs(past[period:] - past[:-period])
    steps = steps[np.isfinite(steps)]
    if len(steps) == 0:
        steps = np.abs(np.diff(carried(past)))
    return float(steps.mean()) or 1e-9


def smape(actual, forecast):
    """Symmetric mean absolute percentage error."""
    size = np.maximum(np.abs(actual) + np.abs(forecast), 1e-12)
    return float((200 * np.abs(actual - forecast) / size).mean())


def of_series(past, actual, period, rows):
    """All measures of one series; `rows` has columns `ORDER`, bounds may all be NaN (no bands).

    None where nothing of the future is known.
    """
    check(rows)
    known = np.isfinite(actual)
    if not known.any():
        return None
    filled = carried(past)
    base = naive2(filled, period, len(actual))[known]
    plain = seasonal_naive(filled, period, len(actual))[known]
    actual, rows = actual[known], rows[known]
    lo95, lo80, mean, hi80, hi95 = rows.T
    scale = scale_of(past, period)

    def mae(forecast):
        return float(np.abs(actual - forecast).mean())

    little = 1e-3 * float(np.abs(actual).mean()) + 1e-12
    outside = np.maximum(lo95 - actual, 0) + np.maximum(actual - hi95, 0)
    banded = np.isfinite(lo95).all()
    return {
        "smape": smape(actual, mean),
        "mase": mae(mean) / scale,
        "smape2": smape(actual, base),
        "mase2": mae(base) / scale,
        "log": np.log((mae(mean) + little) / (mae(plain) + little)),
        "points": len(actual) if banded else np.nan,
        "in80": float(((lo80 <= actual) & (actual <= hi80)).sum()) if banded else np.nan,
        "in95": float(((lo95 <= actual) & (actual <= hi95)).sum()) if banded else np.nan,
        "msis": float((hi95 - lo95 + 40 * outside).mean()) / scale,
    }


def check(rows):
    """Refuses means that are not finite and bounds that are not in order."""
    lo95, lo80, mean, hi80, hi95 = rows.T
    if not np.isfinite(mean).all():
        raise ValueError("a mean is not finite")
    bounds = np.array([lo95, lo80, hi80, hi95])
    if np.isnan(bounds).all():
        return
    if not np.isfinite(bounds).all() or (np.diff(bounds, axis=0) < 0).any():
        raise ValueError("a bound is not finite, or the bounds are not in order")


def crossing(truth, horizon, days):
    """Measures of one series' time to threshold, in days.

    `truth` is when the signal without noise reaches the threshold (infinite: not within the
    horizon), `days` are p10, p50 and p90. A miss counts as the horizon. An alarm is false within 30
    days where the truth is beyond 60.
    """
    early, middle, late = days
    met = np.isfinite(truth)
    return {
        "late": abs(min(middle, horizon) - truth) if met else np.nan,
        "near": float(abs(middle - truth) <= max(0.2 * truth, 3)) if met else np.nan,
        "miss": float(np.isinf(middle)) if met else np.nan,
        "alarm": np.nan if met else float(np.isfinite(middle)),
        "soon": float(middle <= 30) if truth > 60 else np.nan,
        "inside": float(early <= truth <= late) if met else np.nan,
    }


def _mean(table, name):
    values = table[name]
    values = values[..., np.newaxis] if values.ndim == 0 else values
    there = np.isfinite(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _owa(table):
    ratios = (_mean(table, "smape") / _mean(table, "smape2"), _mean(table, "mase") / _mean(table, "mase2"))
    return (ratios[0] + ratios[1]) / 2


# Each takes columns whose last axis is the series, so that samples of series are rows before it.
MEASURES = {
    "sMAPE": lambda t: _mean(t, "smape"),
    "MASE": lambda t: _mean(t, "mase"),
    "OWA": _owa,
    "rMAE": lambda t: np.exp(_mean(t, "log")),
    "cov80": lambda t: 100 * _mean(t, "in80") / _mean(t, "points"),
    "cov95": lambda t: 100 * _mean(t, "in95") / _mean(t, "points"),
    "MSIS95": lambda t: _mean(t, "msis"),
}

CROSSINGS = {
    "TTT MAE d": lambda t: _mean(t, "late"),
    "within 20 %": lambda t: 100 * _mean(t, "near"),
    "miss": lambda t: 100 * _mean(t, "miss"),
    "false alarm": lambda t: 100 * _mean(t, "alarm"),
    "FA30": lambda t: 100 * _mean(t, "soon"),
    "in p10–p90": lambda t: 100 * _mean(t, "inside"),
    "sMAPE": lambda t: _mean(t, "smape"),
    "cov80": lambda t: 100 * _mean({"share": t["in80"] / t["points"]}, "share"),
    "cov95": lambda t: 100 * _mean({"share": t["in95"] / t["points"]}, "share"),
}


def columns(scores):
    """Scores of series as one array a name."""
    return {name: np.array([score[name] for score in scores], dtype=float) for name in scores[0]}


def difference(ours, theirs, measure, seed, draws=2000):
    """Ours − theirs in one measure: value, and the ends of its 95 % interval.

    Paired bootstrap over series (Efron and Tibshirani 1993, "An Introduction to the Bootstrap",
    section 13.3, percentiles): the same series are drawn for both.
    """
    count = len(next(iter(ours.values())))
    picks = np.random.default_rng(seed).integers(0, count, (draws, count))

    def drawn(table):
        return measure({name: values[picks] for name, values in table.items()})

    samples = drawn(ours) - drawn(theirs)
    samples = samples[np.isfinite(samples)]
    if len(samples) == 0:
        return np.nan, np.nan, np.nan
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(measure(ours) - measure(theirs)), float(low), float(high)

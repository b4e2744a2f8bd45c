"""The peers: public forecasting methods, each behind one function.

For: a past in, rows of `score.ORDER` out. Not for: choosing or judging them. A method that does not
apply to a series (no season, too short) raises `NotForThis`; one that gives no bands leaves them
NaN. Gaps are filled by straight lines for all but prophet, which takes them as they are.

Naive2, theta, DOTM and comb (of SES, Holt and damped) work on the series without its
season, found by M4's test and a classical decomposition, and put it on again (Makridakis,
Spiliotis and Assimakopoulos 2020, table 2).
"""

import logging

import numpy as np
import pandas as pd

# Before prophet is loaded, which tells of each fit, and that it misses a plotting library.
logging.disable(logging.CRITICAL)

import prophet
from statsforecast import models

from score import ORDER, season_of

LEVELS = [80, 95]
# Longest season that AutoETS and AutoARIMA are asked to find.
SEASON_MAX = 24
ARIMA_SEASON_MAX = 12


class NotForThis(Exception):
    """The method does not apply to this series."""


def filled(values):
    """Gaps filled by straight lines; ends are carried on."""
    there = np.flatnonzero(np.isfinite(values))
    return np.interp(np.arange(len(values)), there, values[there])


def told(model, values, horizon):
    """Rows of a statsforecast model."""
    found = model.forecast(y=values, h=horizon, level=LEVELS)
    names = ("lo-95", "lo-80", "mean", "hi-80", "hi-95")
    return np.column_stack([found[name] for name in names])


def without_season(series, forecast):
    """`forecast(values, horizon)` on the series without its season, which is put on again."""
    values, horizon = filled(series.past), len(series.actual)
    factors = season_of(values, series.period)
    if factors is None:
        return forecast(values, horizon)
    at = np.arange(len(values) + horizon) % series.period
    flat = forecast(values / factors[at[: len(values)]], horizon)
    return flat * factors[at[len(values) :]][:, np.newaxis]


def simple(make):
    """A statsforecast model on the series without its season."""
    return lambda series: without_season(series, lambda y, h: told(make(), y, h))


def season_naive(series):
    """The last period again; bands by a seasonal random walk."""
    if series.period <= 1 or series.period > len(series.past):
        raise NotForThis
    model = models.SeasonalNaive(series.period)
    return told(model, filled(series.past), len(series.actual))


def ets(kind, damped=False):
    """Exponential smoothing of one form, its constants by likelihood."""
    return models.AutoETS(season_length=1, model=kind, damped=damped)


def holt(series):
    """Linear smoothing of the series as it is."""
    return told(models.Holt(), filled(series.past), len(series.actual))


def comb(series):
    """The mean of simple, linear and damped smoothing; it has no bands of its own."""

    def mean(values, horizon):
        parts = [ets("ANN"), ets("AAN"), ets("AAN", damped=True)]
        found = [part.forecast(y=values, h=horizon)["mean"] for part in parts]
        empty = np.full((horizon, len(ORDER)), np.nan)
        empty[:, ORDER.index("mean")] = np.mean(found, axis=0)
        return empty

    return without_season(series, mean)


def auto_ets(series):
    """The best of all forms of exponential smoothing by information criterion."""
    season = series.period if series.period <= SEASON_MAX else 1
    return told(models.AutoETS(season_length=season), filled(series.past), len(series.actual))


def auto_arima(series):
    """ARIMA found step by step; with longer seasons it takes minutes a series."""
    if series.period > ARIMA_SEASON_MAX:
        raise NotForThis
    model = models.AutoARIMA(season_length=series.period)
    return told(model, filled(series.past), len(series.actual))


def mstl(series):
    """Seasons by repeated loess, the rest by exponential smoothing."""
    fitting = [period for period in series.periods if 2 * period < len(series.past)]
    if not fitting:
        raise NotForThis
    return told(models.MSTL(season_length=fitting), filled(series.past), len(series.actual))


def with_prophet(series):
    """Prophet with its defaults; bands are quantiles of its simulated futures."""
    start = pd.Timestamp("2020-01-01")
    dates = pd.date_range(start, periods=len(series.past) + len(series.actual), freq=series.step)
    known = pd.DataFrame({"ds": dates[: len(series.past)], "y": series.past})
    ahead = pd.DataFrame({"ds": dates[len(series.past) :]})
    np.random.seed(1)
    model = prophet.Prophet().fit(known, seed=1)
    mean = model.predict(ahead, vectorized=True)["yhat"].to_numpy()
    futures = model.predictive_samples(ahead)["yhat"]
    lo95, lo80, hi80, hi95 = np.percentile(futures, [2.5, 10, 90, 97.5], axis=1)
    return np.column_stack([lo95, lo80, mean, hi80, hi95])


def line_30d(series):
    """A straight line by least squares over the last 30 days, with its prediction interval."""
    count = min(30 * series.per_day, len(series.past))
    values, horizon = filled(series.past)[-count:], len(series.actual)
    at = np.arange(count) - (count - 1) / 2
    slope = float(at @ values / (at @ at))
    left = values - values.mean() - slope * at
    noise = np.sqrt(float(left @ left) / max(count - 2, 1))
    ahead = at[-1] + 1 + np.arange(horizon)
    mean = values.mean() + slope * ahead
    error = noise * np.sqrt(1 + 1 / count + ahead**2 / float(at @ at))
    # Normal quantiles: with 28 degrees of freedom or more Student's are 2 to 4 % wider.
    reach = [-1.959964, -1.281552, 0.0, 1.281552, 1.959964]
    return mean[:, np.newaxis] + error[:, np.newaxis] * np.array(reach)


PEERS = {
    "naive2": simple(models.Naive),
    "snaive": season_naive,
    "holt": holt,
    "dotm": simple(models.DynamicOptimizedTheta),
    "theta": simple(models.Theta),
    "comb": comb,
    "autoets": auto_ets,
    "autoarima": auto_arima,
    "mstl": mstl,
    "prophet": with_prophet,
    "ols30d": line_30d,
}
# Those that are asked for times to a threshold, and the one that is asked for nothing else.
OF_CAPACITY = ("holt", "dotm", "mstl", "prophet", "ols30d")
ONLY_CAPACITY = ("ols30d",)
# Series that the slowest see at most, as a number, whatever the budget.
SMALL_SAMPLE = {"autoarima": 40}

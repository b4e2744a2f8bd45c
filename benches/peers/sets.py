"""The series that are forecast: M4, infrastructure, capacity.

For: reading the folders beside the project (`m4`, `infra`, `capacity`) into one shape. Not for:
forecasting or scoring them. Read `Set` first.
"""

import csv
import gzip
import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

DAY_S = 86_400


@dataclass
class Series:
    """One past and its future; NaN is a missing value."""

    name: str
    past: np.ndarray
    actual: np.ndarray
    # Period of the measures and of deseasonalised methods.
    period: int
    # Periods for methods that take several.
    periods: list
    # pandas' name of the step's length.
    step: str
    # Step number of the first future value.
    start: int
    # Of capacity series: threshold, true time to it in days, steps a day.
    threshold: float = np.nan
    truth: float = np.inf
    per_day: int = 1


@dataclass
class Set:
    """Series that are scored together, and the measures that are looked at first."""

    name: str
    series: list = field(default_factory=list)
    headline: str = "OWA"

    @property
    def is_capacity(self):
        return self.headline == "TTT MAE d"

    def at_earlier(self, origins):
        """Each series as it stood at so many earlier origins, a horizon apart, and their futures.

        An origin needs a past of two horizons and two periods; a future that is all missing is
        left out.
        """
        found = Set(f"{self.name}@{origins}", headline=self.headline)
        for one in self.series:
            ahead = len(one.actual)
            least = 2 * max(ahead, one.period)
            for back in range(1, origins + 1):
                cut = len(one.past) - back * ahead
                actual = one.past[cut : cut + ahead] if cut >= least else np.array([])
                if np.isfinite(actual).any():
                    changed = {"past": one.past[:cut], "actual": actual}
                    changed |= {"name": f"{one.name}@{back}", "start": one.start - back * ahead}
                    found.series.append(replace(one, **changed))
        return found


def rows(path):
    """Rows of a CSV file, also a packed one, as dictionaries."""
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def columns(path):
    """series → (first step, values in order of step)."""
    pairs = {}
    for row in rows(path):
        value = float(row["y"]) if row["y"] else np.nan
        pairs.setdefault(row["series"], []).append((int(row["step"]), value))
    return {name: (min(p)[0], np.array([v for _, v in sorted(p)])) for name, p in pairs.items()}


# Horizon is what the test part holds; period of the measures, periods for MSTL, length of a step.
M4 = {
    "hourly": (24, [24, 168], "h"),
    "weekly": (1, [52], "7D"),
    "daily": (1, [7], "D"),
    "monthly": (12, [12], "MS"),
}


def m4(folder):
    """The four sets of M4 (the monthly one is of M3)."""
    for name, (period, periods, step) in M4.items():
        past = columns(folder / f"{name}_train.csv.gz")
        future = columns(folder / f"{name}_test.csv.gz")
        yield Set(
            f"m4_{name}",
            [
                Series(k, past[k][1], actual, period, periods, step, start)
                for k, (start, actual) in sorted(future.items())
            ],
        )


STEPS = {
    "5min": "5min",
    "10min": "10min",
    "30min": "30min",
    "hourly": "h",
    "daily": "D",
    "weekly": "7D",
    "monthly": "MS",
}


def infra(folder):
    """Infrastructure series by frequency; growth of repositories is a group of its own."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    past = columns(folder / "infra_train.csv.gz")
    future = columns(folder / "infra_test.csv.gz")
    groups = {}
    for name, facts in sorted(meta.items()):
        group = "gitsize" if name.startswith("gitsize") else facts["freq"]
        found = groups.setdefault(group, Set(f"infra_{group}", headline="rMAE"))
        start, actual = future[name]
        step = STEPS[facts["freq"].split("_")[0]]
        period = (facts["periods"] or [1])[0]
        found.series.append(
            Series(name, past[name][1], actual, period, facts["periods"], step, start)
        )
    yield from groups.values()


def capacity(folder, seeds, room):
    """Growth with known times to a threshold: 200 series a seed, made by the folder's `gen.py`."""
    found = Set("capacity", headline="TTT MAE d")
    for seed in seeds:
        made = room / f"capacity-{seed}"
        if not (made / "truth.csv").exists():
            subprocess.run([sys.executable, folder / "gen.py", made, str(seed), "200"], check=True)
        past = columns(made / "cap_train.csv.gz")
        future = columns(made / "cap_test.csv.gz")
        for row in rows(made / "truth.csv"):
            name, per_day = row["series"], DAY_S // int(row["step_seconds"])
            start, actual = future[name]
            found.series.append(
                Series(
                    f"s{seed}/{name}",
                    past[name][1],
                    actual,
                    24 if per_day == 24 else 7,
                    [24, 168] if per_day == 24 else [7],
                    "h" if per_day == 24 else "D",
                    start,
                    float(row["threshold"]),
                    float(row["ttt_days"] or "inf"),
                    per_day,
                )
            )
    yield found


def load(root, room, seeds, wanted):
    """All sets whose name begins with one of `wanted`, in order; empty: every set."""
    root = Path(root)
    sources = [("m4", lambda: m4(root / "m4")), ("infra", lambda: infra(root / "infra"))]
    sources.append(("capacity", lambda: capacity(root / "capacity", seeds, room)))
    for folder, read in sources:
        if not (root / folder).is_dir():
            print(f"{root / folder} is not there; its sets are left out", file=sys.stderr)
        elif any(folder.startswith(w) or w.startswith(folder) for w in wanted or [folder]):
            yield from (found for found in read() if found.name.startswith(tuple(wanted or [""])))

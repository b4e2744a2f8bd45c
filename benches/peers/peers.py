"""Forecasts the project's series with public methods, scores them, and compares ours with each.

usage: python benches/peers/peers.py [--sets m4_weekly,capacity] [--peers holt,prophet] …

For: anyone who wants to check the tables of models/card.md. Not for: choosing settings. Prints one
table a set: each peer on as many series as its budget of wall time lets it finish (a random subset
when it hits it, the same order for all), ours on the same series beside it, and the difference
ours − peer of the set's main measure with a 95 % interval by paired bootstrap over series. Forecasts
are kept as `SET/PEER.csv` in the folder of `--keep`, all figures in `--out`. Read `main` first.

A peer's CPU is user and system time of its process and that process's children, a series. Ours is
that of the program with one thread, less that of a run on one series, a series.
"""

import argparse
import csv
import multiprocessing
import multiprocessing.connection
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

# Before numpy is loaded: one thread, so that CPU a series is comparable.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np

import methods
import score
import sets

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
SEED = 1
# Ends of crossing times: first meeting by the upper bound, the mean, the lower bound.
MEETING = [score.ORDER.index(name) for name in ("hi80", "mean", "lo80")]


def seconds(text):
    """A length such as 60s, 10m or 90."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    return float(text[:-1]) * unit if unit else float(text)


def names(text):
    """A list with commas."""
    return [name for name in text.split(",") if name]


def arguments():
    """What was asked."""
    data = PROJECT.parent / "shared" / "data"
    target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=data, help="folder with m4, infra and capacity (%(default)s)")
    add("--plimsoll", type=Path, default=target / "release/plimsoll", help="ours (%(default)s)")
    add("--sets", type=names, default=[], help="beginnings of names, such as m4,infra_gitsize; all")
    add("--peers", type=names, default=list(methods.PEERS), help="default: all of them")
    add("--series", type=int, default=0, help="at most so many of each set, at random; 0: all")
    add("--origins", type=int, default=0, help="earlier origins instead of the last (not capacity)")
    add("--seeds", type=names, default=list("12345"), help="of the capacity sets (1,2,3,4,5)")
    add("--budget", type=seconds, default=120.0, help="wall time a peer and set, such as 60s (120s)")
    add("--jobs", type=int, default=2, help="peers that work at the same time (%(default)s)")
    add("--keep", type=Path, default=target / "peers", help="where forecasts go (%(default)s)")
    add("--out", type=Path, help="results as CSV (KEEP/results.csv)")
    asked = parser.parse_args()
    unknown = [peer for peer in asked.peers if peer not in methods.PEERS]
    if unknown:
        parser.error(f"no peer {unknown[0]}; there are {', '.join(methods.PEERS)}")
    if asked.jobs < 1 or asked.series < 0 or asked.origins < 0:
        parser.error("--jobs is at least 1, --series and --origins at least 0")
    if not asked.plimsoll.is_file():
        parser.error(f"{asked.plimsoll} is not there; run cargo build --release")
    if not asked.data.is_dir():
        parser.error(f"{asked.data} is not there; say where the data are with --data")
    return asked


def cpu_s():
    """Processor time of this process and of its children that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


def work(pipe, peer, series):
    """Sends (place, rows or what went wrong, CPU seconds) for each series; runs in a process."""
    warnings.simplefilter("ignore")
    try:
        # What is loaded and made ready once is no series' cost.
        methods.PEERS[peer](series[0])
    except Exception:
        pass
    pipe.send("ready")
    for place, one in enumerate(series):
        start, found = cpu_s(), None
        try:
            found = methods.PEERS[peer](one)
        except methods.NotForThis:
            pass
        except Exception as error:  # A peer that fails on a series has no score there.
            found = f"{type(error).__name__}: {error}"
        pipe.send((place, found, cpu_s() - start))
    pipe.close()


class Running:
    """One peer at work in a process of its own, which ends with its budget of wall time."""

    def __init__(self, peer, series, budget):
        self.peer, self.series, self.budget = peer, series, budget
        # place → (rows, CPU seconds) of what was finished, and what went wrong.
        self.found, self.failed = {}, []
        self.pipe, theirs = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.Process(target=work, args=(theirs, peer, series), daemon=True)
        self.process.start()
        theirs.close()
        # Being made ready is not counted, but bounded, too.
        self.until = time.monotonic() + budget

    def hear(self):
        """Takes one message; false when there will be no more."""
        try:
            message = self.pipe.recv()
        except EOFError:
            return False
        if message == "ready":
            self.until = time.monotonic() + self.budget
            return True
        place, rows, cpu = message
        if isinstance(rows, str):
            self.failed.append(f"{self.series[place].name}: {rows}")
        elif rows is not None:
            self.found[place] = (rows, cpu)
        return True

    def stop(self):
        """Ends the process, wherever it is."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def forecasts(peers, series, asked):
    """Lets peers work, as many at a time as were asked for, and yields each when it has ended."""
    waiting, running = list(reversed(peers)), []
    while waiting or running:
        while waiting and len(running) < asked.jobs:
            peer = waiting.pop()
            some = series[: methods.SMALL_SAMPLE.get(peer)]
            running.append(Running(peer, some, asked.budget))
        left = min(one.until for one in running) - time.monotonic()
        pipes = [one.pipe for one in running]
        heard = multiprocessing.connection.wait(pipes, max(0.0, left))
        over = [one for one in running if one.pipe in heard and not one.hear()]
        over += [one for one in running if one not in over and time.monotonic() > one.until]
        for one in over:
            running.remove(one)
            one.stop()
            yield one


def write(path, series, found):
    """Forecasts as `series,step,mean,lo80,hi80,lo95,hi95`; empty bounds where there are none."""
    order = ("mean", "lo80", "hi80", "lo95", "hi95")
    places = [score.ORDER.index(name) for name in order]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("series", "step", *order))
        for place, (rows, _) in sorted(found.items()):
            for ahead, row in enumerate(rows[:, places].tolist()):
                cells = ("" if np.isnan(cell) else repr(cell) for cell in row)
                out.writerow((series[place].name, series[place].start + ahead, *cells))


def ask_ours(asked, room, series, horizon, length):
    """Runs the program on series of one horizon: (name → rows, name → days, CPU seconds)."""
    out, limits, met = room / "ours-next.csv", room / "ours-limits.csv", room / "ours-met.csv"
    given = room / "ours-given.csv"
    with open(given, "w", encoding="utf-8") as file:
        file.write("series,step,y\n")
        for one in series:
            first = one.start - len(one.past)
            for ahead, y in enumerate(one.past.tolist()):
                file.write(f"{one.name},{first + ahead},{'' if np.isnan(y) else repr(y)}\n")
    command = [asked.plimsoll, "forecast", "--input", given, "--horizon", str(horizon), "--out", out]
    command += ["--levels", "80,95", "--format", "csv", *length]
    if length:
        lines = [f"{one.name},{one.threshold!r}\n" for one in series]
        limits.write_text("series,threshold\n" + "".join(lines), encoding="utf-8")
        command += ["--thresholds", limits, "--crossings-out", met]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=dict(os.environ, RAYON_NUM_THREADS="1"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = {}
    for row in sets.rows(out):
        rows.setdefault(row["series"], []).append([float(row[name]) for name in score.ORDER])
    days = {}
    for row in sets.rows(met) if length else ():
        quantiles = (row[name] or "inf" for name in ("days_p10", "days_p50", "days_p90"))
        days[row["series"]] = tuple(map(float, quantiles))
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {name: np.array(found) for name, found in rows.items()}, days, used


def ours(asked, room, found_set):
    """place → (rows, CPU seconds a series), place → days of crossing."""
    room.mkdir(parents=True, exist_ok=True)
    series = found_set.series
    alike = {}
    for place, one in enumerate(series):
        alike.setdefault((len(one.actual), one.per_day), []).append(place)
    found, met = {}, {}
    for (horizon, per_day), places in alike.items():
        length = ["--step", "1h" if per_day == 24 else "1d"] if found_set.is_capacity else []
        some = [series[place] for place in places]
        rows, days, used = ask_ours(asked, room, some, horizon, length)
        cpu = np.nan
        if len(some) > 1:
            _, _, alone = ask_ours(asked, room, some[:1], horizon, length)
            cpu = max(0.0, used - alone) / (len(some) - 1)
        for place, one in zip(places, some):
            found[place] = (rows[one.name], cpu)
            met[place] = days.get(one.name)
    return found, met


def first_meeting(one, rows):
    """Days until the upper bound, the mean and the lower bound first reach the threshold."""

    def days(values):
        at = np.flatnonzero(values >= one.threshold)
        return (at[0] + 1) / one.per_day if len(at) else np.inf

    return tuple(days(rows[:, column]) for column in MEETING)


def scores(found_set, found, met=None):
    """place → measures; `met` holds days of crossing where the method gives them itself."""
    judged = {}
    for place, (rows, cpu) in found.items():
        one = found_set.series[place]
        values = score.of_series(one.past, one.actual, one.period, rows)
        if values is None:
            continue
        if found_set.is_capacity:
            days = met[place] if met else first_meeting(one, rows)
            values |= score.crossing(one.truth, len(one.actual) / one.per_day, days)
        judged[place] = values | {"cpu": 1000 * cpu}
    return judged


def cell(value, digits=2):
    """A figure, or a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.1e}"


def line(judged, measures):
    """Values of the measures, and CPU milliseconds a series."""
    table = score.columns(list(judged.values()))
    values = {name: float(measure(table)) for name, measure in measures.items()}
    cpu = table["cpu"][np.isfinite(table["cpu"])]
    return values | {"CPU ms": float(cpu.mean()) if len(cpu) else np.nan}


def digits(name):
    """Decimals that a measure deserves."""
    return 3 if name in ("MASE", "OWA", "rMAE") else 1 if name.startswith("cov") else 2


def compare(found_set, peer, theirs, own, measures):
    """One row of the table, and its figures for the results."""
    own = {place: own[place] for place in theirs if place in own}
    theirs = {place: theirs[place] for place in own}
    values, beside = line(theirs, measures), line(own, measures)
    head = found_set.headline
    pair = [score.columns(list(judged.values())) for judged in (own, theirs)]
    gaps = {name: score.difference(*pair, measures[name], SEED) for name in measures}
    gap, low, high = (cell(value, digits(head)) for value in gaps[head])
    cells = [cell(value, digits(name)) for name, value in values.items()]
    cells += [cell(beside[head], digits(head)), f"{gap} [{low}, {high}]", cell(beside["CPU ms"])]
    print(f"| {peer} | {len(theirs)} | {' | '.join(cells)} |", flush=True)
    result = []
    for name, value in values.items():
        interval = gaps.get(name, (beside[name] - value, np.nan, np.nan))
        result.append((found_set.name, peer, len(theirs), name, value, beside[name], *interval))
    return result


def asking(asked, found_set):
    """The peers that are asked about a set."""
    if found_set.is_capacity:
        return [peer for peer in asked.peers if peer in methods.OF_CAPACITY]
    return [peer for peer in asked.peers if peer not in methods.ONLY_CAPACITY]


def one_set(asked, found_set):
    """Prints the table of one set; its results."""
    order = np.random.default_rng(SEED).permutation(len(found_set.series))
    most = asked.series or len(order)
    found_set.series = [found_set.series[place] for place in order[:most]]
    measures = score.CROSSINGS if found_set.is_capacity else score.MEASURES
    folder = asked.keep / found_set.name
    found, met = ours(asked, folder, found_set)
    write(folder / "plimsoll.csv", found_set.series, found)
    own = scores(found_set, found, met if found_set.is_capacity else None)
    head = found_set.headline
    heads = ["peer", "n", *measures, "CPU ms", f"ours {head}", "ours − peer [95 %]", "ours CPU ms"]
    print(f"\n## {found_set.name}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    values = line(own, measures)
    cells = [cell(value, digits(name)) for name, value in values.items()]
    print(f"| **plimsoll** | {len(own)} | {' | '.join(cells)} | | | |", flush=True)
    results = [(found_set.name, "plimsoll", len(own), n, v, v, 0.0, 0.0, 0.0) for n, v in values.items()]
    notes = []
    for ended in forecasts(asking(asked, found_set), found_set.series, asked):
        peer, failed = ended.peer, ended.failed
        write(folder / f"{peer}.csv", found_set.series, ended.found)
        try:
            theirs = scores(found_set, ended.found)
        except ValueError as error:
            failed.append(str(error))
            theirs = {}
        if failed:
            notes.append(f"{peer} failed on {len(failed)} series, the first: {failed[0]}")
        if theirs:
            results += compare(found_set, peer, theirs, own, measures)
        elif not failed:
            notes.append(f"{peer} does not apply, or finished no series within its budget")
    print("\n" + "\n".join(notes), flush=True)
    return results


def main():
    """Reads what was asked, and compares set by set."""
    asked = arguments()
    asked.keep.mkdir(parents=True, exist_ok=True)
    out = asked.out or asked.keep / "results.csv"
    with open(out, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("set", "peer", "n", "measure", "peer_value", "ours", "gap", "lo95", "hi95"))
        for found_set in sets.load(asked.data, asked.keep, asked.seeds, asked.sets):
            if asked.origins:
                if found_set.is_capacity:
                    continue
                found_set = found_set.at_earlier(asked.origins)
            table.writerows(one_set(asked, found_set))
            file.flush()
    print(f"\nall figures: {out}; forecasts: {asked.keep}", file=sys.stderr)


if __name__ == "__main__":
    # A fork shares what was imported; a fresh start would load it anew for each peer and set.
    multiprocessing.set_start_method("fork")
    main()

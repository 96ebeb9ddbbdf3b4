"""Who was late and what was waited for, as a table of workers and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from orchestrator.outcome import WorkerFigures
from orchestrator.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE, BAND, LATE, TRIP = "#34699a", "#c9d6e2", "#c0392b", "#2c3e50"
MOST_POINTS, MOST_WORKERS = 400, 24


def write_timing(summary: Summary, folder: Path) -> None:
    """workers.arrow (Arrow IPC, a row a worker, as `WorkerFigures`) and timing.png, into a folder that is made."""
    folder.mkdir(exist_ok=True)
    workers = summary.workers
    columns = {name: [asdict(worker)[name] for worker in workers] for name in asdict(workers[0])}
    table = pa.table(columns)
    with pa.OSFile(str(folder / "workers.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    _draw(summary, workers, folder / "timing.png")


def _draw(summary: Summary, workers: Sequence[WorkerFigures], file: Path) -> None:
    """Four panels: how many were waited for and how long rounds took, over time; who was late, and round trips."""
    from matplotlib.figure import Figure  # half a second, which not every run needs

    figure = Figure(figsize=(11, 7), dpi=100, layout="constrained")
    (waited, took), (late, trips) = figure.subplots(2, 2)
    rounds = _thinned(summary)
    at_s = [row[0] for row in rounds]
    waited.fill_between(at_s, [row[3] for row in rounds], color=BAND, step="mid", label="present")
    waited.plot(at_s, [row[2] for row in rounds], color=LINE, linewidth=1, label="waited for (mean of neighbours)")
    waited.set(xlabel="time, s", ylabel="workers", title="how many results a round waited for", ylim=(0, None))
    waited.legend(fontsize="small", loc="lower right")
    took.plot(at_s, [row[1] * 1e3 for row in rounds], color=LINE, linewidth=0.8)
    took.set(xlabel="time, s", ylabel="ms", title="how long a round took", ylim=(0, None))
    shown = workers[:MOST_WORKERS]
    _late(late, shown)
    _round_trips(trips, shown)
    if len(shown) < len(workers):
        late.set_title(f"rounds missed, by the {len(shown)} worst of {len(workers)} workers")
    for axes in (waited, took, late, trips):
        axes.grid(alpha=0.25)
    figure.savefig(file)


def _thinned(summary: Summary) -> Sequence[tuple[float, ...]]:
    """Means of neighbouring rounds where there are more than a picture can show."""
    rounds = list(zip(*(summary.closed[column::5] for column in range(5)), strict=True))
    size = ceil(len(rounds) / MOST_POINTS)
    groups = (rounds[first : first + size] for first in range(0, len(rounds), size))
    return [tuple(sum(column) / len(column) for column in zip(*group, strict=True)) for group in groups]


def _late(axes: Axes, workers: Sequence[WorkerFigures]) -> None:
    places = list(range(len(workers)))
    axes.barh(places, [100 * worker.late_share for worker in workers], color=LATE)
    axes.set_yticks(places, [worker.worker for worker in workers])
    axes.set(xlabel="% of its results came after their round", title="who was late", xlim=(0, 100))
    axes.set_ylim(len(workers) - 0.5, -0.5)


def _round_trips(axes: Axes, workers: Sequence[WorkerFigures]) -> None:
    """A thick line from the median to the 90th percentile, a thin one on to the 99th."""
    timed = [(place, worker) for place, worker in enumerate(workers) if worker.p50_s is not None]
    for place, worker in timed:
        assert worker.p50_s is not None
        assert worker.p90_s is not None
        assert worker.p99_s is not None
        p50, p90, p99 = 1e3 * worker.p50_s, 1e3 * worker.p90_s, 1e3 * worker.p99_s
        axes.plot([p90, p99], [place, place], color=TRIP, linewidth=1)
        axes.plot([p50, p90], [place, place], color=TRIP, linewidth=5, solid_capstyle="butt")
        axes.plot(p50, place, "o", color=LINE, markersize=7)
    axes.set_yticks(range(len(workers)), [worker.worker for worker in workers])
    axes.set_ylim(len(workers) - 0.5, -0.5)
    axes.set(xlabel="ms, from being given work until its answer", title="round trips: p50, p90, p99", xlim=(0, None))

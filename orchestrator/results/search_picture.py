"""A search as a picture: how every trial learnt, and how the best was found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.results.trial_rows import TrialRow

BEST, OTHER, GONE = "#c0392b", "#8796a5", "#2c3e50"


def draw_search(rows: Sequence[TrialRow], metric: str, mode: str, file: Path) -> None:
    """PNG, two panels: the metric over epochs, a line a trial, and over trials, a dot each and the best so far.

    mode: "max" or "min". Trials that never had a value are crosses at the foot of the second panel.
    """
    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    curves, found = figure.subplots(1, 2)
    ranked = sorted((row for row in rows if row.value is not None), key=lambda row: row.rank or len(rows) + 1)
    best = ranked[0] if ranked else None
    for row in sorted(ranked, key=lambda row: row is best):
        colour = BEST if row is best else OTHER
        epochs, reached = [point[0] for point in row.points], [point[1] for point in row.points]
        curves.plot(epochs, reached, "o-", color=colour, markersize=3, linewidth=2 if row is best else 0.8)
    curves.set(xlabel="epochs of training", ylabel=metric, title="every trial")
    ordered = sorted(ranked, key=lambda row: row.trial)
    numbers, values = [row.trial for row in ordered], [row.value or 0.0 for row in ordered]
    found.scatter(numbers, values, c=[BEST if row is best else OTHER for row in ordered], s=22, zorder=3)
    found.step(numbers, list(accumulate(values, max if mode == "max" else min)), where="post", color=GONE, label="best")
    without = [row.trial for row in rows if row.value is None]
    found.scatter(without, [0.02] * len(without), marker="x", color=GONE, transform=found.get_xaxis_transform())
    title = f"trial {best.trial} came out best" if best else "no trial had a value"
    found.set(xlabel="trial, in the order of beginning", ylabel=metric, title=title)
    found.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (curves, found):
        axes.grid(alpha=0.25)
    figure.savefig(file)

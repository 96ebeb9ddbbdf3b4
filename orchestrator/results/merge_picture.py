"""A merge as a picture: every source and every candidate by what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from orchestrator.results.merge_rows import MergeRow

BEST, CANDIDATE, SOURCE, LINE = "#c0392b", "#34699a", "#8796a5", "#2c3e50"
MOST = 40
"""Rows; of more candidates the best are drawn."""


def draw_merge(rows: Sequence[MergeRow], metric: str, score: Callable[[float], float], file: Path) -> None:
    """PNG: a dot each on validation data, the sources below, the candidates above, and a line at the best source.

    score: of a value of the metric; higher is better.
    """
    sources = sorted((row for row in rows if row.kind == "source"), key=lambda row: score(row.value))
    candidates = sorted((row for row in rows if row.kind == "candidate"), key=lambda row: score(row.value))
    drawn = [*sources[-MOST // 2 :], *candidates[-MOST // 2 :]]
    figure = Figure(figsize=(9, 1.6 + 0.28 * len(drawn)), dpi=120, layout="constrained")
    axes = figure.subplots()
    colours = [BEST if row.best and row.kind == "candidate" else CANDIDATE if row.recipe else SOURCE for row in drawn]
    places = list(range(len(drawn)))
    axes.scatter([row.value for row in drawn], places, c=colours, s=46, zorder=3)
    axes.axvline(sources[-1].value, color=LINE, linewidth=1, linestyle="--", label="best source")
    axes.set_yticks(places, [row.label for row in drawn])
    axes.set(
        xlabel=f"{metric} on validation data", title=f"chosen: {next(row.label for row in candidates if row.best)}"
    )
    axes.legend(loc="lower right")
    axes.grid(alpha=0.25)
    figure.savefig(file)

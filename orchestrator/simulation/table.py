"""A simulation as a table, for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.simulation.rows import Row, Simulated
from orchestrator.words import duration, metric

BARS = "▁▂▃▄▅▆▇█"
WIDE = 10  # bars of k over time
COLUMNS = 124  # of the widest table


def tabled(result: Simulated) -> RenderableType:
    """One line a quorum, and below it what was measured and what was assumed."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("quorum", no_wrap=True)
    priced = any(row.cost for row in result.rows)
    names = [f"to loss {result.target:.3g}", "to the end", "loss", "rounds", "mean k", "k over time"]
    names += ["goodput", "useful time", "samples/s", "cost" if priced else "worker-h"]
    for name in names:
        table.add_column(name, justify="left" if name == "k over time" else "right", no_wrap=True)
    for row in result.rows:
        table.add_row(_named(row, result), *_cells(row, result.workers, priced))
    assumed = Table.grid(padding=(0, 2))
    assumed.add_column(style="dim", no_wrap=True)
    assumed.add_column(overflow="fold")
    for what, said in result.assumed:
        assumed.add_row(what, Text(said))
    return Group(table, "", *_notes(result), assumed)


def _named(row: Row, result: Simulated) -> Text:
    name = Text(row.quorum, style="bold" if row.chosen else "")
    if row.chosen:
        name.append(" (spec)", style="cyan")
    elif row.quorum == result.best_static:
        name.append(" (best k)", style="dim")
    return name


def _cells(row: Row, workers: int, priced: bool) -> Sequence[str | Text]:
    about = "≈ " if row.extrapolated else ""
    finish: str | Text = Text("failed", style="red") if row.failed else about + duration(row.finish_s)
    bill = f"{row.cost:,.2f}" if priced else f"{row.worker_seconds / 3600:,.2f}"
    return [
        _reached(row),
        finish,
        f"{row.loss:.3g}" if isfinite(row.loss) else "-",
        f"{about}{row.rounds:,}",
        f"{row.mean_k:,.1f}",
        bars(row, workers),
        f"{row.goodput:.0%}",
        f"{row.busy:.0%}",
        f"{row.samples_per_s:,.0f}",
        about + bill,
    ]


def _reached(row: Row) -> str:
    if row.target_s is not None:
        return duration(row.target_s)
    return f"> {duration(row.points[-1].now_s)}" if row.extrapolated and row.points and not row.failed else "never"


def bars(row: Row, workers: int) -> str:
    """k over time, from left to right in equal times: a full bar waits for all."""
    if not row.points:
        return ""
    end_s, drawn, at = row.points[-1].now_s, "", 0
    for number in range(WIDE):
        while at < len(row.points) - 1 and row.points[at].now_s < end_s * (number + 0.5) / WIDE:
            at += 1
        drawn += BARS[min(len(BARS) * row.points[at].k // (workers + 1), len(BARS) - 1)]
    return drawn


def _notes(result: Simulated) -> list[RenderableType]:
    notes: list[RenderableType] = [
        Text(f"{row.quorum}: {row.failed}", style="red") for row in result.rows if row.failed
    ]
    tested = [
        f"{row.quorum}: " + ", ".join(metric(name, value) for name, value in row.metrics.items())
        for row in result.rows
        if "test_loss" in row.metrics and len(row.metrics) > 1
    ]
    notes += [Text(line) for line in tested]
    if any(row.extrapolated and not row.failed for row in result.rows):
        notes.append(Text("≈ extrapolated: not played to the end", style="dim"))
    return [*notes, ""] if notes else []

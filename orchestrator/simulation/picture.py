"""A simulation as a picture: k over time, and the loss over time, a line a quorum."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from orchestrator.simulation.rows import Row, Simulated

COLOURS = {"full": "#2c3e50", "dynamic": "#c0392b", "dbw": "#8e44ad", "rate": "#d68910", "adasync": "#2471a3"}
STATIC, TARGET = "#a9b4c0", "#27ae60"


def draw(result: Simulated, file: Path) -> None:
    """PNG or SVG, by the file's suffix: two panels, virtual time to the right, up to where the slowest is drawn.

    Of static quorums the best is dashed and named, the others are thin and grey.
    """
    figure = Figure(figsize=(12, 4.8), dpi=120, layout="constrained")
    ks, losses = figure.subplots(1, 2)
    for row in reversed([row for row in result.rows if row.points]):  # the best on top
        times = [point.now_s for point in row.points]
        style = _style(row, result)
        ks.step(times, [point.k for point in row.points], where="post", **style)
        losses.plot(times, [point.loss for point in row.points], **style)
    losses.axhline(result.target, color=TARGET, linewidth=1, linestyle=":", label=f"loss {result.target:.3g}")
    ks.set(xlabel="virtual seconds", ylabel=f"k of {result.workers:,} workers", title="results waited for")
    ks.set_ylim(0, result.workers * 1.04)
    losses.set(xlabel="virtual seconds", ylabel="training loss", title="progress", yscale="log")
    for axes in (ks, losses):
        axes.set_xscale("symlog", linthresh=_middle(result))
        axes.set_xlim(0, None)
        axes.grid(alpha=0.25)
    figure.legend(*losses.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    figure.savefig(file)


def _style(row: Row, result: Simulated) -> dict[str, object]:
    if row.quorum in COLOURS:
        return {"color": COLOURS[row.quorum], "linewidth": 2.4 if row.chosen else 1.4, "label": row.quorum}
    if row.quorum == result.best_static:
        return {"color": STATIC, "linewidth": 1.8, "linestyle": "--", "label": f"{row.quorum}, the best"}
    return {"color": STATIC, "linewidth": 0.7}


def _middle(result: Simulated) -> float:
    """Up to this time the axis is linear: the soonest end of all."""
    return min(row.points[-1].now_s for row in result.rows if row.points)

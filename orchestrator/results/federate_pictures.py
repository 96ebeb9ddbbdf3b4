"""A federation as pictures: the classes of every client, and the figures of every round."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from orchestrator.records import Row

LINE, BAND, OTHER = "#c0392b", "#8796a5", "#2c3e50"
COLUMNS = 3


def draw_histogram(histogram: Tensor, labels: Tensor, file: Path) -> None:
    """PNG: a bar a client, its samples by class, one above the other. histogram: [clients, classes]."""
    clients, classes = histogram.shape
    figure = Figure(figsize=(min(4 + clients / 5, 20), 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    foot = histogram.new_zeros(clients)
    for column in range(classes):
        colour = f"C{column}" if classes <= 10 else (column / classes, 0.4, 1 - column / classes)
        name = str(labels[column].item()) if classes <= 20 else None
        axes.bar(range(clients), histogram[:, column].tolist(), bottom=foot.tolist(), color=colour, label=name)
        foot = foot + histogram[:, column]
    axes.set(xlabel="client", ylabel="samples", title=f"{int(histogram.sum()):,} samples of {classes} classes")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.05)
    if classes <= 20:
        figure.legend(loc="outside right upper", title="class", fontsize="small")
    figure.savefig(file)


def draw_rounds(rounds: Sequence[Row], evaluations: Sequence[Row], file: Path) -> None:
    """PNG: accuracy, the clients' losses, coherence and, if they were learnt, gamma and lambda over the rounds."""
    panels = [_accuracy, _losses, _coherence]
    if any("gamma" in row.metrics for row in rounds):
        panels += [_gamma, _lambda]
    lines = ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 3.4 * lines), dpi=120, layout="constrained")
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(lines, COLUMNS, place)
        panel(axes, [*rounds, *evaluations])
        axes.set_xlabel("round")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    figure.savefig(file)


def _accuracy(axes: Axes, rows: Sequence[Row]) -> None:
    name = "accuracy" if any("validation_accuracy" in row.metrics for row in rows) else "loss"
    steps, values = _curve(rows, f"validation_{name}")
    axes.plot(steps, values, ".-", color=OTHER, label="validation")
    steps, values = _curve(rows, f"test_{name}")
    axes.plot(steps, values, "o", color=LINE, label="test")
    axes.set_title(f"{name} of the server's model")
    axes.legend(fontsize="small")


def _losses(axes: Axes, rows: Sequence[Row]) -> None:
    steps, low = _curve(rows, "loss_min")
    _, high = _curve(rows, "loss_max")
    axes.fill_between(steps, low, high, color=BAND, alpha=0.4, label="least to largest")
    axes.plot(*_curve(rows, "loss"), ".-", color=LINE, label="mean")
    axes.set_title("training loss of the clients")
    axes.legend(fontsize="small")


def _coherence(axes: Axes, rows: Sequence[Row]) -> None:
    axes.axhline(0, color=BAND, linewidth=0.8)
    axes.plot(*_curve(rows, "coherence"), ".-", color=LINE)
    axes.set_title("coherence of the clients' updates")


def _gamma(axes: Axes, rows: Sequence[Row]) -> None:
    axes.axhline(1, color=BAND, linewidth=0.8)
    axes.plot(*_curve(rows, "gamma"), ".-", color=LINE)
    axes.set_title("gamma")


def _lambda(axes: Axes, rows: Sequence[Row]) -> None:
    names = sorted({name for row in rows for name in row.metrics if name.startswith("lambda.")})
    for name in names:
        steps, values = _curve(rows, name)
        axes.plot(steps, values, ".-", linewidth=0.7, markersize=3, alpha=0.8)
    axes.set_title(f"lambda of {len(names)} clients")


def _curve(rows: Sequence[Row], name: str) -> tuple[list[int], list[float]]:
    points = sorted((row.step, row.metrics[name]) for row in rows if name in row.metrics)
    return [step for step, _ in points], [value for _, value in points]

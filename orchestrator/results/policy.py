"""How a policy learnt, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from matplotlib.figure import Figure

from orchestrator.records import Row

MOST = "most/"
REWARD, GONE = "#c0392b", "#2c3e50"


def write_policy(rows: Iterable[Row], folder: Path) -> None:
    """policy.arrow, a row an update, with its figures; and policy.png. rows: all of a run; those of no update are left
    out."""
    updates = [row.metrics for row in rows if "update" in row.metrics]
    names = list(dict.fromkeys(name for metrics in updates for name in metrics))
    table = pa.table({name: pa.array([metrics.get(name) for metrics in updates], pa.float64()) for name in names})
    with pa.OSFile(str(folder / "policy.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    _draw(updates, [name for name in names if name.startswith(MOST)], folder / "policy.png")


def _draw(updates: Sequence[Mapping[str, float]], most: Sequence[str], file: Path) -> None:
    """Two panels over updates: the candidates' reward, and each decision's largest probability."""
    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    rewards, probabilities = figure.subplots(1, 2)
    numbers = [metrics["update"] for metrics in updates]
    means, deviations = [m["reward"] for m in updates], [m["reward_sd"] for m in updates]
    low = [mean - deviation for mean, deviation in zip(means, deviations, strict=True)]
    high = [mean + deviation for mean, deviation in zip(means, deviations, strict=True)]
    rewards.fill_between(numbers, low, high, color=REWARD, alpha=0.2, linewidth=0)
    rewards.plot(numbers, means, color=REWARD)
    rewards.set(xlabel="update", ylabel="reward", title="candidates: mean and deviation")
    for name in most:
        probabilities.plot(numbers, [metrics[name] for metrics in updates], label=name.removeprefix(MOST))
    confidence = [metrics["confidence"] for metrics in updates]
    probabilities.plot(numbers, confidence, color=GONE, linestyle="--", label="the whole configuration")
    probabilities.set(xlabel="update", ylabel="largest probability", ylim=(0, 1.02), title="decisions")
    probabilities.legend(fontsize="small")
    for axes in (rewards, probabilities):
        axes.grid(alpha=0.25)
    figure.savefig(file)

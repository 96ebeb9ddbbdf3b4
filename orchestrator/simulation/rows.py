"""What a simulation answers: one row a quorum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.simulation.play import Played, Point, thinned

POINTS = 600  # of a row


@dataclass(frozen=True, slots=True)
class Row:
    """One quorum.

    quorum: "dynamic", "static 12". chosen: it is the spec's own. finish_s: virtual seconds of the spec's epochs;
    extrapolated: the run was not played to its end, and finish_s, rounds and cost follow from what was. target_s: until
    the training loss was that of the target; None: it never was. loss: at the end. mean_k: over rounds.
    goodput: gradients that steps used over all that were answered, 0 to 1; busy: worker-seconds that went into the
    former over all worker-seconds. cost: worker_seconds in money; 0 without a price. metrics: of the test split, with
    real gradients. failed: why the run could not go on, or "". points: over time, a few hundred at most.
    """

    quorum: str
    chosen: bool
    finish_s: float
    extrapolated: bool
    target_s: float | None
    loss: float
    rounds: int
    mean_k: float
    goodput: float
    busy: float
    samples_per_s: float
    worker_seconds: float
    cost: float
    metrics: dict[str, float]
    failed: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Simulated:
    """rows: the soonest at the target first. target: training loss. assumed: what was taken from where, for people.

    workers: of each run. best_static: name of the row, or "".
    """

    workers: int
    target: float
    rows: tuple[Row, ...]
    assumed: tuple[tuple[str, str], ...]

    @property
    def best_static(self) -> str:
        statics = (row.quorum for row in self.rows if row.quorum.startswith("static") and row.target_s is not None)
        return next(statics, "")

    def row(self, quorum: str) -> Row:
        """Raises KeyError."""
        return {row.quorum: row for row in self.rows}[quorum]


def row_of(
    quorum: str, played: Played, *, chosen: bool, workers: int, epochs: float, target: float, price: float
) -> Row:
    """price: of a worker's hour."""
    points, now_s = played.points, played.now_s
    done = points[-1].epoch if points else 0.0
    stretched = 1.0 if played.finished or not done else max(epochs / done, 1.0)
    finish_s = now_s * stretched
    return Row(
        quorum=quorum,
        chosen=chosen,
        finish_s=finish_s,
        extrapolated=not played.finished,
        target_s=played.reached_s(target),
        loss=points[-1].loss if points else float("nan"),
        rounds=round(len(points) * stretched),
        mean_k=sum(point.k for point in points) / len(points) if points else 0.0,
        goodput=played.useful / played.answered if played.answered else 1.0,
        busy=min(played.useful_s / (workers * now_s), 1.0) if now_s else 0.0,
        samples_per_s=played.samples / now_s if now_s else 0.0,
        worker_seconds=workers * finish_s,
        cost=workers * finish_s / 3600 * price,
        metrics={name: value for name, value in played.metrics.items() if name.startswith("test_")},
        failed=played.failed,
        points=thinned(points, POINTS),
    )


def ordered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The soonest at the target first, then those that never get there by their end."""
    never = float("inf")
    return tuple(
        sorted(rows, key=lambda row: (bool(row.failed), never if row.target_s is None else row.target_s, row.finish_s))
    )

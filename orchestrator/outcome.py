"""What a run, a replay and a plan come to, for those who asked: plain figures, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class TimeSaved:
    """Seconds by the journal's own timings.

    full_s: for as many rounds, had each waited for all. actual_s: as it was. same_data_s: waiting for all, for as many
    gradients: in fewer rounds, since each uses more.
    """

    full_s: float
    actual_s: float
    same_data_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    reason: why it failed or stopped, or "". metrics: the last ones, such as test_accuracy, test_loss, loss.
    elapsed_s: wall time, earlier engines of a resumed run included. time_saved: None before a round has closed.
    goodput: useful work over all work, 0 to 1. weights_sha256, model_file: of the final weights, or "" and None.
    mlflow_run_id: "" when tracking is off or never answered.
    """

    run: str
    folder: Path
    outcome: Literal["done", "failed", "interrupted"]
    metrics: Mapping[str, float]
    rounds: int
    epochs: float
    elapsed_s: float
    goodput: float
    time_saved: TimeSaved | None = None
    weights_sha256: str = ""
    model_file: Path | None = None
    tracking_uri: str = ""
    mlflow_run_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A run done again from its journal.

    decisions: how many were compared. differing: a sentence for each that came out otherwise.
    weights_sha256: of the replayed weights; journalled_sha256: of the run's own, "" if it did not end.
    """

    run: str
    wakes: int
    decisions: int
    differing: tuple[str, ...]
    weights_sha256: str
    journalled_sha256: str

    @property
    def same(self) -> bool:
        """Whether every decision and the final weights came out as they were."""
        return not self.differing and self.journalled_sha256 in ("", self.weights_sha256)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    samples: of the training data. blocks: gradients in one epoch. rounds_per_epoch: at the fullest quorum, and when
    each round waits for one. cluster: its address, or "this machine". needs, has: resources by name.
    """

    task: str
    workers: int
    samples: int
    blocks: int
    rounds_per_epoch: tuple[int, int]
    parameters: int
    cluster: str
    needs: Mapping[str, float]
    has: Mapping[str, float]
    state: Path
    tracking_uri: str
    notes: tuple[str, ...] = field(default=())

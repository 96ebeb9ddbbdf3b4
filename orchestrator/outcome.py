"""What a run, a replay and a plan come to, for those who asked: plain figures, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    done, unit: how far it came, such as 5.0 "epochs". elapsed_s: wall time, earlier engines of a resumed run included.
    goodput: useful work over all work, 0 to 1. time_saved: None before a round has closed, and for verbs other than
    train. weights_sha256, model_file: of the final weights, or "" and None. mlflow_run_id: "" when tracking is off or
    never answered. rows: what else the verb has to say, names and values.
    """

    run: str
    folder: Path
    outcome: Literal["done", "failed", "interrupted"]
    metrics: Mapping[str, float]
    rounds: int
    done: float
    unit: str
    elapsed_s: float
    goodput: float
    time_saved: TimeSaved | None = None
    weights_sha256: str = ""
    model_file: Path | None = None
    tracking_uri: str = ""
    mlflow_run_id: str = ""
    reason: str = ""
    rows: tuple[tuple[str, str], ...] = ()


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

    parameters: of the model. cluster: its address, or "this machine". needs, has: resources by name. rows: what the
    verb has to say, names and values.
    """

    task: str
    rows: Sequence[tuple[str, str]]
    parameters: int
    cluster: str
    needs: Mapping[str, float]
    has: Mapping[str, float]
    state: Path
    tracking_uri: str

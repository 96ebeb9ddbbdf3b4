"""What a searcher is: it says which trial trains next and how far, and is told how good it then was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from orchestrator.records import Json
from orchestrator.searching.space import Config, Space


class Checkpoint(NamedTuple):
    """The weights and the optimizer of a trial, trained for `epochs` > 0."""

    trial: int
    epochs: float


class Segment(NamedTuple):
    """Train `trial` with `config` up to `end` epochs, from a checkpoint on, its own or another's; None: from scratch.

    end > the checkpoint's epochs.
    """

    trial: int
    config: Config
    end: float
    source: Checkpoint | None = None

    @property
    def start(self) -> float:
        """Epochs trained already."""
        return 0.0 if self.source is None else self.source.epochs


@dataclass(frozen=True, slots=True)
class Scope:
    """What every searcher is given. trials: >= 1, at most so many are begun. epochs: > 0, the most of one trial."""

    space: Space
    seed: int
    trials: int
    epochs: float

    def config(self, trial: int) -> Config:
        """The configuration of trial 0, 1, … drawn evenly from the space: a function of the seed and the trial."""
        return self.space.sample(Random(f"{self.seed} trial {trial}"))


class Searcher(Protocol):
    """Ask and tell. Pure: equal calls in equal order, equal answers; all chance comes from the scope's seed.

    Every segment that `next` returns ends in exactly one `told` or `failed`; until then its trial is running, and no
    other segment of it is returned.
    """

    def next(self) -> Segment | None:
        """What to train now; None: nothing before more results are in, or nothing ever again."""

    def told(self, trial: int, score: float) -> None:
        """How good the running trial is at the end of its segment; higher is better, WORST: it diverged.

        One that diverged leaves no checkpoint, so it is never a source.
        """

    def failed(self, trial: int) -> None:
        """The running trial's segment could not be computed, and there is no checkpoint of it."""

    @property
    def finished(self) -> bool:
        """Nothing is running and nothing is left to do."""

    def needed(self) -> Iterable[Checkpoint]:
        """All checkpoints that a later segment may start from, those of running segments included."""

    def state_dict(self) -> Json: ...
    def load_state_dict(self, state: Json) -> None: ...

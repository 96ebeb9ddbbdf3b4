"""What a verb brings to a run: its strategy and quorum, and what it shows before, during and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.folder import RunFolder
from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.protocols import Quorum, Strategy, Values
from orchestrator.records import Model, Row
from orchestrator.spec import Spec
from orchestrator.tracking import Child

Pairs = Sequence[tuple[str, str]]
"""Names and values, as they are printed one below the other."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that came to its end.

    strategy: as it was then. values: where its references lead. local: the task in this process. history: replays the
    run's rows of figures, in order; costs the run's decisions over again.
    """

    files: RunFolder
    spec: Spec
    strategy: Strategy
    values: Values
    local: Local
    history: Callable[[], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Results:
    """What a run leaves besides its model and the files in `files.results`; see `tracking.Final`.

    rows: for people, printed at the run's end.
    """

    children: Sequence[Child] = ()
    registered: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    rows: Pairs = ()


def _nothing(finished: Finished) -> Results:
    return Results()


def _as_it_is(spec: Spec) -> Spec:
    return spec


def _no_checkpoints(strategy: Strategy) -> Mapping[str, Model]:
    return {}


def _none_given(spec: Spec) -> Mapping[str, Path]:
    return {}


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb.

    goal: for the live view. plan: what `--check` says of it, beside what it says of every run. describe: its settings
    in short. given: safetensors files, by name, whose tensors the strategy finds under the reference `given.<name>`.
    results: writes pictures and tables into `files.results`, once, when the run is done.
    checkpoints: models that are to lie on disk while the run goes on, by name.
    resolved: the spec with what it names outside looked up, as it goes into the run's record; raises BadInput.
    """

    strategy: Callable[[Spec], Strategy]
    quorum: Callable[[Spec], Quorum]
    goal: Callable[[Spec], Goal]
    plan: Callable[[Spec, Local], Pairs]
    describe: Callable[[Spec], Pairs]
    given: Callable[[Spec], Mapping[str, Path]] = _none_given
    results: Callable[[Finished], Results] = _nothing
    checkpoints: Callable[[Strategy], Mapping[str, Model]] = _no_checkpoints
    resolved: Callable[[Spec], Spec] = _as_it_is

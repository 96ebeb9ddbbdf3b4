"""Where the sources of a merge come from: given ones are taken in, or parents are trained from one start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.errors import RunFailed
from orchestrator.records import GIVEN, Ref, Told
from orchestrator.strategies.entry import NONE, Entry, entry_of
from orchestrator.strategies.merging_settings import MergingSettings

SPLITS = ("train", "validation", "test")


class Need(NamedTuple):
    """A piece of work to ask for. name: of what it is for: "base", "source.N" or "candidate.N"."""

    name: str
    kind: str
    inputs: Mapping[str, Ref]
    params: Mapping[str, Any]


class Step(StrEnum):
    TAKE = "take"  # the given models become values of this run; or the first weights are made
    BASE = "base"  # the parents' common start is trained
    PARENTS = "parents"  # each parent is trained from it
    READY = "ready"


@dataclass(slots=True)
class Sources:
    """Also the base, and how much data there is. needed: works of this step that are not done yet, None: not asked.

    trained: trials that are done. samples: by split.
    """

    step: Step = Step.TAKE
    needed: int | None = None
    base: Ref = NONE
    start: Ref = NONE
    entries: list[Entry] = field(default_factory=list)
    samples: dict[str, int] = field(default_factory=dict)
    trained: int = 0

    @property
    def ready(self) -> bool:
        return self.step is Step.READY

    def to_ask(self, settings: MergingSettings) -> Sequence[Need]:
        """The works of this step, once."""
        if self.needed is not None or self.ready:
            return ()
        needs = self._works(settings)
        self.needed = len(needs)
        return needs

    def made(self, settings: MergingSettings, name: str, told: Told) -> None:
        """One of them is done; with the last one the next step begins. Raises RunFailed: nothing is left to merge."""
        weights = told.result.outputs.get("weights", NONE)
        if told.work.kind == "init":
            self.samples = {split: int(told.result.metrics[f"{split}_samples"]) for split in SPLITS}
        else:
            self.trained += 1
        if name == "start":
            self.start = weights
        elif name == "base":
            self.base = weights
        else:
            self.entries[int(name.partition(".")[2])].weights = weights
        assert self.needed
        self.needed -= 1
        if not self.needed:
            self._next(settings)

    def held(self, settings: MergingSettings) -> Iterable[Ref]:
        """What only the sources' making needs, and the base."""
        yield from (self.base, self.start)
        if self.step is Step.TAKE and settings.parents is None:
            yield from (Ref(f"{GIVEN}source.{number}") for number in range(len(settings.sources)))
            yield from [Ref(f"{GIVEN}base")] * settings.with_base

    def _works(self, settings: MergingSettings) -> Sequence[Need]:
        parents = settings.parents
        if parents is None:
            self.entries = [entry_of(label, arguments) for label, arguments in settings.sources]
            named = [(f"source.{number}", entry.arguments) for number, entry in enumerate(self.entries)]
            base = [Need("base", "init", {"given": Ref(f"{GIVEN}base")}, {"model": settings.model})]
            taken = [Need(name, "init", {"given": Ref(GIVEN + name)}, {"model": model}) for name, model in named]
            return [*base * settings.with_base, *taken]
        if self.step is Step.TAKE:
            return [Need("start", "init", {}, {"model": settings.model})]
        if self.step is Step.BASE:
            return [_trial("base", 0, self.start, settings, parents.start_epochs)]
        self.entries = [entry_of(f"parent {number}", settings.model) for number in range(parents.count)]
        names = [f"source.{number}" for number in range(parents.count)]
        return [_trial(name, number, self.base, settings, parents.epochs) for number, name in enumerate(names, start=1)]

    def _next(self, settings: MergingSettings) -> None:
        self.needed = None
        if settings.parents is None or self.step is Step.PARENTS:
            self._end()
        elif self.step is Step.TAKE and settings.parents.start_epochs:
            self.step = Step.BASE
        else:
            if self.step is Step.TAKE:
                self.base = self.start
            if not self.base:
                raise RunFailed("the parents' common start diverged in training: a smaller learning rate may help")
            self.start, self.step = NONE, Step.PARENTS

    def _end(self) -> None:
        self.step = Step.READY
        diverged = [entry.label for entry in self.entries if not entry.weights]
        self.entries = [entry for entry in self.entries if entry.weights]
        if diverged and len(self.entries) < 2:
            raise RunFailed(f"{', '.join(diverged)} diverged in training, so there is nothing to merge")
        if not self.samples["validation"]:
            raise RunFailed("the task has no validation data, by which sources and candidates are judged")


def _trial(name: str, number: int, weights: Ref, settings: MergingSettings, epochs: float) -> Need:
    """A model trained from these weights on, with an order of the data of its own."""
    assert settings.parents is not None
    span = {"number": number, "start": 0.0, "end": epochs}
    params = {**settings.parents.training, **span, "model": settings.model}
    return Need(name, "trial", {"weights": weights}, params)

"""`asha`: successive halving that waits for nobody."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from orchestrator.records import Json
from orchestrator.searching.rungs import CLOSE, rungs
from orchestrator.searching.score import WORST
from orchestrator.searching.searcher import Checkpoint, Scope, Segment


@dataclass(slots=True)
class Rung:
    """Places are (-score, trial), so that the best come first, and of equals the one that began first."""

    order: list[tuple[float, int]] = field(default_factory=list)  # of all that got here
    waiting: list[tuple[float, int]] = field(default_factory=list)  # of those that have not gone on and still may

    def add(self, trial: int, score: float) -> None:
        place = (-score, trial)
        insort(self.order, place)
        if score > WORST:
            insort(self.waiting, place)

    def best(self, count: int) -> list[tuple[float, int]]:
        """Those that wait among the best `count`, the best first."""
        if not 0 < count <= len(self.order):
            return list(self.waiting) if count else []
        return self.waiting[: bisect_right(self.waiting, self.order[count - 1])]


@dataclass(slots=True)
class State:
    rungs: list[Rung]
    begun: int = 0
    running: dict[int, int] = field(default_factory=dict)  # trial -> the rung it trains for


class Asha:
    """`Searcher`, of the promotion type: a trial pauses at each rung until it is among the best of it.

    Looks from the highest rung but one down for a trial among the best floor(size/η) of its rung that has not been
    promoted; if there is none, the next trial begins at the lowest rung.

    eta: η > 1. first: epochs of the lowest rung, > 0; None: scope.epochs / η², which makes three rungs.
    Holds: what is promoted was among the best floor(size/η) at that moment, and later results may push it out, so
        that in the end more than one in η may have gone on. Trials that diverged or failed never go on.
    Cost: O(log n) a question, and O(n/η) to say which checkpoints are needed.
    Source: Li et al. 2020, arXiv:1810.05934, algorithm 2. Ours: ties go to the trial that began first.
    """

    def __init__(self, scope: Scope, eta: float = 3.0, first: float | None = None) -> None:
        self._scope, self._eta = scope, eta
        self._rungs = rungs(scope.epochs / eta**2 if first is None else first, eta, scope.epochs)
        self._state = State([Rung() for _ in self._rungs])

    def next(self) -> Segment | None:
        state = self._state
        for number in range(len(self._rungs) - 2, -1, -1):
            rung = state.rungs[number]
            if self._promotable(rung):
                _, trial = rung.waiting.pop(0)
                return self._segment(trial, number + 1)
        if state.begun == self._scope.trials:
            return None
        state.begun += 1
        return self._segment(state.begun - 1, 0)

    def told(self, trial: int, score: float) -> None:
        state = self._state
        state.rungs[state.running.pop(trial)].add(trial, score)

    def failed(self, trial: int) -> None:
        self.told(trial, WORST)

    @property
    def finished(self) -> bool:
        state = self._state
        done = state.begun == self._scope.trials and not state.running
        return done and not any(self._promotable(rung) for rung in state.rungs[:-1])

    def needed(self) -> Iterable[Checkpoint]:
        """Of those that wait, only such as may still come to be among the best: at most all trials reach a rung."""
        state = self._state
        yield from (Checkpoint(trial, self._rungs[rung - 1]) for trial, rung in state.running.items() if rung)
        if not self.finished:
            for number, rung in enumerate(state.rungs[:-1]):
                best = rung.best(self._one_in_eta(self._scope.trials))
                yield from (Checkpoint(trial, self._rungs[number]) for _, trial in best)

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State, strict=False)

    def _one_in_eta(self, size: int) -> int:
        return int(size / self._eta + CLOSE)

    def _promotable(self, rung: Rung) -> bool:
        """Whether the best that waits is among the best floor(size/η)."""
        count = self._one_in_eta(len(rung.order))
        return count > 0 and bool(rung.waiting) and rung.waiting[0] <= rung.order[count - 1]

    def _segment(self, trial: int, rung: int) -> Segment:
        self._state.running[trial] = rung
        source = Checkpoint(trial, self._rungs[rung - 1]) if rung else None
        return Segment(trial, self._scope.config(trial), self._rungs[rung], source)

"""`successive_halving`: all train a little, the best train on, until one is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from orchestrator.records import Json
from orchestrator.searching.rungs import kept, rungs
from orchestrator.searching.score import WORST, ranked
from orchestrator.searching.searcher import Checkpoint, Scope, Segment


@dataclass(slots=True)
class State:
    rung: int = 0
    waiting: list[int] = field(default_factory=list)  # of this rung, not begun; the lowest first
    running: list[int] = field(default_factory=list)
    scores: dict[int, float] = field(default_factory=dict)  # of this rung


class SuccessiveHalving:
    """`Searcher`. Rung i trains floor(n·η^-i) trials to r·η^i epochs, from their checkpoints of the rung before.

    eta: η > 1. first: r > 0 in epochs; None: so that the last one alone trains for all of scope.epochs.
    Holds: n = 27, η = 3, r = 1 gives 27, 9, 3, 1 trials at 1, 3, 9, 27 epochs, together 81 epochs of training. It
        ends when one trial is left, or the whole budget is reached. Trials that diverged or failed never go on.
    A rung waits for all of its trials, so slow workers hold it up; `asha` does not wait.
    Source: Jamieson, Talwalkar 2016, arXiv:1502.07943. Ours: it resumes, so a rung costs r·(η^i - η^(i-1)) a trial.
    """

    def __init__(self, scope: Scope, eta: float = 3.0, first: float | None = None) -> None:
        self._scope, self._eta = scope, eta
        if first is None:
            halvings = 0
            while kept(scope.trials, eta, halvings) > 1:
                halvings += 1
            first = scope.epochs / eta**halvings
        self._rungs = rungs(first, eta, scope.epochs)
        self._state = State(waiting=list(range(scope.trials)))

    def next(self) -> Segment | None:
        state = self._state
        if not state.waiting:
            return None
        trial = state.waiting.pop(0)
        state.running.append(trial)
        return Segment(trial, self._scope.config(trial), self._rungs[state.rung], self._source(trial))

    def told(self, trial: int, score: float) -> None:
        state = self._state
        state.running.remove(trial)
        state.scores[trial] = score
        if not state.waiting and not state.running:
            self._climb()

    def failed(self, trial: int) -> None:
        self.told(trial, WORST)

    @property
    def finished(self) -> bool:
        return not self._state.waiting and not self._state.running

    def needed(self) -> Iterable[Checkpoint]:
        state = self._state
        if self.finished:
            return
        if state.rung:
            yield from (Checkpoint(trial, self._rungs[state.rung - 1]) for trial in (*state.waiting, *state.running))
        healthy = (trial for trial, score in state.scores.items() if score > WORST)
        yield from (Checkpoint(trial, self._rungs[state.rung]) for trial in healthy)

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State, strict=False)

    def _source(self, trial: int) -> Checkpoint | None:
        rung = self._state.rung
        return Checkpoint(trial, self._rungs[rung - 1]) if rung else None

    def _climb(self) -> None:
        """The rung is complete: the best of it go on, unless one is left or there is no further rung."""
        state = self._state
        if len(state.scores) == 1 or state.rung + 1 == len(self._rungs):
            return
        best = ranked(state.scores)[: kept(self._scope.trials, self._eta, state.rung + 1)]
        state.waiting = sorted(trial for trial in best if state.scores[trial] > WORST)
        state.rung += 1
        state.scores = {}

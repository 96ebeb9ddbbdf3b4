"""`random`: independent draws, each trained for the whole budget. The control of every cleverer searcher."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from orchestrator.records import Json
from orchestrator.searching.searcher import Checkpoint, Scope, Segment


@dataclass(slots=True)
class State:
    begun: int = 0
    running: int = 0


class RandomSearch:
    """`Searcher`. Cost: one draw a trial."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._state = State()

    def next(self) -> Segment | None:
        state, scope = self._state, self._scope
        if state.begun == scope.trials:
            return None
        trial = state.begun
        state.begun += 1
        state.running += 1
        return Segment(trial, scope.config(trial), scope.epochs)

    def told(self, trial: int, score: float) -> None:
        self._state.running -= 1

    def failed(self, trial: int) -> None:
        self._state.running -= 1

    @property
    def finished(self) -> bool:
        return self._state.begun == self._scope.trials and not self._state.running

    def needed(self) -> Iterable[Checkpoint]:
        return ()

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State)

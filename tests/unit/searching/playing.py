"""A search without workers: segments end in any order, some diverge, some fail; the history is for checkers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from orchestrator.searching.score import WORST
from orchestrator.searching.searcher import Checkpoint, Scope, Searcher, Segment
from orchestrator.searching.space import Config

Value: TypeAlias = Callable[[Config, float], float]
"""How good a configuration is after so many epochs; higher is better."""


@dataclass
class Play:
    """The searcher under test and what has happened; `slots`: how many segments run at once."""

    searcher: Searcher
    value: Value
    random: Random
    slots: int = 4
    diverge: float = 0.0
    fail: float = 0.0
    running: list[Segment] = field(default_factory=list)
    begun: list[Segment] = field(default_factory=list)
    scores: dict[Checkpoint, float] = field(default_factory=dict)  # of what did not fail

    def step(self) -> bool:
        """Fills the slots, then ends one segment; False: nothing was left to do."""
        while len(self.running) < self.slots and (segment := self.searcher.next()) is not None:
            self.check(segment)
            self.running.append(segment)
            self.begun.append(segment)
        if not self.running:
            return False
        segment = self.running.pop(self.random.randrange(len(self.running)))
        chance = self.random.random()
        if chance < self.fail:
            self.searcher.failed(segment.trial)
        else:
            diverged = chance < self.fail + self.diverge
            score = WORST if diverged else self.value(segment.config, segment.end)
            self.scores[Checkpoint(segment.trial, segment.end)] = score
            self.searcher.told(segment.trial, score)
        return True

    def run(self) -> Play:
        while self.step():
            pass
        return self

    def check(self, segment: Segment) -> None:
        """What must hold of every segment, whatever the searcher."""
        assert segment.trial not in {other.trial for other in self.running}, "one trial twice at once"
        assert segment.end > segment.start >= 0
        if segment.source is not None:
            assert self.scores[segment.source] > WORST, "a source that is no good checkpoint"
        needed = set(self.searcher.needed())
        assert {other.source for other in (*self.running, segment)} - {None} <= needed, "a running source is let go"

    def best(self) -> float:
        return max(self.scores.values())


def copied(searcher: Searcher, make: Callable[[], Searcher]) -> Searcher:
    """The same searcher out of its state, which went through JSON."""
    state = written(searcher)
    again = make()
    again.load_state_dict(json.loads(state))
    assert written(again) == state
    return again


def written(searcher: Searcher) -> str:
    """Its state, as JSON."""
    return json.dumps(searcher.state_dict(), allow_nan=False)


def bowl(config: Config, epochs: float) -> float:
    """Best, 1, at lr = 0.1 and momentum 0.8, and better the longer one trains."""
    value = 1.0
    for name, figure in config.items():
        if name == "optimizer.lr":
            assert isinstance(figure, float)
            value -= abs(figure - 0.1)
        elif name == "optimizer.momentum":
            assert isinstance(figure, float)
            value -= abs(figure - 0.8)
        elif isinstance(figure, int | float):
            value -= abs(figure) / 1e6
    return value - 1 / (1 + epochs)


__all__ = ["Play", "Scope", "bowl", "copied", "written"]

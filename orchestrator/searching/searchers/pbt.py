"""`pbt`: a population trains side by side; the worst take over weights and settings of the best, and vary them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

import msgspec

from orchestrator.records import Json
from orchestrator.searching.perturb import perturbed
from orchestrator.searching.rungs import CLOSE
from orchestrator.searching.score import WORST, ranked
from orchestrator.searching.searcher import Checkpoint, Scope, Segment

FAILURES = 3  # of one member, then it is out: what its segments do cannot be computed


@dataclass(slots=True)
class Member:
    """config: at present. trained: the one before, of its checkpoint. score: of that; None: there was none yet."""

    config: dict[str, Json]
    trained: dict[str, Json] = field(default_factory=dict)
    epochs: float = 0.0
    score: float | None = None
    end: float = 0.0  # of the running segment
    source: Checkpoint | None = None  # of the running segment
    running: bool = False
    segments: int = 0  # begun
    failures: int = 0


@dataclass(slots=True)
class State:
    members: list[Member] = field(default_factory=list)


class Pbt:
    """`Searcher`. All of scope.trials are one population, compared by the latest score of each.

    When a member's turn comes and it is among the worst floor(q·n) of the n that have scores, it takes over weights
    and settings of a random one of the best floor(q·n), varied by `perturbed`; all others go on as they are. The turn
    is that of the member with the fewest epochs, so a population larger than the pool keeps step.

    interval: epochs between turns, > 0; None: scope.epochs / 5. quantile: q in [0, 0.5]; 0: never takes over.
    resample: the probability in [0, 1] that a parameter is drawn anew.
    Holds: the size of the population is constant; members in the upper part never change; every member ends at
        scope.epochs. One that diverged takes over from any that did not, or begins anew if there is none.
    Source: Jaderberg et al. 2017, arXiv:1711.09846, with the figures of Ray Tune. Ours: a member that takes over from
        one with fewer epochs trains those too, so that epochs only rise and the end is reached.
    """

    def __init__(
        self, scope: Scope, interval: float | None = None, quantile: float = 0.25, resample: float = 0.25
    ) -> None:
        self._scope, self._quantile, self._resample = scope, quantile, resample
        self._interval = scope.epochs / 5 if interval is None else interval
        self._state = State([Member(dict(scope.config(trial))) for trial in range(scope.trials)])

    def next(self) -> Segment | None:
        members = self._state.members
        waiting = [trial for trial, member in enumerate(members) if self._trains(member) and not member.running]
        if not waiting:
            return None
        trial = min(waiting, key=lambda trial: (members[trial].epochs, trial))
        member = members[trial]
        source = self._source(trial, Random(f"{self._scope.seed} turn {trial} {member.segments}"))
        start = 0.0 if source is None else source.epochs
        end = max(member.epochs, start) + self._interval
        member.end = self._scope.epochs if end > self._scope.epochs * (1 - CLOSE) else end
        member.source, member.running, member.segments = source, True, member.segments + 1
        return Segment(trial, member.config, member.end, source)

    def told(self, trial: int, score: float) -> None:
        member = self._state.members[trial]
        member.running, member.score, member.epochs, member.trained = False, score, member.end, member.config

    def failed(self, trial: int) -> None:
        member = self._state.members[trial]
        member.running, member.score = False, WORST
        member.failures += 1

    @property
    def finished(self) -> bool:
        return not any(self._trains(member) for member in self._state.members)

    def needed(self) -> Iterable[Checkpoint]:
        for trial, member in enumerate(self._state.members):
            if member.running and member.source is not None:
                yield member.source
            if self._healthy(member) and self._trains(member) and member.source != (trial, member.epochs):
                yield Checkpoint(trial, member.epochs)

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State)

    def _trains(self, member: Member) -> bool:
        return member.running or (member.failures < FAILURES and member.epochs < self._scope.epochs)

    def _healthy(self, member: Member) -> bool:
        return member.score is not None and member.score > WORST

    def _source(self, trial: int, random: Random) -> Checkpoint | None:
        """Where the member's next segment starts; changes its settings if it takes over another's."""
        members = self._state.members
        member = members[trial]
        if member.score is None:
            return None
        order = ranked({number: other.score for number, other in enumerate(members) if other.score is not None})
        size = int(self._quantile * len(order) + CLOSE)
        best = [donor for donor in (order[:size] if self._healthy(member) else order) if self._gives(donor, trial)]
        if self._healthy(member) and (trial not in order[len(order) - size :] or not best):
            return Checkpoint(trial, member.epochs)
        if not best:
            member.config = dict(self._scope.space.sample(random))
            return None
        donor = random.choice(best)
        member.config = dict(perturbed(self._scope.space, members[donor].trained, self._resample, random))
        return Checkpoint(donor, members[donor].epochs)

    def _gives(self, donor: int, taker: int) -> bool:
        """One that has ended has nothing left to train, so nobody takes over from it."""
        member = self._state.members[donor]
        return donor != taker and self._healthy(member) and member.epochs < self._scope.epochs

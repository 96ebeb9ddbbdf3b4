"""Which sources a greedy soup is made of: the best first, then each next one that makes the soup strictly better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class GreedySoup:
    """One pass over the sources in order of their scores.

    order: sources, the best first. members: of the soup so far, in that order. position: in the order, of the next one
    to try. best: the score of the soup so far.
    Holds: the score never falls below the best source's.
    Source: Wortsman et al. 2022, arXiv:2203.05482, recipe 1.
    """

    order: list[int]
    best: float
    members: list[int] = field(default_factory=list)
    position: int = 1

    @classmethod
    def begin(cls, scores: dict[int, float]) -> GreedySoup:
        """scores: of each source alone, higher is better; of equals the one with the lower number comes first."""
        order = sorted(scores, key=lambda source: (-scores[source], source))
        return cls(order, scores[order[0]], [order[0]])

    @property
    def next(self) -> list[int] | None:
        """The members of the soup to judge next, or None: all have been tried."""
        return [*self.members, self.order[self.position]] if self.position < len(self.order) else None

    def judged(self, score: float) -> bool:
        """Whether `next`, which has this score, is the soup from now on: only if it is strictly better."""
        tried = self.order[self.position]
        self.position += 1
        if not score > self.best:
            return False
        self.members.append(tried)
        self.best = score
        return True

    def speculations(self) -> Sequence[list[int]]:
        """What `next` may be when the present one has been judged: if it is taken up, and if it is not."""
        if self.position + 1 >= len(self.order):
            return ()
        tried, after = self.order[self.position : self.position + 2]
        return [*self.members, tried, after], [*self.members, after]

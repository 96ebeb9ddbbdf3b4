"""The most probable configurations of a policy, without listing them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from math import exp, inf, log
from typing import NamedTuple

from orchestrator.searching.basis import Category
from orchestrator.searching.policy import NOT_MADE, Cell, Policy, is_made

PARTIAL = 100_000  # partial configurations looked at, at most


class Likely(NamedTuple):
    """A configuration with its probability."""

    cell: Cell
    probability: float


class _Partial(NamedTuple):
    """A beginning of a cell; ordered so that the most promising comes first, of equals the one farthest on."""

    cost: float  # -log of the largest probability that a configuration with this beginning can have
    undecided: int
    cell: Cell
    spent: float  # -log of the probability so far


def most_likely(policy: Policy, count: int) -> list[Likely]:
    """The `count` >= 1 most probable configurations, most probable first; fewer if there are no more.

    Equally probable ones come in order of their options. Configurations of probability 0 are left out.
    Cost: O(count · decisions · options) where no decision depends on another; with many dependent ones it stops after
        PARTIAL partial configurations, with what it has.
    """
    return [likely for likely, _ in zip(_descending(policy), range(count), strict=False)]


def _descending(policy: Policy) -> Iterator[Likely]:
    decisions = policy.decisions
    costs = [_costs(policy.probabilities(number)) for number in range(len(decisions))]
    ahead = _least_ahead(decisions, costs)
    queue = [_Partial(ahead[0], len(decisions), (), 0.0)]
    for _ in range(PARTIAL):
        if not queue:
            return
        partial = heappop(queue)
        if not partial.undecided:
            yield Likely(partial.cell, exp(-partial.spent))
            continue
        number = len(partial.cell)
        options = enumerate(costs[number]) if is_made(decisions[number], partial.cell) else [(NOT_MADE, 0.0)]
        for option, cost in options:
            if cost < inf:
                spent = partial.spent + cost
                bound = round(spent + ahead[number + 1], 12)  # equal sums in another order are equal
                heappush(queue, _Partial(bound, partial.undecided - 1, (*partial.cell, option), spent))


def _costs(probabilities: Sequence[float]) -> list[float]:
    return [-log(p) if p > 0 else inf for p in probabilities]


def _least_ahead(decisions: Sequence[Category], costs: Sequence[Sequence[float]]) -> list[float]:
    """[n]: what the decisions from n on cost at least; one that may not be made costs nothing."""
    ahead = [0.0]
    for decision, each in zip(reversed(decisions), reversed(costs), strict=True):
        ahead.append(ahead[-1] + (min(each) if decision.parent is None else 0.0))
    return ahead[::-1]

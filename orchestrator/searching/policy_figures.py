"""What a policy thinks at present, as figures for the record."""

from __future__ import annotations

from collections import Counter
from math import log10
from typing import TypeGuard

from orchestrator.searching.policy import Policy
from orchestrator.searching.policy_top import most_likely


def policy_figures(policy: Policy) -> dict[str, float]:
    """confidence: the probability of the most likely configuration; for each decision between options entropy/NAME in
    nats, most/NAME, its largest probability, and mean_log10/NAME, if all are positive numbers.

    A mean_log10 that drifts to an end of its range is the sign of a horizon that is too short.
    """
    figures = {"confidence": most_likely(policy, 1)[0].probability}
    named = Counter(decision.name for decision in policy.decisions)
    for number, decision in enumerate(policy.decisions):
        if len(decision.options) == 1:
            continue
        probabilities = policy.probabilities(number)
        twice = named[decision.name] > 1 and decision.parent is not None
        parent = policy.decisions[decision.parent] if twice and decision.parent is not None else None
        name = decision.name if parent is None else f"{decision.name} under {parent.options[decision.under]}"
        figures[f"entropy/{name}"] = policy.entropy(number)
        figures[f"most/{name}"] = max(probabilities)
        logarithms = [log10(value) for value in decision.options if _is_positive(value)]
        if len(logarithms) == len(probabilities):
            figures[f"mean_log10/{name}"] = sum(p * log for p, log in zip(probabilities, logarithms, strict=True))
    return figures


def _is_positive(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0

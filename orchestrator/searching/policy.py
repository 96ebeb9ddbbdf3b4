"""A distribution over configurations that learns from rewards: one softmax a decision, moved by REINFORCE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, isfinite, log
from random import Random
from typing import Any, Literal, NamedTuple, TypeAlias

from orchestrator.searching.basis import Category
from orchestrator.searching.policy_adam import Adam
from orchestrator.searching.policy_baseline import Average, leave_one_out

Cell: TypeAlias = tuple[int, ...]
"""A configuration: for each decision the number of its option, NOT_MADE where its parent chose otherwise."""

NOT_MADE = -1

Baseline: TypeAlias = Literal["leave_one_out", "average", "none"]


class Sample(NamedTuple):
    """A configuration that was tried. log_probability: of the cell, from the policy that drew it."""

    cell: Cell
    reward: float
    log_probability: float


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How a policy learns.

    learning_rate: of Adam on the logits, > 0; learning_rate · updates of 10 to 20 is the useful range.
    beta1, beta2: in [0, 1). baseline: what is subtracted from rewards; with one sample leave_one_out is the average.
    momentum: of the average, in [0, 1). entropy: weight of the entropy in what is maximised, >= 0.
    floor: ε in [0, 1): an option of n keeps at least probability ε/n, so that it can come back.
    ratio_limit: largest weight of a sample that an older policy drew, >= 1.
    """

    learning_rate: float = 0.3
    beta1: float = 0.9
    beta2: float = 0.999
    baseline: Baseline = "leave_one_out"
    momentum: float = 0.95
    entropy: float = 0.0
    floor: float = 0.0
    ratio_limit: float = 10.0


class Policy:
    """π(cell) = Π p_d(cell[d]) over the decisions that the cell makes, p_d = (1 - ε)·softmax(logits_d) + ε/n.

    Uniform at first. Pure: draws come from the caller's generator. Decisions are numbered as in `basis`.
    Holds: every p_d sums to 1; a decision with one option never moves; rewards that are NaN or Inf count as 0.
    Source: Dong, Tan, Yu, Peng, Gabrys, Le 2020, arXiv:2006.03656; average and hierarchy as in the released code of
        TuNAS. Ours adds: the leave-one-out baseline, the floor, samples of older policies.
    """

    def __init__(self, decisions: Sequence[Category], settings: PolicySettings | None = None) -> None:
        self.decisions = tuple(decisions)
        self.settings = settings or PolicySettings()
        self._logits = [[0.0] * len(decision.options) for decision in decisions]
        self._adam = Adam(self.settings.learning_rate, self.settings.beta1, self.settings.beta2)
        self._average = Average(self.settings.momentum)

    def probabilities(self, number: int) -> list[float]:
        """Of a decision's options, given that it is made."""
        return self._mixed(_softmax(self._logits[number]))

    def draw(self, random: Random) -> Cell:
        """A configuration; one number from the generator for each decision that it makes."""
        cell: list[int] = []
        for number, decision in enumerate(self.decisions):
            made = is_made(decision, cell)
            cell.append(_pick(self.probabilities(number), random.random()) if made else NOT_MADE)
        return tuple(cell)

    def log_probability(self, cell: Cell) -> float:
        """log π(cell); -inf where an option's probability is less than any float."""
        return sum(self._log_probability(number, option) for number, option in _made(cell))

    def score(self, cell: Cell) -> dict[int, list[float]]:
        """∂ log π(cell) / ∂ logits, for the decisions that it makes: onehot - softmax without a floor.

        Its expectation under the policy is zero.
        """
        score = {}
        for number, option in _made(cell):
            soft = _softmax(self._logits[number])
            share = self._share(soft, option)
            score[number] = [share * ((other == option) - p) for other, p in enumerate(soft)]
        return score

    def entropy(self, number: int) -> float:
        """Of a decision, in nats, from 0 to log(options)."""
        return -sum(p * log(p) for p in self.probabilities(number) if p > 0)

    def update(self, samples: Sequence[Sample]) -> None:
        """One step up the mean of advantage · score, and of the entropy; none without samples.

        Samples that an older policy drew weigh π_now / π_then, ratio_limit at most. Equal rewards move nothing under a
        baseline, nor does a constant added to all: what never came in must not count as a reward of 0, for then slow
        configurations die out.
        Cost: O(samples · options), 60 µs for four samples of three decisions.
        """
        if not samples:
            return
        advantages = self._advantages([sample.reward if isfinite(sample.reward) else 0.0 for sample in samples])
        gradient: dict[int, list[float]] = {}
        for sample, advantage in zip(samples, advantages, strict=True):
            ratio = exp(min(self.log_probability(sample.cell) - sample.log_probability, 700.0))
            weight = min(ratio, self.settings.ratio_limit) * advantage / len(samples)
            for number, score in self.score(sample.cell).items():
                slope = gradient.setdefault(number, [0.0] * len(score))
                _add(slope, weight, score)
                if self.settings.entropy:
                    _add(slope, self.settings.entropy / len(samples), self._entropy_slope(number))
        for number, slope in gradient.items():  # a decision that nobody made keeps its logits and its moments
            self._adam.step(number, self._logits[number], slope)

    def state_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "logits": [list(logits) for logits in self._logits],
            "adam": self._adam.state_dict(),
            "average": self._average.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._logits = [list(logits) for logits in state["logits"]]
        self._adam.load_state_dict(state["adam"])
        self._average.load_state_dict(state["average"])

    def _advantages(self, rewards: Sequence[float]) -> list[float]:
        self._average.take(sum(rewards) / len(rewards))
        if self.settings.baseline == "none":
            return list(rewards)
        if self.settings.baseline == "leave_one_out" and len(rewards) > 1:
            return leave_one_out(rewards)
        return [reward - self._average.value for reward in rewards]

    def _mixed(self, soft: Sequence[float]) -> list[float]:
        floor = self.settings.floor
        return [(1 - floor) * p + floor / len(soft) for p in soft] if floor else list(soft)

    def _share(self, soft: Sequence[float], option: int) -> float:
        """How much of an option's probability moves with the logits; 1 without a floor."""
        floor = self.settings.floor
        return (1 - floor) * soft[option] / self._mixed(soft)[option] if floor else 1.0

    def _log_probability(self, number: int, option: int) -> float:
        logits = self._logits[number]
        if self.settings.floor:
            return log(self.probabilities(number)[option])
        top = max(logits)
        return logits[option] - top - log(sum(exp(logit - top) for logit in logits))

    def _entropy_slope(self, number: int) -> list[float]:
        """∂ entropy / ∂ logits."""
        soft = _softmax(self._logits[number])
        pulls = [
            -(1 - self.settings.floor) * p * (log(mixed) + 1) if p > 0 else 0.0
            for p, mixed in zip(soft, self._mixed(soft), strict=True)
        ]
        total = sum(pulls)
        return [pull - p * total for pull, p in zip(pulls, soft, strict=True)]


def is_made(decision: Category, cell: Sequence[int]) -> bool:
    """Whether a configuration makes a decision; cell: the options of all decisions before it, at least."""
    return decision.parent is None or cell[decision.parent] == decision.under


def _made(cell: Cell) -> Iterator[tuple[int, int]]:
    return ((number, option) for number, option in enumerate(cell) if option != NOT_MADE)


def _softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    weights = [exp(logit - top) for logit in logits]
    total = sum(weights)
    return [weight / total for weight in weights]


def _pick(probabilities: Sequence[float], number: float) -> int:
    """The option in whose part of [0, 1) the number lies; never one of probability 0."""
    last = 0
    for option, probability in enumerate(probabilities):
        if probability > 0:
            last = option
            if number < probability:
                return option
            number -= probability
    return last


def _add(target: list[float], factor: float, addend: Sequence[float]) -> None:
    for number, value in enumerate(addend):
        target[number] += factor * value

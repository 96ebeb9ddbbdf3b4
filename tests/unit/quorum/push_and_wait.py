"""Push-and-wait SGD on a virtual clock, small enough to run hundreds of rounds in a test.

Workers that are busy when a round opens end what they do, are timed, and only then start on the newest weights.
"""

from __future__ import annotations

import heapq
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.protocols import Quorum
from orchestrator.records import Arrivals, Evidence, Json, RoundTrip

Array = NDArray[np.float64]
RoundTripModel = Callable[[np.random.Generator, float, int], Array]
"""(random, now_s, n) -> the round trips, shape [n], of work that starts in a round opened at now_s."""


def constant(random: np.random.Generator, now_s: float, n: int) -> Array:
    return np.ones(n)


def shifted_exponential(alpha: float) -> RoundTripModel:
    """(1 - alpha) + alpha·Exp(1): mean 1."""
    return lambda random, now_s, n: (1 - alpha) + alpha * random.exponential(size=n)


def pareto(random: np.random.Generator, now_s: float, n: int) -> Array:
    """Shape 1.5, mean 1: infinite variance."""
    return (random.pareto(1.5, size=n) + 1) / 3


def quarter_slow(random: np.random.Generator, now_s: float, n: int) -> Array:
    return np.where(np.arange(n) < n // 4, 5.0, 1.0)


def half_slows_down(random: np.random.Generator, now_s: float, n: int) -> Array:
    """0.8 + 0.2·Exp(1); half of the workers become five times slower at 40 s."""
    slow = (np.arange(n) < n // 2) & (now_s >= 40)
    return np.where(slow, 5.0, 1.0) * (0.8 + 0.2 * random.exponential(size=n))


class Objective(Protocol):
    """What is trained: `start` gives weights, `gradients` k mini-batch losses and gradients at them."""

    def start(self, random: np.random.Generator) -> Array: ...
    def gradients(self, weights: Array, k: int, random: np.random.Generator) -> tuple[Array, Array]: ...
    def full_loss(self, weights: Array) -> float: ...


@dataclass(frozen=True)
class NoisyQuadratic:
    """½ curvature·‖w‖² with gaussian gradient noise of total variance `variance` in `size` weights."""

    curvature: float = 1.0
    variance: float = 1.0
    size: int = 8
    distance: float = 10.0

    def start(self, random: np.random.Generator) -> Array:
        return np.full(self.size, self.distance / self.size**0.5)

    def gradients(self, weights: Array, k: int, random: np.random.Generator) -> tuple[Array, Array]:
        noise = random.normal(scale=(self.variance / self.size) ** 0.5, size=(k, self.size))
        return np.full(k, self.full_loss(weights)), self.curvature * weights + noise

    def full_loss(self, weights: Array) -> float:
        return float(self.curvature * weights @ weights / 2)


@dataclass(frozen=True)
class Softmax:
    """Multinomial logistic regression on images [samples, pixels] with digits [samples]; a batch is drawn i.i.d."""

    images: Array
    digits: NDArray[np.int64]
    batch: int
    classes: int = 10

    def start(self, random: np.random.Generator) -> Array:
        return np.zeros(self.images.shape[1] * self.classes)

    def _errors(self, weights: Array, images: Array, digits: NDArray[np.int64]) -> tuple[Array, Array]:
        """Cross entropies [..] and their derivative by the logits [.., classes]."""
        logits = images @ weights.reshape(-1, self.classes)
        logits -= logits.max(axis=-1, keepdims=True)
        log_probability = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        hit = np.eye(self.classes)[digits]
        return -(log_probability * hit).sum(axis=-1), np.exp(log_probability) - hit

    def gradients(self, weights: Array, k: int, random: np.random.Generator) -> tuple[Array, Array]:
        chosen = random.integers(len(self.images), size=(k, self.batch))
        images = self.images[chosen]
        losses, errors = self._errors(weights, images, self.digits[chosen])
        return losses.mean(axis=1), np.einsum("kbp,kbc->kpc", images, errors).reshape(k, -1) / self.batch

    def full_loss(self, weights: Array) -> float:
        return float(self._errors(weights, self.images, self.digits)[0].mean())


class Started(NamedTuple):
    """Work that a worker took up in a round and will end at ends_s."""

    ends_s: float
    worker: str
    took_s: float
    round: int


class Round(NamedTuple):
    """One closed round, k being what it waited for; loss: the mean over its mini-batches."""

    number: int
    opened_s: float
    closed_s: float
    k: int
    why: str
    loss: float


@dataclass
class Cluster:
    """n workers, the weights they train, and the evidence that their core would hand to a quorum.

    proportional: learns with η·k/n instead of η. time_late: late results are timed. interrupt: busy workers start anew
    with each round, and what they were at is timed as unfinished. through_json: memory goes through JSON each round.
    second_s, loss_unit: all times and losses that a quorum sees are multiplied by these.
    """

    objective: Objective
    round_trip: RoundTripModel
    learning_rate: float
    n: int = 16
    seed: int = 0
    proportional: bool = False
    momentum: float = 0.0
    time_late: bool = True
    interrupt: bool = False
    through_json: bool = False
    second_s: float = 1.0
    loss_unit: float = 1.0

    def rounds(self, quorum: Quorum) -> Iterator[Round]:
        """Closed rounds without end; `weights` are those after the last one."""
        times, chance = np.random.default_rng((self.seed, 1)), np.random.default_rng((self.seed, 2))
        self.names = [f"w{i:02d}" for i in range(self.n)]
        self.round_trips = {name: deque[RoundTrip](maxlen=40) for name in self.names}
        self.arrivals = deque[Arrivals](maxlen=50)
        self.weights = self.objective.start(chance)
        self._pending: list[Started] = []
        self._rounds: dict[int, tuple[float, list[float]]] = {}
        descent = Descent(self.weights, float(self.proportional))
        memory: Json = None
        begun, free = np.zeros(self.n), np.zeros(self.n)
        now, h, number = 0.0, 0, 0
        while True:
            start = np.full(self.n, now) if self.interrupt else np.maximum(now, free)
            took = self.round_trip(times, now, self.n)
            finish = start + took
            first, first_s = int(finish.argmin()), float(finish.min())
            self._rounds[number] = (now, [])
            self._end_until(first_s)
            self._end(Started(first_s, self.names[first], took[first], number))

            busy_since = np.where(free > first_s, begun, start)
            busy_since[first] = np.inf
            evidence = self._evidence(
                number,
                now,
                first_s,
                in_flight_s={
                    name: (first_s - since) * self.second_s
                    for name, since in zip(self.names, busy_since, strict=True)
                    if since < first_s
                },
                signals=descent.signals(self.loss_unit),
                memory=json.loads(json.dumps(memory)) if self.through_json else memory,
            )
            decision = quorum.decide(evidence)
            memory, in_order = decision.memory, np.sort(finish)
            closes = float(in_order[decision.wait_for - 1])
            if decision.deadline_s is not None:
                deadline = decision.deadline_s / self.second_s
                closes = min(closes, max(deadline, float(in_order[decision.at_least - 1])))
            k = int((finish <= closes).sum()) if closes < in_order[decision.wait_for - 1] else decision.wait_for
            self.arrivals.append(Arrivals(h, self._rounds[number][1]))

            in_time, taken_up = finish <= closes, (start < closes) | (finish <= closes)
            for i in np.flatnonzero(taken_up):
                if i != first and (in_time[i] or (self.time_late and not self.interrupt)):
                    heapq.heappush(self._pending, Started(float(finish[i]), self.names[i], float(took[i]), number))
            if self.interrupt:
                for i in np.flatnonzero(~in_time):
                    cut = RoundTrip(closes * self.second_s, (closes - now) * self.second_s, False)
                    self.round_trips[self.names[i]].append(cut)
            begun, free = np.where(taken_up, start, begun), np.where(taken_up, finish, free)
            self._end_until(closes)

            losses, gradients = self.objective.gradients(self.weights, k, chance)
            eta = self.learning_rate * (k / self.n if self.proportional else 1.0)
            self.weights = descent.step(losses, gradients, eta, self.momentum)
            yield Round(number, now, closes, k, decision.why, float(losses.mean()))
            now, h, number = closes, k, number + 1

    def _evidence(
        self,
        number: int,
        opened_s: float,
        now_s: float,
        *,
        in_flight_s: dict[str, float],
        signals: dict[str, float],
        memory: Json,
    ) -> Evidence:
        return Evidence(
            round=number,
            opened_s=opened_s * self.second_s,
            now_s=now_s * self.second_s,
            eligible=self.n,
            present=self.n,
            arrived=1,
            round_trips=self.round_trips,
            arrivals=list(self.arrivals),
            in_flight_s=in_flight_s,
            signals=signals,
            memory=memory,
            seed=self.seed,
        )

    def _end_until(self, now_s: float) -> None:
        while self._pending and self._pending[0].ends_s <= now_s:
            self._end(heapq.heappop(self._pending))

    def _end(self, work: Started) -> None:
        trip = RoundTrip(work.ends_s * self.second_s, work.took_s * self.second_s, True)
        self.round_trips[work.worker].append(trip)
        opened_s, offsets = self._rounds[work.round]
        offsets.append((work.ends_s - opened_s) * self.second_s)


class Descent:
    """SGD with momentum, and the signals that its strategy would show."""

    def __init__(self, weights: Array, exponent: float) -> None:
        self._weights, self._exponent = weights, exponent
        self._mean, self._move = np.zeros_like(weights), np.zeros_like(weights)
        self._signals: dict[str, float] = {}

    def step(self, losses: Array, gradients: Array, eta: float, momentum: float) -> Array:
        """The new weights, after the mean of gradients [k, weights]."""
        mean, k = gradients.mean(axis=0), len(gradients)
        change, first = mean - self._mean, not self._signals
        self._signals = {
            "loss": float(losses.mean()),
            "sum_norm2": float((gradients**2).sum()),
            "norm2": float(mean @ mean),
            "k": k,
            "learning_rate": eta,
            "momentum": momentum,
            "learning_rate_exponent": self._exponent,
        }
        if not first:
            self._signals["change_norm2"] = float(change @ change)
            self._signals["step_dot_gradient"] = float(mean @ self._move)
            self._signals["step_norm2"] = float(self._move @ self._move)
        self._move = momentum * self._move - eta * mean
        self._mean, self._weights = mean, self._weights + self._move
        return self._weights

    def signals(self, loss_unit: float) -> dict[str, float]:
        """Of the last step, with the loss multiplied by loss_unit and η divided by it, which moves the same weights."""
        power = {"loss": 1, "sum_norm2": 2, "norm2": 2, "change_norm2": 2, "step_dot_gradient": 1, "learning_rate": -1}
        return {name: value * loss_unit ** power.get(name, 0) for name, value in self._signals.items()}

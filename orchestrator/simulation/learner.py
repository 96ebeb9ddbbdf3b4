"""What answers work on the virtual clock: the modelled curve, or the task itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Set
from math import ceil
from statistics import NormalDist, fmean
from typing import Any, Protocol, TypeAlias

from orchestrator.local import Local
from orchestrator.pools.latency import LEAST, chance
from orchestrator.records import Ref, Row, Work
from orchestrator.simulation.curve import Curve
from orchestrator.values.memory import MemoryValues
from trainers.schedules import Schedule

Answer: TypeAlias = tuple[Mapping[str, Ref], Mapping[str, float]]

NORMAL = NormalDist()
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "init": ("weights", "optimizer"),
    "gradient": ("gradient",),
    "aggregate": ("weights", "optimizer", "mean", "average"),
}


class Learner(Protocol):
    """loss: of training, after the step of this row. keep: a round closed, only these values are still needed."""

    def execute(self, work: Work) -> Answer: ...

    def loss(self, row: Row) -> float: ...

    def keep(self, held: Callable[[], Set[Ref]]) -> None: ...


class Modelled:
    """Nothing is computed: metrics are those of the curve, with noise in the losses drawn from (seed, work id).

    init: metrics of the real first work. batch_size: samples of one gradient. The loss is the expected one, without
        the noise.
    """

    def __init__(self, curve: Curve, init: Mapping[str, float], *, batch_size: int, seed: int) -> None:
        self._curve, self._init, self._batch_size, self._seed = curve, init, batch_size, seed
        self._descent = curve.descent()
        self._schedule: Schedule | None = None

    def loss(self, row: Row) -> float:
        return self._descent.loss

    def keep(self, held: Callable[[], Set[Ref]]) -> None:
        """There are no values."""

    def execute(self, work: Work) -> Answer:
        outputs = {name: Ref(f"{work.id}.{name}") for name in OUTPUTS.get(work.kind, ())}
        return outputs, self._metrics(work)

    def _metrics(self, work: Work) -> Mapping[str, float]:
        params: Mapping[str, Any] = work.params
        match work.kind:
            case "init":
                return self._init
            case "gradient":
                return self._gradient(work.id, params["block"], params["batch_size"])
            case "aggregate":
                return self._aggregate(params)
            case "range_test":
                k = params["batch_size"] // self._batch_size
                return {"knee": self._descent.best_rate(k) / self._curve.reach}
            case _:
                return {"loss": self._descent.loss, "samples": float(params["count"])}

    def _gradient(self, work_id: int, block: int, batch_size: int) -> Mapping[str, float]:
        normal = NORMAL.inv_cdf(max(chance(self._seed, work_id, 11), LEAST))
        samples = min(batch_size, self._init["train_samples"] - block * batch_size)
        loss = self._descent.loss * max(1 + self._curve.loss_spread * normal, 0.0)
        return {"loss": loss, "norm2": self._descent.gradient_norm2 + self._curve.variance, "samples": float(samples)}

    def _aggregate(self, params: Mapping[str, Any]) -> Mapping[str, float]:
        learning_rate = self._learning_rate(params)
        effective = learning_rate * self._curve.reach
        told = self._descent.step(effective, len(params["gradients"]))
        return {**told._asdict(), "learning_rate": learning_rate, "effective_learning_rate": effective}

    def _learning_rate(self, params: Mapping[str, Any]) -> float:
        lr = float(params["optimizer"]["lr"])
        if (scheduled := params.get("scheduled")) is not None:
            self._schedule = self._schedule or Schedule(scheduled["schedule"], params["optimizer"])
            lr = float(self._schedule.at(scheduled["count"]).get("lr", lr))
        return lr * float(params["lr_factor"])


class Computed:
    """The task itself, here. The loss is the mean over the newest gradients, as many as there are workers."""

    def __init__(self, local: Local, workers: int) -> None:
        self._values = MemoryValues()
        self._losses: deque[float] = deque(maxlen=workers)
        self._execute = local.execute(self._values)
        self._alive: set[Ref] = set()

    def execute(self, work: Work) -> Answer:
        outputs, metrics = self._execute(work)
        self._alive.update(outputs.values())
        return outputs, metrics

    def loss(self, row: Row) -> float:
        self._losses.extend([row.metrics["loss"]] * ceil(row.metrics["waited_for"]))
        return fmean(self._losses)

    def keep(self, held: Callable[[], Set[Ref]]) -> None:
        needed = held()
        self._values.release(self._alive - needed)
        self._alive &= needed

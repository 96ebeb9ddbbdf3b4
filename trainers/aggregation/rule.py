"""What a rule of aggregation is: from the results of a cohort of clients to the next weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor

from trainers.local_training import Plan
from trainers.proxy import Judgement
from trainers.tensors import Tensors

NOTHING: Tensors = {}


class Update(NamedTuple):
    """What one client sent. All values of one model, none to be written to.

    samples: > 0, that it trained on. base: the weights that it started from, `staleness` >= 0 versions old.
    state, state_before: what the client remembers now and remembered then; empty: nothing yet.
    """

    work_id: int
    client: str
    samples: float
    weights: Tensors
    base: Tensors
    staleness: int = 0
    state: Tensors = NOTHING
    state_before: Tensors = NOTHING


@dataclass(frozen=True, slots=True)
class Cohort:
    """weights: the newest. updates: one or more, all finite, in order of work id. population: clients in all, >= 1.

    state: what the rule put out with these weights; empty at first.
    """

    weights: Tensors
    updates: Sequence[Update]
    population: int
    state: Tensors = field(default_factory=dict)


class Combined(NamedTuple):
    """The next weights, and what the rule wants to see again next time."""

    weights: Tensors
    state: Tensors
    metrics: Mapping[str, float]


class Served(Protocol):
    """The server's proxy data, for rules that learn; see `trainers.proxy.Proxy`."""

    def loss_and_gradient(self, weights: Tensors, batch: Any) -> tuple[float, Tensor]: ...
    def judge(self, weights: Tensors) -> Judgement: ...
    def batches(self, batch_size: int, epochs: int) -> Iterator[Any]: ...
    def trained(self, weights: Tensors, batch_size: int, plan: Plan) -> Tensors: ...


class Rule(Protocol):
    """Options are fields. Pure: equal cohorts and proxies give equal bits, and nothing that is handed in is modified.

    uses_proxy: the server needs labelled samples. has_control: clients keep SCAFFOLD's control between rounds.
    """

    uses_proxy: ClassVar[bool]
    has_control: ClassVar[bool]

    def combine(self, cohort: Cohort, proxy: Served) -> Combined: ...

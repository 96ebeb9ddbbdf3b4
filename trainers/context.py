"""What a piece of work finds in its process: the task, the source of chance, and what is dear to make again."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from trainers.blocks import permutation
from trainers.building import build_model
from trainers.data.balanced import balanced
from trainers.data.batches import batch_of
from trainers.data.labels import labels_of
from trainers.data.partition import Partition, partition
from trainers.flat import FlatModel
from trainers.randomness import derive, seeded
from trainers.schedules import Schedule, Scheduled
from trainers.stepper import Stepper
from trainers.task import Split, Task
from trainers.tensors import Tensors

T = TypeVar("T")

CPU = torch.device("cpu")


def _never() -> bool:
    return False


def _room(like: Tensors) -> Tensors:
    return {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in like.items()}


class Latest(Generic[T]):
    """The last thing made, under its key: one at a time, so that a search over many models stays small."""

    def __init__(self) -> None:
        self._held: tuple[Hashable, T] | None = None

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        if self._held is None or self._held[0] != key:
            self._held = None  # the old one goes before the new one comes
            self._held = (key, make())
        return self._held[1]


@dataclass(frozen=True, slots=True)
class Context:
    """Made once a process; `for_work` gives each piece of work its own, which shares what the process holds.

    One piece of work at a time. seed: the run's, in [0, 2^63). device: where models compute; values, and the sums and
    steps over them, stay on the CPU. interrupted: whether this work is to stop as soon as it looks. room: tensors for
    an output, to be filled in: of the names, shapes and dtypes that it is given.
    """

    task: Task
    seed: int
    device: torch.device = CPU
    work_id: int = 0
    interrupted: Callable[[], bool] = _never
    room: Callable[[Tensors], Tensors] = _room
    _models: Latest[FlatModel] = field(default_factory=Latest)
    _steppers: Latest[Stepper] = field(default_factory=Latest)
    _schedules: Latest[Schedule] = field(default_factory=Latest)
    _datasets: dict[Split, Dataset[Any]] = field(default_factory=dict)
    _partitions: Latest[tuple[Tensor, ...]] = field(default_factory=Latest)
    _proxies: Latest[Tensor] = field(default_factory=Latest)

    def for_work(self, work_id: int) -> Context:
        return replace(self, work_id=work_id)

    def model(self, arguments: Mapping[str, Any]) -> FlatModel:
        """The task's model with these arguments, see `build_model`; its weights are whoever's loaded them last."""
        return self._models.get(_key(arguments), lambda: self.new_model(arguments))

    def new_model(self, arguments: Mapping[str, Any]) -> FlatModel:
        """Freshly initialised: after torch.manual_seed(the run's seed), and so the same in every process."""
        with seeded(self.seed, self.device):
            return FlatModel(build_model(self.task, arguments), self.device)

    def stepper(self, arguments: Mapping[str, Any], optimizer: Mapping[str, Any]) -> Stepper:
        """An optimizer over that model's parameters. Raises OptimizerInvalid."""
        key = _key(arguments), _key(optimizer)
        return self._steppers.get(key, lambda: Stepper(self.model(arguments).layout, optimizer))

    def scheduled(self, scheduled: Scheduled, optimizer: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options of this optimizer at this point of its schedule. Raises ScheduleInvalid, OptimizerInvalid."""
        key = _key(scheduled.schedule), _key(optimizer)
        schedule = self._schedules.get(key, lambda: Schedule(scheduled.schedule, optimizer))
        return schedule.at(scheduled.count)

    def samples(self, split: Split) -> int:
        """How many there are."""
        return len(self._dataset(split))  # type: ignore[arg-type]  # torch's Dataset does not declare __len__

    def order(self, epoch: int) -> Tensor:
        """The training samples' order in an epoch, int64 [samples]; not to be written to."""
        return permutation(self.samples(Split.TRAIN), self.seed, epoch)

    def clients(self, description: Partition) -> tuple[Tensor, ...]:
        """The training samples of each simulated client; see `partition`. Cost: nothing for the last one asked."""
        return self._partitions.get(description, lambda: partition(description, self._dataset(Split.TRAIN)))

    def labels(self, split: Split) -> Tensor:
        """The class of each sample, int64 [samples]. Raises LabelsMissing; see `labels_of`."""
        return labels_of(self._dataset(split))

    def balanced(self, split: Split, samples: int) -> Tensor:
        """Indices of a few samples, all classes alike, drawn from the run's seed; see `balanced`."""
        return self._proxies.get((split, samples), lambda: balanced(self.labels(split), samples, self.seed))

    def batch(self, split: Split, indices: Tensor) -> Any:
        """These samples, collated, on the device."""
        return batch_of(self._dataset(split), indices, self.device)

    def randomness(self) -> AbstractContextManager[None]:
        """While it is open, the global generators are a function of (seed, work id)."""
        return seeded(derive(self.seed, "work", self.work_id), self.device)

    def _dataset(self, split: Split) -> Dataset[Any]:
        if split not in self._datasets:
            with seeded(self.seed, self.device):
                self._datasets[split] = self.task.data(split)
        return self._datasets[split]


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)

"""What can go wrong on a worker, as sentences for whoever must act. The user's own exceptions pass unwrapped.

TrainersError
├── TaskInvalid           a path that leads to no Task
├── ArgumentInvalid       an argument that the task's model() does not take
├── OptimizerInvalid      a name or an option that torch.optim does not have, or that cannot work here
├── DataInvalid           a file of a data set is missing or damaged
├── LabelsMissing         a data set without one class for each sample
├── PartitionImpossible   fewer samples than the clients are to have
├── SamplesMissing        fewer samples than are to be drawn
├── BlockMissing          this machine has fewer samples than the run counts on
├── ModelUnsupported      a model that cannot lie in one flat buffer
├── WeightsMismatch       a value made by another model
├── SharingImpossible     architectures whose weights cannot be parts of the same tensors
├── ValueDamaged          bytes that are no encoded tensors
├── KindUnknown           work that no function of `kinds` does
├── RuleUnknown           an aggregation that no rule of `aggregation` does
├── ScheduleInvalid       a name or an option that torch.optim.lr_scheduler does not have, or that cannot work here
├── Interrupted           nobody waits for this work any more; not a failure
└── NonFinite             a loss or a gradient is NaN or Inf
    └── ClientDiverged    in a client's local training
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class TrainersError(Exception):
    """Root of all errors raised on purpose. Subclasses hand every field to super().__init__, for pickling."""


class TaskInvalid(TrainersError):
    """A task cannot be loaded. given: as the user wrote it, `package.module:Class`. problem: a clause."""

    def __init__(self, given: str, problem: str) -> None:
        super().__init__(given, problem)
        self.given, self.problem = given, problem

    def __str__(self) -> str:
        return f"task {self.given!r}: {self.problem}"


class ArgumentInvalid(TrainersError):
    """The task's model() does not take this argument, or misses it. allowed: the names it takes."""

    def __init__(self, task: str, argument: str, allowed: tuple[str, ...]) -> None:
        super().__init__(task, argument, allowed)
        self.task, self.argument, self.allowed = task, argument, allowed

    def __str__(self) -> str:
        if self.argument in self.allowed:
            return f"{self.task}.model() needs the argument {self.argument!r}, which is not given"
        return f"{self.task}.model() has no argument {self.argument!r}{did_you_mean(self.argument, self.allowed)}"


class OptimizerInvalid(TrainersError):
    """An optimizer cannot be made from what was given. name: as given. problem: a clause."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"optimizer {self.name!r}: {self.problem}"


class DataInvalid(TrainersError):
    """A file of a data set is missing or not what it should be."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(file, problem)
        self.file, self.problem = file, problem

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


class LabelsMissing(TrainersError):
    """Classes are needed and the data set does not say them. problem: a clause."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"this data set has no class for each sample: {self.problem}. "
            "Give it an attribute `labels` of integers [samples], or use what needs no classes (partition: iid)."
        )


class PartitionImpossible(TrainersError):
    """Fewer samples than clients · minimum."""

    def __init__(self, samples: int, clients: int, minimum: int) -> None:
        super().__init__(samples, clients, minimum)
        self.samples, self.clients, self.minimum = samples, clients, minimum

    def __str__(self) -> str:
        return (
            f"{self.clients:,} clients with {self.minimum:,} samples each at least need "
            f"{self.clients * self.minimum:,} training samples, and there are {self.samples:,}. "
            f"Use at most {self.samples // self.minimum:,} clients, or a smaller minimum."
        )


class SamplesMissing(TrainersError):
    """More samples are to be drawn than there are."""

    def __init__(self, wanted: int, samples: int) -> None:
        super().__init__(wanted, samples)
        self.wanted, self.samples = wanted, samples

    def __str__(self) -> str:
        return f"{self.wanted:,} samples are to be drawn of {self.samples:,}: ask for at most {self.samples:,}."


class BlockMissing(TrainersError):
    """A block of training data lies beyond the samples that this machine has."""

    def __init__(self, block: int, batch_size: int, samples: int) -> None:
        super().__init__(block, batch_size, samples)
        self.block, self.batch_size, self.samples = block, batch_size, samples

    def __str__(self) -> str:
        return (
            f"block {self.block} of {self.batch_size} samples lies beyond the {self.samples:,} training samples of "
            "this machine, so the run counted more elsewhere: do all machines have the same data?"
        )


class ModelUnsupported(TrainersError):
    """A model that cannot be trained here. problem: a clause that names the parameters."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"this model cannot be trained in one flat buffer: {self.problem}"


class WeightsMismatch(TrainersError):
    """A value does not fit the model. value: which one. expected, given: what differs, for people."""

    def __init__(self, value: str, expected: str, given: str) -> None:
        super().__init__(value, expected, given)
        self.value, self.expected, self.given = value, expected, given

    def __str__(self) -> str:
        return (
            f"{self.value} holds {self.given} where this model has {self.expected}: "
            "do all machines build the same model from the same code and data?"
        )


class SharingImpossible(TrainersError):
    """Two architectures cannot share a parameter. shape, other: of the two; other is () for none. problem: a clause."""

    def __init__(self, parameter: str, shape: Sequence[int], other: Sequence[int], problem: str) -> None:
        super().__init__(parameter, shape, other, problem)
        self.parameter, self.shape, self.other, self.problem = parameter, shape, other, problem

    def __str__(self) -> str:
        beside = f" cannot share the weights of one of shape {list(self.other)}" if self.other else " is not shared"
        return (
            f"{self.parameter} of shape {list(self.shape)}{beside}: {self.problem}. Give layers that are not alike "
            "different names, or search with `weights: fresh`."
        )


class ValueDamaged(TrainersError):
    """Bytes that are no tensors as `encode` writes them."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"these bytes are no encoded tensors: {self.problem}"


class KindUnknown(TrainersError):
    """Work of a kind that this version does not do. allowed: the kinds it does."""

    def __init__(self, kind: str, allowed: tuple[str, ...]) -> None:
        super().__init__(kind, allowed)
        self.kind, self.allowed = kind, allowed

    def __str__(self) -> str:
        hint = did_you_mean(self.kind, self.allowed)
        return f"no kind of work is called {self.kind!r}{hint}; do all machines run the same version?"


class ScheduleInvalid(TrainersError):
    """A learning-rate schedule cannot be made from what was given. name: as given. problem: a clause."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"learning-rate schedule {self.name!r}: {self.problem}"


class Interrupted(TrainersError):
    """The work was told to stop, and did between two micro-batches. done, of: micro-batches."""

    def __init__(self, done: int, of: int) -> None:
        super().__init__(done, of)
        self.done, self.of = done, of

    def __str__(self) -> str:
        return f"stopped after {self.done} of {self.of} micro-batches"


class NonFinite(TrainersError):
    """Training data gave NaN or Inf. quantity: "loss" or "gradient". epoch, block: the data."""

    def __init__(self, quantity: str, epoch: int, block: int) -> None:
        super().__init__(quantity, epoch, block)
        self.quantity, self.epoch, self.block = quantity, epoch, block

    def __str__(self) -> str:
        return (
            f"the {self.quantity} of block {self.block} of epoch {self.epoch} is NaN or Inf. A smaller learning rate "
            "or clip_norm helps if the loss grew before; otherwise look at the samples of that block."
        )


class ClientDiverged(NonFinite):
    """A client's local training gave NaN or Inf. epoch, block: of its own samples, counted from 0."""

    def __init__(self, client: str, epoch: int, block: int) -> None:
        super().__init__("loss", epoch, block)
        self.args = (client, epoch, block)
        self.client = client

    def __str__(self) -> str:
        return (
            f"the loss of client {self.client} became NaN or Inf by batch {self.block} of its local epoch "
            f"{self.epoch}. A smaller learning rate or fewer local epochs help."
        )


class RuleUnknown(TrainersError):
    """An aggregation that this version does not have. allowed: those it has."""

    def __init__(self, rule: str, allowed: tuple[str, ...]) -> None:
        super().__init__(rule, allowed)
        self.rule, self.allowed = rule, allowed

    def __str__(self) -> str:
        return f"no aggregation is called {self.rule!r}{did_you_mean(self.rule, self.allowed)}"


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """The end of a sentence: the nearest spelling, if one is near, and all allowed names."""
    names = sorted(allowed)
    near = get_close_matches(given, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{hint} Allowed: {', '.join(names) or 'none'}"

"""What a `federate` names outside itself: its optimizer, its data, the model it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.spec.federate import Federate
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, complaint
from orchestrator.spec.start_world import start_problems

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from trainers import Split


def federate_world(spec: Spec) -> Iterator[Complaint]:
    """Cost: loads the training and validation data."""
    from orchestrator.spec.world import optimizer_problems

    federate = spec.federate
    assert federate is not None
    yield from optimizer_problems(("federate", "local", "optimizer"), federate.local.optimizer)
    yield from _data(spec, federate)
    if federate.start is not None:
        yield from start_problems(spec, federate.start)


def _data(spec: Spec, federate: Federate) -> Iterator[Complaint]:
    """The server of real sites need not have a training split, one without a proxy set no validation split."""
    from trainers import Split

    if not federate.real and (train := _split(spec, Split.TRAIN)) is not None:
        minimum, samples = federate.partition.options.minimum, _samples(train)
        if samples < (needed := federate.population * minimum):
            why = f"is {federate.population}, with {minimum} samples each at least, which needs {needed:,} training"
            remedy = f"samples, and there are {samples:,}. Use at most {samples // minimum:,}, or a smaller minimum."
            yield complaint(("federate", "clients"), f"{why} {remedy}", ("federate", "partition"), ("task",))
        if federate.partition.dirichlet is not None:
            yield from _classes(("federate", "partition"), train, "iid")
    if federate.aggregation.uses_proxy and (validation := _split(spec, Split.VALIDATION)) is not None:
        if (samples := _samples(validation)) < federate.proxy.samples:
            why = f"is {federate.proxy.samples:,} but the validation split has {samples:,}. Use at most {samples:,}."
            yield complaint(("federate", "proxy", "samples"), why, ("task",))
        yield from _classes(("federate", "aggregation"), validation, "fedavg")


def _split(spec: Spec, split: Split) -> Dataset[Any] | None:
    """None: of the task itself others complain, or the run will."""
    from trainers.loading import load_task

    try:
        return load_task(spec.task).data(split)
    except (Exception, SystemExit):
        return None


def _samples(dataset: Dataset[Any]) -> int:
    return len(dataset)  # type: ignore[arg-type]  # torch's Dataset does not declare __len__


def _classes(keys: Keys, dataset: Dataset[Any], remedy: str) -> Iterator[Complaint]:
    from trainers.data.labels import labels_of
    from trainers.errors import LabelsMissing

    try:
        labels_of(dataset)
    except LabelsMissing as error:
        yield complaint(keys, f"needs classes, but {error.problem}. Use {remedy}.", ("task",))

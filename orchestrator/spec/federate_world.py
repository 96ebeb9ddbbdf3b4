"""What a `federate` names outside itself: its optimizer, its data, the model it starts from."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.federate import Federate
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, complaint
from orchestrator.spec.start_world import start_problems


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
    from trainers import Split
    from trainers.loading import load_task

    try:
        task = load_task(spec.task)
        train, validation = task.data(Split.TRAIN), task.data(Split.VALIDATION)
        samples, held = len(train), len(validation)  # type: ignore[arg-type]  # torch's Dataset does not declare __len__
    except (Exception, SystemExit):
        return  # of the task itself others complain
    minimum = federate.partition.options.minimum
    if not federate.real and samples < (needed := federate.population * minimum):
        why = (
            f"is {federate.population}, with {minimum} samples each at least, which needs {needed:,} training samples, "
        )
        remedy = f"and there are {samples:,}. Use at most {samples // minimum:,}, or a smaller minimum."
        yield complaint(("federate", "clients"), why + remedy, ("federate", "partition"), ("task",))
    if federate.aggregation.uses_proxy and held < federate.proxy.samples:
        why = f"is {federate.proxy.samples:,} but the validation split has {held:,}. Use at most {held:,}."
        yield complaint(("federate", "proxy", "samples"), why, ("task",))
    yield from _labels(federate, train, validation)


def _labels(federate: Federate, train: object, validation: object) -> Iterator[Complaint]:
    from torch.utils.data import Dataset

    from trainers.data.labels import labels_of
    from trainers.errors import LabelsMissing

    needing = {
        ("federate", "partition"): train if federate.partition.dirichlet is not None and not federate.real else None,
        ("federate", "aggregation"): validation if federate.aggregation.uses_proxy else None,
    }
    for keys, dataset in needing.items():
        if isinstance(dataset, Dataset):
            try:
                labels_of(dataset)
            except LabelsMissing as error:
                yield complaint(keys, f"needs classes, but {error.problem}. Use iid, and fedavg.", ("task",))

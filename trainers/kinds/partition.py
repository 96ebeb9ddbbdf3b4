"""Who has which samples, when clients are simulated: for the record, and to find out early that it cannot be."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import torch

from trainers.context import Context
from trainers.data.partition import Partition, label_histogram
from trainers.errors import LabelsMissing
from trainers.kinds.kind import Json, Outputs
from trainers.task import Split
from trainers.tensors import Tensors


class Divide(msgspec.Struct, frozen=True):
    """How the training samples are divided."""

    partition: Partition


def partition(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """No inputs; output "partition": indices, the clients' samples one client after another; sizes, how many each has;
    and, if the data set has classes, labels [classes] and histogram [clients, classes].

    Metrics: clients, smallest and largest (samples of a client).
    Raises:
        PartitionImpossible; LabelsMissing: the partition needs classes.
    """
    asked = msgspec.convert(params, Divide)
    parts = context.clients(asked.partition)
    sizes = torch.tensor([len(part) for part in parts])
    value = {"indices": torch.cat(parts), "sizes": sizes}
    try:
        labels = context.labels(Split.TRAIN)
        value |= {"labels": torch.unique(labels), "histogram": label_histogram(parts, labels)}
    except LabelsMissing:
        pass
    metrics = {"clients": len(parts), "smallest": int(sizes.min()), "largest": int(sizes.max())}
    return {"partition": value}, {name: float(figure) for name, figure in metrics.items()}

"""The class of every sample of a data set, found without loading the samples where that is possible."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from trainers.errors import LabelsMissing

ATTRIBUTES = ("labels", "targets")


def labels_of(dataset: Dataset[Any]) -> Tensor:
    """Labels, int64 [samples].

    They are the attribute `labels` or `targets`, else a TensorDataset's last tensor, else the last part of each sample.
    Raises:
        LabelsMissing: there is no one integer for each sample.
    Cost: nothing with an attribute or a TensorDataset; others load all samples, one after another.
    """
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[torch.as_tensor(dataset.indices)]
    count = len(dataset)  # type: ignore[arg-type]  # torch's Dataset does not declare __len__
    for name in ATTRIBUTES:
        if hasattr(dataset, name):
            return _checked(getattr(dataset, name), count, f"its attribute {name!r}")
    if isinstance(dataset, TensorDataset):
        return _checked(dataset.tensors[-1], count, "its last tensor")
    return _checked([_last(dataset[index]) for index in range(count)], count, "the last part of its samples")


def _last(sample: Any) -> Any:
    if not isinstance(sample, tuple | list) or len(sample) < 2:
        raise LabelsMissing("its samples are not pairs of inputs and label")
    return sample[-1]


def _checked(labels: Any, count: int, where: str) -> Tensor:
    try:
        tensor = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LabelsMissing(f"{where} cannot be made a tensor ({error})") from error
    if tensor.shape != (count,) or tensor.is_floating_point() or tensor.is_complex():
        raise LabelsMissing(f"{where} is {tensor.dtype} of shape {list(tensor.shape)} for {count:,} samples")
    return tensor.long()

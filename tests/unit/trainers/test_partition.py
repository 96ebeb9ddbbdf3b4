"""Partitions: every sample is exactly one client's, drawn from the seed alone; and proxies with equal classes."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from tests.unit.trainers.tasks import Digits
from trainers import Split
from trainers.data.balanced import balanced
from trainers.data.labels import labels_of
from trainers.data.partition import Dirichlet, Iid, Partition, label_histogram, partition
from trainers.errors import LabelsMissing, PartitionImpossible, SamplesMissing

some = settings(max_examples=60, deadline=None)


def labelled(labels: list[int] | Tensor) -> TensorDataset:
    return TensorDataset(torch.zeros(len(labels), 2), torch.as_tensor(labels))


label_lists = st.lists(st.integers(0, 4), min_size=1, max_size=200)


@st.composite
def partitions(draw: st.DrawFn) -> tuple[list[int], Partition]:
    """Labels, and a partition of them that is possible."""
    labels = draw(label_lists)
    minimum = draw(st.integers(1, max(1, len(labels) // 4)))
    clients = draw(st.integers(1, len(labels) // minimum))
    seed = draw(st.integers(0, 2**63 - 1))
    if draw(st.booleans()):
        return labels, Iid(clients, seed, minimum)
    alpha = draw(st.floats(1e-3, 1e3))
    return labels, Dirichlet(clients, seed, alpha, minimum)


@some
@given(partitions())
def test_every_sample_is_exactly_one_clients_and_each_has_the_minimum(case: tuple[list[int], Partition]) -> None:
    labels, description = case
    parts = partition(description, labelled(labels))
    assert len(parts) == description.clients
    assert sorted(torch.cat(parts).tolist()) == list(range(len(labels)))
    assert all(len(part) >= description.minimum for part in parts)
    assert all(part.tolist() == sorted(part.tolist()) and part.dtype == torch.int64 for part in parts)


@some
@given(partitions())
def test_equal_descriptions_give_equal_parts(case: tuple[list[int], Partition]) -> None:
    labels, description = case
    one, other = (partition(description, labelled(labels)) for _ in range(2))
    assert all(torch.equal(part, again) for part, again in zip(one, other, strict=True))


@some
@given(partitions())
def test_the_histogram_counts_every_sample_once(case: tuple[list[int], Partition]) -> None:
    labels, description = case
    dataset = labelled(labels)
    parts = partition(description, dataset)
    histogram = label_histogram(parts, labels_of(dataset))
    assert histogram.sum(dim=1).tolist() == [len(part) for part in parts]
    assert histogram.sum(dim=0).tolist() == torch.tensor(labels).unique(return_counts=True)[1].tolist()


@given(st.integers(1, 50), st.integers(0, 200), st.integers(0, 1000))
def test_iid_clients_differ_by_one_sample_at_most(clients: int, more: int, seed: int) -> None:
    sizes = [len(part) for part in partition(Iid(clients, seed), labelled([0] * (clients + more)))]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("alpha", "least", "most"), [(0.05, 0.6, 1.0), (100.0, 0.1, 0.2)])
def test_a_small_alpha_gives_few_classes_and_a_large_one_all_of_them(alpha: float, least: float, most: float) -> None:
    labels = torch.arange(10).repeat(600)
    parts = partition(Dirichlet(clients=20, seed=1, alpha=alpha, minimum=10), labelled(labels))
    largest = label_histogram(parts, labels).max(dim=1).values
    share = (largest / torch.tensor([len(part) for part in parts])).mean().item()
    assert least < share < most


def test_other_seeds_give_other_parts() -> None:
    dataset = Digits().data(Split.TRAIN)
    first, second = (partition(Dirichlet(clients=5, seed=seed, alpha=1.0), dataset)[0] for seed in (0, 1))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize("description", [Iid(11, 0), Iid(5, 0, minimum=3), Dirichlet(4, 0, alpha=1.0, minimum=3)])
def test_too_few_samples_are_refused_with_what_would_do(description: Partition) -> None:
    with pytest.raises(PartitionImpossible, match="there are 10") as raised:
        partition(description, labelled([0] * 10))
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


class Listed(Dataset[Any]):
    """Its samples are those of a list."""

    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


class Targets(Listed):
    targets = (7, 8)


LABELLED = {
    "an attribute": Targets([0, 0]),
    "the last tensor": labelled([7, 8]),
    "samples": Listed([("a", 7), ("b", torch.tensor(8))]),
    "a subset": Subset(labelled([1, 8, 2, 7]), [3, 1]),
}


@pytest.mark.parametrize("dataset", LABELLED.values(), ids=list(LABELLED))
def test_labels_are_found_in(dataset: Dataset[Any]) -> None:
    assert labels_of(dataset).tolist() == [7, 8]


UNLABELLED = {
    "samples without a label": Listed([1, 2]),
    "labels that are no numbers": Listed([(0, "shirt"), (1, "shoe")]),
    "measurements": TensorDataset(torch.zeros(2, 2), torch.zeros(2)),
    "a label for each pixel": TensorDataset(torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.long)),
}


@pytest.mark.parametrize("dataset", UNLABELLED.values(), ids=list(UNLABELLED))
def test_no_class_can_be_made_of(dataset: Dataset[Any]) -> None:
    with pytest.raises(LabelsMissing, match="has no class for each sample"):
        labels_of(dataset)
    assert len(partition(Iid(2, 0), dataset)) == 2  # which needs none


@some
@given(label_lists, st.data(), st.integers(0, 2**63 - 1))
def test_a_balanced_draw_takes_no_class_more_than_once_beyond_another(
    labels: list[int], data: st.DataObject, seed: int
) -> None:
    samples = data.draw(st.integers(1, len(labels)))
    indices = balanced(torch.tensor(labels), samples, seed)
    assert len(set(indices.tolist())) == samples
    assert indices.tolist() == sorted(indices.tolist())
    there = torch.tensor(labels).bincount(minlength=5)
    drawn = torch.tensor(labels)[indices].bincount(minlength=5)
    fullest = drawn.max()
    assert all(count >= fullest - 1 or count == total for count, total in zip(drawn, there, strict=True))
    assert torch.equal(indices, balanced(torch.tensor(labels), samples, seed))


def test_more_than_there_is_cannot_be_drawn() -> None:
    with pytest.raises(SamplesMissing, match="ask for at most 3"):
        balanced(torch.tensor([0, 1, 2]), 4, seed=0)

"""Data sets: files are not trusted, splits never change, and a batch at once equals its samples one by one."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate

from trainers import Split
from trainers.data import digits, fashion_mnist
from trainers.data.batches import batch_of
from trainers.data.idx import read_idx
from trainers.errors import DataInvalid

CPU = torch.device("cpu")


def idx(shape: tuple[int, ...], data: bytes, type_code: int = 8) -> bytes:
    return bytes([0, 0, type_code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "array.gz"
    path.write_bytes(gzip.compress(idx((2, 3), bytes(range(6)))))
    return path


def test_an_array_is_read_row_by_row(file: Path) -> None:
    assert read_idx(file, dimensions=2).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_file_cut_anywhere_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(DataInvalid, match=r"array\.gz"):
            read_idx(file, dimensions=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(file: Path, data: st.DataObject) -> None:
    whole = gzip.compress(idx((2, 3), bytes(range(6))), mtime=0)
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(damaged)
    try:
        array = read_idx(file, dimensions=2)
    except DataInvalid:
        return
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(idx((2, 3), bytes(5))), "announces 6 bytes of shape [2, 3] and holds 5"),
        (gzip.compress(idx((2, 3), bytes(7))), "holds more"),
        (gzip.compress(idx((2, 0), b"")), "announces 0 bytes"),
        (gzip.compress(idx((2**32 - 1, 2**32 - 1), bytes(5))), "and holds 5"),
        (gzip.compress(idx((6,), bytes(6))), "begins with 0000 0801 where 0000 0802 is due"),
        (gzip.compress(idx((2, 3), bytes(6), type_code=9)), "begins with 0000 0902"),
        (idx((2, 3), bytes(6)), "is damaged or cut short"),
    ],
    ids=["too short", "too long", "empty", "enormous", "dimensions", "type", "no gzip"],
)
def test_a_file_that_is_not_what_it_says_is_refused(file: Path, content: bytes, sentence: str) -> None:
    file.write_bytes(content)
    with pytest.raises(DataInvalid) as raised:
        read_idx(file, dimensions=2)
    assert sentence in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"train-images-idx3-ubyte\.gz: there is no such file"):
        fashion_mnist(Split.TRAIN, tmp_path)
    with pytest.raises(DataInvalid, match="cannot be read"):
        read_idx(tmp_path, dimensions=1)


def write_fashion_mnist(folder: Path, images: int, labels: bytes, side: int = 28) -> None:
    pixels = bytes(number % 251 for number in range(images)) * side * side
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx((images, side, side), pixels), 1))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx((len(labels),), labels)))


def test_the_last_five_thousand_training_images_are_for_validation(tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path, 5_006, bytes(number % 10 for number in range(5_006)))
    train, validation = fashion_mnist(Split.TRAIN, tmp_path), fashion_mnist(Split.VALIDATION, tmp_path)
    assert (len(train), len(validation), len(fashion_mnist(Split.TEST, tmp_path))) == (6, 5_000, 5_006)
    assert train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert validation.labels[:3].tolist() == [6, 7, 8]


@pytest.mark.parametrize(
    ("labels", "side", "sentence"),
    [
        (bytes(3), 28, "holds 3 labels up to 0 for 4 images"),
        (bytes([0, 1, 2, 10]), 28, "labels up to 10"),
        (bytes(4), 27, r"images of \[27, 27\] where 28 x 28 are due"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path: Path, labels: bytes, side: int, sentence: str) -> None:
    write_fashion_mnist(tmp_path, 4, labels, side)
    with pytest.raises(DataInvalid, match=sentence):
        fashion_mnist(Split.TEST, tmp_path)


def test_digits_are_split_into_disjoint_parts_with_equal_shares_of_each_class() -> None:
    parts = {split: digits(split) for split in Split}
    assert {split.value: len(part) for split, part in parts.items()} == {"train": 1300, "validation": 200, "test": 297}
    shares = torch.stack([torch.bincount(part.labels) / len(part) for part in parts.values()])
    assert (shares.amax(dim=0) - shares.amin(dim=0)).max() < 0.01


def test_normalised_pixels_have_mean_zero_and_deviation_one() -> None:
    images, _ = digits(Split.TRAIN).batch_of(torch.arange(1300))
    assert images.shape == (1300, 1, 8, 8)
    assert images.mean().abs() < 0.01
    assert (images.std() - 1).abs() < 0.01


class Slow(Dataset[tuple[Tensor, int]]):
    """Any map-style data set."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.tensor([float(index), -1.0]), index


class Many(Slow):
    """One that fetches many samples at once."""

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        return [self[index] for index in indices]


@pytest.mark.parametrize(
    "dataset",
    [digits(Split.TEST), TensorDataset(torch.rand(20, 3), torch.arange(20)), Slow(), Many()],
    ids=["images", "tensors", "any", "many"],
)
def test_a_batch_equals_its_samples_collated(dataset: Dataset[Any]) -> None:
    indices = torch.tensor([3, 19, 3, 0])
    inputs, targets = batch_of(dataset, indices, CPU)
    expected_inputs, expected_targets = default_collate([dataset[index] for index in indices.tolist()])
    assert torch.equal(inputs, expected_inputs)
    assert torch.equal(targets, expected_targets)


def test_a_batch_is_moved_whatever_its_form() -> None:
    class Nested(Slow):
        def __getitem__(self, index: int) -> Any:
            return {"x": torch.ones(2), "pair": (torch.zeros(1), [torch.ones(1), "name"])}

    batch = batch_of(Nested(), torch.arange(3), torch.device("meta"))
    assert batch["x"].device.type == batch["pair"][0].device.type == batch["pair"][1][0].device.type == "meta"
    assert list(batch["pair"][1][1]) == ["name"] * 3

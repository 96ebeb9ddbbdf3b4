"""What every place for values promises, whichever kind."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cluster.shared_memory import SharedFolder
from orchestrator.errors import ValueConflict, ValueMissing
from orchestrator.records import Ref
from orchestrator.storage import Storage
from orchestrator.values.carried import CarriedValues
from orchestrator.values.memory import MemoryValues
from orchestrator.values.persisted import MemoryFiles, Persisted
from orchestrator.values.shared import SharedValues


def tensors(seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(3, 5, generator=random),
        "bias": torch.randn(5, generator=random, dtype=torch.float64),
        "steps": torch.tensor(7 + seed),
        "half": torch.randn(4, generator=random).to(torch.bfloat16),
        "mask": torch.tensor([True, False]),
        "nothing": torch.empty(0, 3),
    }


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Names, dtypes, shapes and every bit."""
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and raw(a[name]) == raw(b[name]) for name in a
    )


def raw(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())


A, B, C = Ref("1.weights"), Ref("2.gradient"), Ref("3.gradient")


class ValuesContract:
    """What Values promise. A new kind subclasses this and supplies `values`, empty."""

    def test_a_value_comes_back_bit_for_bit(self, values: CarriedValues) -> None:
        values.put(A, tensors())
        assert same(values.get(A), tensors())
        assert A in values
        assert B not in values

    def test_nan_and_minus_zero_keep_their_bits(self, values: CarriedValues) -> None:
        bits = [0x7FC00001, 0xFFC12345, 0x7F800001, 0x80000000, 0x00000001, 0xFF800000]
        special = torch.frombuffer(bytearray(struct.pack("<6I", *bits)), dtype=torch.float32)
        values.put(A, {"x": special})
        assert values.get(A)["x"].view(torch.int32).tolist() == special.view(torch.int32).tolist()
        values.put(A, {"x": special.clone()})  # equal bytes are no news, although NaN equals nothing

    def test_the_first_wins(self, values: CarriedValues) -> None:
        values.put(A, tensors(1))
        values.put(A, tensors(1))
        with pytest.raises(ValueConflict, match=r"1\.weights"):
            values.put(A, tensors(2))
        with pytest.raises(ValueConflict):
            values.put(A, {"x": torch.tensor([0.0])})
        assert same(values.get(A), tensors(1))

    def test_minus_zero_is_not_zero(self, values: CarriedValues) -> None:
        values.put(A, {"x": torch.tensor([0.0])})
        with pytest.raises(ValueConflict):
            values.put(A, {"x": torch.tensor([-0.0])})

    def test_what_becomes_of_a_tensor_after_put_changes_nothing(self, values: CarriedValues) -> None:
        mine = tensors()
        values.put(A, mine)
        mine["weight"].zero_()
        assert same(values.get(A), tensors())

    def test_a_value_that_was_made_in_its_room_is_any_other_value(self, values: CarriedValues) -> None:
        for ref, scale in ((A, 1), (B, 10_000)):
            wanted = {"large": torch.arange(3.0 * scale), **tensors()}
            room = values.room(wanted)
            for name, tensor in wanted.items():
                room[name].copy_(tensor)
            values.put(ref, room)
            del room
            assert same(values.get(ref), wanted)
            values.put(ref, wanted)
            again = values.room(wanted)
            for name, tensor in wanted.items():
                again[name].copy_(tensor)
            values.put(ref, again)
            other = values.room(wanted)
            for tensor in other.values():
                tensor.zero_()
            with pytest.raises(ValueConflict):
                values.put(ref, other)

    def test_what_is_not_there_is_told_with_its_name(self, values: CarriedValues) -> None:
        with pytest.raises(ValueMissing, match=r"1\.weights"):
            values.get(A)
        with pytest.raises(ValueMissing, match=r"1\.weights"):
            values.persist([A])

    def test_release_lets_go_of_what_it_is_given_and_of_nothing_else(self, values: CarriedValues) -> None:
        for ref in (A, B, C):
            values.put(ref, tensors())
        values.release([A, C, Ref("9.never")])
        assert [ref in values for ref in (A, B, C)] == [False, True, False]
        with pytest.raises(ValueMissing):
            values.get(A)
        assert same(values.get(B), tensors())

    def test_a_tensor_outlives_the_release_of_its_value(self, values: CarriedValues) -> None:
        large = {"x": torch.arange(100_000)}
        values.put(A, large)
        held = values.get(A)
        values.release([A])
        values.put(B, {"x": torch.zeros(100_000, dtype=torch.int64)})
        assert same(held, large)

    def test_persisted_values_are_found_after_release(self, values: CarriedValues) -> None:
        values.put(A, tensors(1))
        values.put(B, tensors(2))
        values.persist([A, B])
        values.persist([A])  # each once
        values.release([A, B])
        assert A in values
        assert same(values.get(A), tensors(1))
        assert same(values.get(B), tensors(2))

    def test_the_first_wins_against_a_persisted_value_too(self, values: CarriedValues) -> None:
        values.put(A, tensors(1))
        values.persist([A])
        values.release([A])
        with pytest.raises(ValueConflict):
            values.put(A, tensors(2))
        values.put(A, tensors(1))
        assert same(values.get(A), tensors(1))

    def test_retain_deletes_other_persisted_values(self, values: CarriedValues) -> None:
        for ref in (A, B):
            values.put(ref, tensors())
        values.persist([A, B])
        values.retain(keep=[B])
        values.release([A, B])
        assert A not in values
        assert B in values

    def test_what_is_kept_survives_release_and_retain(self, values: CarriedValues) -> None:
        values.put(A, tensors(1))
        values.keep([A])
        values.persist([A])  # which needs no second copy
        values.release([A])
        values.retain(keep=[])
        assert A in values
        assert same(values.get(A), tensors(1))

    def test_what_was_kept_and_came_again_otherwise_is_written_over(self, values: CarriedValues) -> None:
        """A site's answer that was kept, but never journalled, counts for nothing."""
        for seed in (1, 2):
            values.put(A, tensors(seed))
            values.keep([A])
            values.release([A])
        assert same(values.get(A), tensors(2))

    def test_what_is_not_there_cannot_be_kept(self, values: CarriedValues) -> None:
        with pytest.raises(ValueMissing, match=r"1\.weights"):
            values.keep([A])

    def test_an_empty_value_is_a_value(self, values: CarriedValues) -> None:
        values.put(A, {})
        assert dict(values.get(A)) == {}


class TestMemoryValues(ValuesContract):
    @pytest.fixture(params=["a dict", "a folder"])
    def values(self, request: pytest.FixtureRequest, tmp_path: Path) -> CarriedValues:
        return MemoryValues(None if request.param == "a dict" else Persisted(Storage(str(tmp_path / "values"))))


class TestSharedValues(ValuesContract):
    @pytest.fixture
    def values(self, tmp_path: Path) -> Iterator[CarriedValues]:
        folder = SharedFolder(Path("/dev/shm") / f"ripieno-test-{tmp_path.name}", create=True)
        yield SharedValues(folder, Persisted(Storage(str(tmp_path / "values"))))
        folder.close()

    def test_two_processes_hold_one_value(self, values: CarriedValues, tmp_path: Path) -> None:
        other = SharedValues(SharedFolder(Path("/dev/shm") / f"ripieno-test-{tmp_path.name}", create=False))
        values.put(A, tensors(1))
        assert same(other.get(A), tensors(1))
        with pytest.raises(ValueConflict):
            other.put(A, tensors(2))


class TestPersisted:
    """What the next engine finds."""

    @pytest.fixture(params=["a folder", "a dict", "an object store"])
    def files(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        if request.param == "a dict":
            return MemoryFiles()
        return Storage(str(tmp_path / "values") if request.param == "a folder" else "mock:///")

    def test_another_engine_finds_them(self, files: Any) -> None:
        first = MemoryValues(Persisted(files))
        first.put(A, tensors(1))
        first.persist([A])
        second = MemoryValues(Persisted(files))
        assert same(second.get(A), tensors(1))
        with pytest.raises(ValueConflict):
            second.put(A, tensors(2))

    def test_a_damaged_copy_is_never_handed_out(self, tmp_path: Path) -> None:
        values = MemoryValues(Persisted(Storage(str(tmp_path))))
        values.put(A, tensors())
        values.persist([A])
        values.release([A])
        (file,) = tmp_path.iterdir()
        data = bytearray(file.read_bytes())
        for damaged in (data[:-1], data[:10], b"", data[:-3] + b"!" + data[-2:]):
            file.write_bytes(damaged)
            with pytest.raises(ValueMissing, match=rf"{file.name} fails its checksum"):
                values.get(A)
        file.unlink()
        with pytest.raises(ValueMissing, match="deleted"):
            values.get(A)

    def test_a_crash_in_the_middle_leaves_nothing_that_looks_whole(self, tmp_path: Path) -> None:
        (tmp_path / f"{A}.0123.safetensors.tmp").write_bytes(b"half")
        assert A not in Persisted(Storage(str(tmp_path)))

    def test_the_file_is_one_that_safetensors_reads(self, tmp_path: Path) -> None:
        from safetensors.torch import load_file

        values = MemoryValues(Persisted(Storage(str(tmp_path))))
        values.put(A, tensors())
        values.persist([A])
        (file,) = tmp_path.iterdir()
        assert same(load_file(file), tensors())

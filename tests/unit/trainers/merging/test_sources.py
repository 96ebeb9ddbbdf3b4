"""Sources are read by header first and tensor by tensor, and refused before a merge where one would be worthless."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.unit.trainers.tasks import mlp
from trainers import encode, fingerprint
from trainers.errors import WeightsMismatch
from trainers.flat import FlatModel
from trainers.merging import InMemory, differences, of_model, open_source, unusable
from trainers.merging.errors import SourceInvalid, SourceNonFinite, SourcesDiffer, SourcesUnrelated
from trainers.merging.sources import INDEX

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16), "n": torch.tensor(7)}


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    path.write_bytes(b"".join(encode(tensors)))
    return path


def sharded(folder: Path, tensors: dict[str, Tensor]) -> Path:
    """One shard a tensor."""
    folder.mkdir()
    places = {name: f"model-{name}.safetensors" for name in tensors}
    for name, file in places.items():
        saved(folder / file, {name: tensors[name]})
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    return folder


def start(seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {name: tensor.clone() for name, tensor in mlp().state_dict().items()}


def near(tensors: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: value + 0.05 * torch.randn(value.shape, generator=generator) for name, value in tensors.items()}


def test_a_file_a_folder_and_a_value_of_the_same_tensors_are_the_same_source(tmp_path: Path) -> None:
    single = tmp_path / "single"
    single.mkdir()
    saved(single / "model.safetensors", TENSORS)
    sources = [
        InMemory("memory", TENSORS),
        open_source("file", saved(tmp_path / "x.safetensors", TENSORS)),
        open_source("shards", sharded(tmp_path / "shards", TENSORS)),
        open_source("single", single),
    ]
    for source in sources:
        assert dict(source.headers) == dict(sources[0].headers)
        assert fingerprint({name: source.tensor(name) for name in source.headers}) == fingerprint(TENSORS)
    assert [len(source.files) for source in sources] == [0, 1, 3, 1]


def test_a_tensor_of_a_file_is_the_callers(tmp_path: Path) -> None:
    source = open_source("file", saved(tmp_path / "x.safetensors", TENSORS))
    source.tensor("a").zero_()
    assert torch.equal(source.tensor("a"), TENSORS["a"])


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_a_file_that_holds_no_tensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(SourceInvalid, match=r"source 'mine': .*x\.safetensors is no safetensors file"):
        open_source("mine", path)


def test_a_folder_without_a_model_or_with_a_false_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match="neither"):
        open_source("mine", tmp_path)
    folder = sharded(tmp_path / "shards", TENSORS)
    for index, sentence in [
        ({"weight_map": {"z": "model-a.safetensors"}}, "places tensor 'z' in model-a"),
        ({"weight_map": {"a": "gone.safetensors"}}, "gone.safetensors is no safetensors file"),
        ({"weight_map": {}}, "names no tensor"),
        ({"map": {}}, "is no index of shards"),
        ([], "is no index of shards"),
    ]:
        (folder / INDEX).write_text(json.dumps(index))
        with pytest.raises(SourceInvalid, match=sentence):
            open_source("mine", folder)


def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    saved(tmp_path / "outside.safetensors", TENSORS)
    folder = sharded(tmp_path / "shards", TENSORS)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(SourceInvalid, match=r"shards/outside\.safetensors is no safetensors file"):
        open_source("mine", folder)


def test_a_models_value_is_the_same_source_flat_or_as_a_state_dict() -> None:
    module = nn.ModuleList([nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(3, 4)])
    module[2].weight = module[0].weight
    model = FlatModel(module, torch.device("cpu"))
    flat = of_model("flat", model.layout, model.weights())
    state = of_model("state", model.layout, dict(module.state_dict()))
    assert fingerprint(flat.tensors) == fingerprint(state.tensors)
    assert "2.weight" not in flat.headers  # tied to 0.weight, and so it is merged once
    with pytest.raises(WeightsMismatch, match="extra"):
        of_model("other", model.layout, {**module.state_dict(), "extra": torch.ones(1)})


def test_sources_that_differ_are_refused_all_at_once_and_without_reading_numbers() -> None:
    tensors = dict(TENSORS)
    sources = [
        InMemory("one", tensors),
        InMemory("fewer", {name: tensor for name, tensor in tensors.items() if name != "a"}),
        InMemory("more", {**tensors, "z": torch.ones(1)}),
        InMemory("wider", {**tensors, "a": torch.ones(2, 4)}),
        InMemory("finer", {**tensors, "b": torch.ones(4)}),
        InMemory("same", tensors),
    ]
    sentences = [str(error) for error in differences(sources)]
    for sentence, source, clause in zip(
        sentences,
        ["fewer", "more", "wider", "finer"],
        ["'a' is only in 'one'", "'z' is not in 'one'", "'a' is [2, 4], there [2, 3]", "'b' is torch.float32, there"],
        strict=True,
    ):
        assert f"sources '{source}' and 'one'" in sentence
        assert clause in sentence


def test_every_tensor_that_is_not_finite_is_named_with_its_source() -> None:
    good = start(1)
    bad = {name: tensor.clone() for name, tensor in good.items()}
    bad["1.weight"][0, 0] = float("nan")
    bad["3.bias"][:2] = float("inf")
    errors = unusable([InMemory("good", good), InMemory("bad", bad)], allow_unrelated=True)
    assert [(error.source, error.tensor, error.count) for error in errors if isinstance(error, SourceNonFinite)] == [
        ("bad", "1.weight", 1),
        ("bad", "3.bias", 2),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_parents_of_two_starts_are_refused_and_those_of_one_are_not(seed: int) -> None:
    parent, stranger = start(seed), start(seed + 100)
    sources = [InMemory("parent", parent), InMemory("child", near(parent, seed)), InMemory("stranger", stranger)]
    (error,) = unusable(sources, allow_unrelated=False)
    assert isinstance(error, SourcesUnrelated)
    assert (error.source, error.peer) == ("stranger", "parent")
    assert error.tensor in {"1.weight", "3.weight"}
    assert "allow_unrelated: true" in str(error)
    assert unusable(sources, allow_unrelated=True) == []


def test_a_new_head_does_not_make_a_fine_tune_a_stranger() -> None:
    torch.manual_seed(1)
    body = {f"{layer}.weight": torch.randn(16, 16) for layer in range(4)}
    child = {**near(body, 2), "3.weight": torch.randn(16, 16)}
    assert unusable([InMemory("parent", body), InMemory("child", child)], allow_unrelated=False) == []


def test_a_sentence_names_three_differing_tensors_and_counts_the_others() -> None:
    error = SourcesDiffer("a", "b", tuple(f"tensor {number} differs" for number in range(9)))
    assert "tensor 2 differs; and 6 more." in str(error)

"""A merge goes tensor by tensor: the same numbers in memory and on disk, and never more memory than was said before."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from trainers import encode, fingerprint
from trainers.merging import (
    METHODS,
    InMemory,
    Kept,
    Plan,
    describe_bytes,
    merge,
    merge_to_folder,
    method_of,
    open_source,
)
from trainers.merging.shards import MANIFEST, sha256_of
from trainers.merging.sources import INDEX

MIB = 1 << 20
ROOT = Path(__file__).parents[4]


def model(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    start = torch.Generator().manual_seed(9)
    shapes = {"z": (8, 4), "a": (16, 8), "bias": (5,)}
    tensors = {name: torch.randn(shape, generator=start) for name, shape in shapes.items()}
    tensors = {name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator) for name, tensor in tensors.items()}
    others = {"steps": torch.tensor(seed), "bn.running_var": torch.ones(3), "empty": torch.empty(0, 4)}
    return {**tensors, "half": tensors["a"].bfloat16(), **others}


def plan_of(method: str, folder: Path, count: int = 2) -> Plan:
    paths = [folder / f"{number}.safetensors" for number in range(count + 1)]
    for seed, path in enumerate(paths):
        path.write_bytes(b"".join(encode(model(seed))))
    base, *sources = [open_source(path.stem, path) for path in paths]
    chosen = method_of(method)
    return Plan(chosen, chosen.options({}), tuple(sources), base if chosen.needs_base else None)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_folder_of_shards_holds_what_a_merge_in_memory_gives(method: str, tmp_path: Path) -> None:
    plan = plan_of(method, tmp_path)
    kept = Kept()
    merge(plan, kept)
    for shard_bytes in (100, 600, 10**9):
        folder = tmp_path / f"out-{shard_bytes}"
        merge_to_folder(plan, folder, shard_bytes)
        merged = open_source("merged", folder)
        assert fingerprint({name: merged.tensor(name) for name in merged.headers}) == fingerprint(kept.tensors)


def test_safetensors_and_others_tools_can_read_the_shards(tmp_path: Path) -> None:
    plan = plan_of("ties", tmp_path)
    merge_to_folder(plan, tmp_path / "out", 300)
    index = json.loads((tmp_path / "out" / INDEX).read_bytes())
    for name, file in index["weight_map"].items():
        with safetensors.safe_open(tmp_path / "out" / file, framework="pt") as shard:
            assert shard.metadata() == {"format": "pt"}
            assert tuple(shard.get_slice(name).get_shape()) == plan.result[name].shape
    sizes = sum(entry.like().nbytes for entry in plan.result.values())
    assert index["metadata"]["total_size"] == sizes


def test_no_shard_is_larger_than_asked_unless_one_tensor_is(tmp_path: Path) -> None:
    merge_to_folder(plan_of("uniform", tmp_path), tmp_path / "out", 300)
    for file in (tmp_path / "out").glob("*.safetensors"):
        tensors = safetensors.torch.load_file(file)
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= 300


def test_the_manifest_says_what_was_merged_from_what_and_how(tmp_path: Path) -> None:
    plan = plan_of("model_stock", tmp_path)
    manifest = merge_to_folder(plan, tmp_path / "out", 300)
    assert manifest == json.loads((tmp_path / "out" / MANIFEST).read_bytes())
    assert manifest["method"] == "model_stock"
    assert manifest["published"] == "arXiv:2403.19522"
    assert [source["name"] for source in (manifest["base"], *manifest["sources"])] == ["0", "1", "2"]
    for source in manifest["sources"]:
        assert source["files"][0]["sha256"] == sha256_of(Path(source["files"][0]["path"]))
    for file in manifest["files"]:
        assert file["sha256"] == sha256_of(Path(file["path"]))
    assert manifest["tensors"] == {
        "z": "merged",
        "a": "merged",
        "half": "merged",
        "bias": "merged",
        "steps": "copied",
        "bn.running_var": "alike",
        "empty": "alike",
    }


def test_a_merge_that_dies_leaves_no_manifest_and_no_half_file_under_a_true_name(tmp_path: Path) -> None:
    plan = plan_of("uniform", tmp_path)
    out = tmp_path / "out"
    merge_to_folder(plan, out, 300)
    broken = InMemory("broken", {name: tensor for name, tensor in model(1).items() if name != "bias"})
    with pytest.raises(KeyError):
        merge_to_folder(Plan(plan.method, plan.options, (*plan.sources, broken)), out, 300)
    assert not (out / MANIFEST).exists()
    for file in out.glob("*.safetensors"):
        safetensors.torch.load_file(file)


def test_bytes_are_told_in_the_unit_that_people_use() -> None:
    assert [describe_bytes(count) for count in (5, 1500, 2_000_000, 1_340_000_000)] == [
        "5 B",
        "1.5 kB",
        "2 MB",
        "1.34 GB",
    ]


def test_what_the_manual_shows_merges_three_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/pages/merge.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("base", "code", "math")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"".join(encode(model(seed))))
    exec(compile(shown, "merge.md", "exec"), {})
    assert json.loads((tmp_path / "merged" / MANIFEST).read_bytes())["method"] == "ties"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to measure the peak of memory")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merge_takes_no_more_memory_than_was_said_before(dtype: str, tmp_path: Path) -> None:
    """In a process of its own, whose allocator gives back at once what is freed, so that its peak is what is in use."""
    command = [sys.executable, "-m", "tests.support.merge_memory", str(tmp_path), dtype]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured.keys() == METHODS.keys()
    for method, figures in measured.items():
        assert figures["taken"] <= figures["said"] + 2 * MIB, method  # what the allocator rounds up
        copies = 1 if dtype == "float32" else 1.5
        assert figures["said"] <= (4 * copies + METHODS[method].scratch) * figures["largest"]

"""The program that merges files into files: everything wrong at once, or a folder with a manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from trainers import encode
from trainers.merging import open_source
from trainers.merging.__main__ import main


def saved(folder: Path, name: str, seed: int, width: int = 16) -> str:
    start, own = torch.Generator().manual_seed(1), torch.Generator().manual_seed(seed)
    weight = torch.randn(width, 16, generator=start) + 0.1 * torch.randn(width, 16, generator=own)
    path = folder / f"{name}.safetensors"
    path.write_bytes(b"".join(encode({"weight": weight, "steps": torch.tensor(seed)})))
    return str(path)


def test_models_on_disk_are_merged_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, one, two = (saved(tmp_path, name, seed) for seed, name in enumerate(("base", "one", "two")))
    out = tmp_path / "out"
    options = ["--option", "alpha=0.5", "--base", base, "--out", str(out)]
    assert main(["task_arithmetic", *options, one, two]) == 0
    said = capsys.readouterr().out
    assert "2 tensors of 3 models; takes " in said
    assert "1 copied" in said
    manifest = json.loads((out / "merge.json").read_bytes())
    assert manifest["options"] == {"alpha": 0.5}
    merged = open_source("out", out).tensor("weight")
    sources = [open_source(name, Path(name)).tensor("weight") for name in (base, one, two)]
    torch.testing.assert_close(merged, (sources[1] + sources[2]) / 2)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, wide = saved(tmp_path, "one", 1), saved(tmp_path, "wide", 2, width=8)
    out = tmp_path / "out"
    assert main(["ties", "--out", str(out), "--option", "density=7", one, wide]) == 2
    said = capsys.readouterr().err
    for clause in (
        "ties.density: 7",
        "ties needs a base",
        "tensor 'weight' is [8, 16], there [16, 16]",
        "nothing was written",
    ):
        assert clause in said
    assert main(["tise", "--out", str(out), one, "nowhere"]) == 2
    said = capsys.readouterr().err
    assert "did you mean 'ties'" in said
    assert "source 'nowhere': nowhere is no safetensors file" in said
    assert not out.exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = saved(tmp_path, "one", 1), saved(tmp_path, "two", 2)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["uniform", "--out", str(tmp_path), one, two]) == 2
    assert main(["uniform", "--out", one, one, two]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

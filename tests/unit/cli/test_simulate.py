"""`ripieno simulate`: its table, its picture, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.unit.cli.test_commands import ripieno

SPEC = """
task: tests.support.digits_task:Digits
train: {workers: 4, batch_size: 50, epochs: 1, quorum: {static: {k: 3}}, optimizer: {name: sgd, lr: 0.1}}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.yaml").write_text(SPEC)
    return "train.yaml"


def test_a_table_and_a_picture_and_no_run(spec: str, tmp_path: Path) -> None:
    code, out, _ = ripieno(
        "simulate", spec, "--latency", "pareto:1.5", "--step-seconds", "0.1", "--price", "2", "--out", "there"
    )
    assert code == 0
    for said in (
        "static 3 (spec)",
        "full",
        "dynamic",
        "dbw",
        "rate",
        "adasync",
        "cost",
        "assumed: pareto:1.5",
        "modelled",
    ):
        assert said in out
    picture = imread(tmp_path / "there" / "simulation.png")
    assert picture.std() > 0.05  # not one colour
    assert not (tmp_path / "runs").exists()


def test_json_has_a_row_for_each_quorum(spec: str) -> None:
    code, out, _ = ripieno("simulate", spec, "--latency", "exponential:0.7", "--json", "--workers", "6")
    assert code == 0
    result = json.loads(out)
    assert result["workers"] == 6
    assert {row["quorum"] for row in result["rows"]} >= {"full", "dynamic", "static 1", "static 5"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "say how long workers take"),
        (("--latency", "nope"), "'nope' is no latency"),
        (("--trace", "nope"), "there are no runs in runs"),
        (("--latency", "constant", "--slow", "5:2"), "more workers slow than there are, 4"),
        (("--latency", "constant", "--set", "train.local_steps=4"), "--compute takes real ones"),
        (("--latency", "constant", "--set", "train.batch_size=0"), "train.batch_size"),
    ],
)
def test_bad_options_are_told_in_a_sentence(spec: str, options: tuple[str, ...], sentence: str) -> None:
    code, out, err = ripieno("simulate", spec, *options)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err + out

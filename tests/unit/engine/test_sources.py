"""Models that were there before a run are found by what a user writes, or refused with what would do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orchestrator.local import ARGUMENTS, TASK
from orchestrator.sources import SourceMissing, find_models, model_file, tensors_of


def saved(file: Path, width: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": torch.full((width,), float(width))}, file, {TASK: "m:T", ARGUMENTS: f'{{"width": {width}}}'})
    return file


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A run with a model, and a search with eleven kept trials."""
    for run in ("one", "search", "unfinished"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "spec.json").write_text("{}")
    saved(tmp_path / "one" / "model.safetensors", 3)
    for rank in range(1, 12):
        saved(tmp_path / "search" / "models" / f"{rank:02d}-trial-{40 - rank}.safetensors", rank)
    return tmp_path


def test_a_run_is_its_model_with_its_task_and_arguments(state: Path) -> None:
    (found,) = find_models("run:one", state)
    assert (found.name, found.arguments, found.task, found.run) == ("run:one", {"width": 3}, "m:T", "one")
    assert tensors_of(found.path)["weight"].tolist() == [3, 3, 3]


@pytest.mark.parametrize(("source", "widths"), [("search:search/top:2", [1, 2]), ("search:search", list(range(1, 12)))])
def test_a_search_is_its_best_trials_in_order_of_rank(state: Path, source: str, widths: list[int]) -> None:
    found = find_models(source, state)
    assert [model.arguments for model in found] == [{"width": width} for width in widths]
    assert found[0].name == "search/01-trial-39"
    assert {model.run for model in found} == {"search"}
    assert model_file(source, state) == found[0].path


def test_a_search_that_kept_fewer_gives_those_it_kept(state: Path) -> None:
    assert len(find_models("search:search/top:99", state)) == 11


def test_a_file_that_says_nothing_of_itself_is_a_model_of_unknown_arguments(state: Path) -> None:
    file = state / "plain.safetensors"
    save_file({"weight": torch.ones(2)}, file)
    (found,) = find_models(str(file), state)
    assert (found.arguments, found.task, found.run) == (None, "", "")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("run:two", "names no run in"),
        ("run:../one", "names no run in"),
        ("run:unfinished", "is a run that has left no model yet; see `ripieno show unfinished`"),
        ("search:one/top:2", "is a run that has kept no trials"),
        ("search:search/top:0", "is not of the form search:RUN/top:N, with N >= 1"),
        ("search:search/best:2", "is not of the form search:RUN/top:N"),
        ("mlflow:", "is not of the form mlflow:RUN_ID"),
        ("nowhere.safetensors", "is not there; a model is named by run:RUN, search:RUN/top:N"),
    ],
)
def test_what_is_not_there_is_told_with_what_would_do(state: Path, source: str, why: str) -> None:
    with pytest.raises(SourceMissing) as refused:
        find_models(source, state)
    assert str(refused.value).startswith(f"{source!r} {why}")


def test_of_a_chain_its_stages_are_named(state: Path) -> None:
    saved(state / "unfinished.1-train" / "model.safetensors", 2)
    saved(state / "unfinished.2-merge" / "model.safetensors", 2)
    with pytest.raises(SourceMissing, match=r"is a chain; name one of its stages, such as run:unfinished\.2-merge$"):
        find_models("run:unfinished", state)


def test_a_look_at_an_absent_mlflow_makes_none(state: Path) -> None:
    database = state / "mlflow.db"
    with pytest.raises(SourceMissing, match=r"'mlflow:abc' cannot be had from MLflow: there is no .*/mlflow\.db; "):
        find_models("mlflow:abc", state, f"sqlite:///{database}")
    assert not database.exists()


def test_a_file_of_something_else_is_no_model(state: Path) -> None:
    file = state / "text.safetensors"
    file.write_text("no tensors here")
    with pytest.raises(SourceMissing, match="is no safetensors file"):
        find_models(str(file), state)

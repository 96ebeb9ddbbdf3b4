"""Searches on the digits, from spec to files, on the virtual pool with faults: what they leave, and their replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from safetensors.torch import load_file

from orchestrator.assemble import core_of
from orchestrator.folder import RunFolder
from orchestrator.lifecycle import resume, start
from orchestrator.local import Local, arguments_of
from orchestrator.outcome import Outcome
from orchestrator.pools.virtual import Faults
from orchestrator.recorded_run import read_run
from orchestrator.replay import Comparison
from orchestrator.spec import Spec
from orchestrator.values.memory import MemoryValues
from orchestrator.verbs import Finished, verb_of
from orchestrator.verify import replay
from tests.support.digits_task import Digits
from tests.support.runs import StopAfter, virtual
from trainers import Split

STORM = Faults(crash=0.02, back_s=1.5, lost=0.002, lost_after_s=4.0, duplicate=0.1, slow=0.1)
NUMBERS = {"optimizer.lr": {"log": [0.01, 1.0]}, "batch_size": {"int": [32, 128]}}
WHOLE = {**NUMBERS, "model.width": {"choice": [4, 16, 64]}, "optimizer.name": {"choice": ["sgd", "adamw"]}}


def search_spec(state: Path, method: Any = "asha", **search: Any) -> Spec:
    """Nine trials of the digits on four workers, untracked."""
    return Spec.model_validate(
        {
            "task": "tests.support.digits_task:Digits",
            "search": {
                "workers": 4,
                "method": method,
                "space": NUMBERS if method == "pbt" else WHOLE,
                "trials": 9,
                "epochs": 2.0,
                "confirm": {"top": 2, "seeds": 2},
                "keep": 3,
                **search,
            },
            "state": str(state),
            "tracking": {"enabled": False},
        }
    )


def test_a_stormy_search_gives_the_bits_of_its_replay(tmp_path: Path, method: str) -> None:
    outcome = start(search_spec(tmp_path, method), open_pool=virtual(STORM))
    again = replay(outcome.folder)
    assert outcome.outcome == "done"
    assert again.same
    assert again.weights_sha256 == outcome.weights_sha256 != ""
    assert outcome.metrics["test_accuracy"] > 0.6


@pytest.fixture(params=["random", "successive_halving", "asha", "pbt", "tpe"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return start(search_spec(tmp_path_factory.mktemp("search")), open_pool=virtual(STORM))


def accuracy(file: Path, split: Split) -> float:
    """Of a model file, as anybody would measure it."""
    model = Digits().model(**arguments_of(file))
    model.load_state_dict(load_file(file))
    x, y = Digits().data(split).tensors  # type: ignore[attr-defined]
    return float((model(x).argmax(1) == y).double().mean())


def test_the_model_has_its_own_architecture_and_the_accuracy_that_is_told(done: Outcome) -> None:
    assert done.model_file is not None
    assert accuracy(done.model_file, Split.TEST) == pytest.approx(done.metrics["test_accuracy"])


def test_every_trial_is_a_row_of_the_table_with_its_settings_and_its_curve(done: Outcome) -> None:
    with pa.OSFile(str(RunFolder(done.folder).results / "trials.arrow")) as file:
        rows = pa.ipc.open_file(file).read_all().to_pylist()
    assert [row["trial"] for row in rows] == list(range(9))
    assert sorted(row["rank"] for row in rows if row["rank"] is not None) == [1, 2, 3]
    for row in rows:
        assert row["config.model.width"] in (4, 16, 64)
        assert row["config.optimizer.name"] in ("sgd", "adamw")
        assert 32 <= row["config.batch_size"] <= 128
        assert row["points"][-1]["epochs"] == pytest.approx(row["epochs"])
        assert max(point["value"] for point in row["points"]) >= row["value"]
    ranked = sorted((row for row in rows if row["rank"]), key=lambda row: row["rank"])
    assert [row["value"] for row in ranked] == sorted((row["value"] for row in rows), reverse=True)[:3]


def test_the_best_trials_models_are_files_with_the_accuracy_of_the_table(done: Outcome) -> None:
    folder = RunFolder(done.folder)
    files = sorted((folder.path / "models").iterdir())
    with pa.OSFile(str(folder.results / "trials.arrow")) as file:
        rows = {row["rank"]: row for row in pa.ipc.open_file(file).read_all().to_pylist()}
    assert [file.name for file in files] == [
        f"{rank:02d}-trial-{rows[rank]['trial']}.safetensors" for rank in (1, 2, 3)
    ]
    for rank, model in enumerate(files, start=1):
        assert accuracy(model, Split.VALIDATION) == pytest.approx(rows[rank]["value"])


def test_there_is_a_picture(done: Outcome) -> None:
    picture = (RunFolder(done.folder).results / "trials.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_the_end_is_told_in_rows(done: Outcome) -> None:
    told = dict(done.rows)
    assert told["trials"].startswith("9: ")
    assert "mean of 2 runs from scratch" in told["chosen"]
    assert "optimizer.lr" in told[""]


def test_a_search_that_was_stopped_goes_on_and_ends_as_its_replay(tmp_path: Path) -> None:
    stop = StopAfter(12)
    stopped = start(search_spec(tmp_path), open_pool=virtual(), observers=[stop], stop=stop)
    assert stopped.outcome == "interrupted"
    done = resume(stopped.folder, open_pool=virtual())
    assert done.outcome == "done"
    assert replay(done.folder).weights_sha256 == done.weights_sha256


def test_equal_specs_and_seeds_give_equal_searches_and_another_seed_another(tmp_path: Path) -> None:
    spec = search_spec(tmp_path)
    one, other = (start(spec, open_pool=virtual(STORM), name=name) for name in ("one", "other"))
    another = start(spec.model_copy(update={"seed": 1}), open_pool=virtual(STORM), name="another")
    assert one.weights_sha256 == other.weights_sha256 != another.weights_sha256


def test_the_best_trials_are_nested_runs_with_settings_curves_and_models(done: Outcome) -> None:
    files, journal, _, spec = read_run(done.folder)
    core, values, local = core_of(spec), MemoryValues(), Local(spec)
    comparison = Comparison(core)
    comparison.run(journal.records())
    comparison.lineage.rebuild(set(core.strategy.held()), values, local.execute(values))
    results = verb_of(spec).results(Finished(files, spec, core.strategy, values, local, lambda: ()))
    assert [child.model.weights.name[:2] for child in results.children if child.model] == ["01", "02", "03"]
    for child in results.children:
        assert child.key == child.name.replace(" ", "-")
        assert float(child.params["optimizer.lr"]) > 0
        assert next(step for name, _, step in child.metrics if name == "epochs") == 1
        assert child.ended_s > child.started_s > 0
    assert json.loads(results.tags["ripieno.chosen"]).keys() >= WHOLE.keys()

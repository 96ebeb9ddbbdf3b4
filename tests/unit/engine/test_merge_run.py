"""Merges of the small real task, whole: from their spec to their model, table, picture and manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from orchestrator.lifecycle import OpenPool, resume, start
from orchestrator.local import arguments_of
from orchestrator.merge_models import ModelsRefused
from orchestrator.outcome import Outcome
from orchestrator.pools.virtual import Faults
from orchestrator.spec import Spec, SpecInvalid, check
from orchestrator.verify import replay
from tests.support.digits_task import Digits
from tests.support.runs import StopAfter, digits_spec, inline, virtual
from trainers import Split, build_model, unflatten
from trainers.flat import Layout

PARENTS = {"count": 3, "start_epochs": 1.0, "epochs": 1.0, "batch_size": 50}
EVERYTHING = ["uniform", "greedy_soup", {"task_arithmetic": {"alpha": [0.3, 0.6]}}, "model_stock", "ties", "iso_c"]


def merge_spec(state: Path, **merge: Any) -> dict[str, Any]:
    settings = {"workers": 3, **({"parents": PARENTS} if "sources" not in merge else {}), **merge}
    return {
        "task": "tests.support.digits_task:Digits",
        "merge": settings,
        "state": str(state),
        "tracking": {"enabled": False},
    }


def merged(state: Path, open_pool: OpenPool = inline, name: str = "merge", **merge: Any) -> Outcome:
    return start(check(merge_spec(state, **merge)), open_pool=open_pool, name=name)


def trained(state: Path, name: str, **train: Any) -> Outcome:
    return start(digits_spec(state, epochs=1, **train), open_pool=inline, name=name)


def accuracy(outcome: Outcome) -> float:
    """Of its model file on test data, by plain PyTorch."""
    assert outcome.model_file is not None
    module = build_model(Digits(), arguments_of(outcome.model_file))
    weights = Layout.of(module).flattened(load_file(outcome.model_file))
    features, targets = zip(*Digits().data(Split.TEST), strict=True)  # type: ignore[call-overload]
    outputs = unflatten(module, weights).eval()(torch.stack(features))
    return float((outputs.argmax(1) == torch.stack(targets)).double().mean())


def table(outcome: Outcome) -> Any:
    with pa.OSFile(str(outcome.folder / "results" / "candidates.arrow")) as file:
        return pa.ipc.open_file(file).read_all()


def test_parents_trained_here_are_merged_by_every_method_and_the_best_is_the_model(tmp_path: Path) -> None:
    outcome = merged(tmp_path, method=[*EVERYTHING, "ensemble", {"atlas": {"steps": 5}}])
    assert outcome.outcome == "done"
    assert outcome.metrics["test_accuracy"] == pytest.approx(accuracy(outcome))
    rows = table(outcome).to_pylist()
    values = [row["value"] for row in rows if row["kind"] == "candidate"]
    (chosen,) = [row for row in rows if row["kind"] == "candidate" and row["best"]]
    assert chosen["value"] == max(values)
    assert outcome.metrics["validation_accuracy"] == chosen["value"]
    assert {row["recipe"] for row in rows} >= {"ties", "model_stock", "iso_c", "ensemble", "atlas", "greedy_soup"}
    assert (outcome.folder / "results" / "candidates.png").stat().st_size > 1000
    assert replay(outcome.folder).same
    printed = dict(outcome.rows)
    assert printed["before"].startswith("parent ")
    assert printed["after"].startswith(f"{chosen['label']}: validation loss ")
    assert printed[""].startswith("the merge is ")


def test_every_pool_comes_to_the_same_model(tmp_path: Path) -> None:
    outcomes = [
        merged(tmp_path, open_pool, f"merge-{number}", method=EVERYTHING)
        for number, open_pool in enumerate([inline, virtual(), virtual(Faults(crash=0.05, lost=0.05))])
    ]
    assert len({outcome.weights_sha256 for outcome in outcomes}) == 1
    assert all(replay(outcome.folder).same for outcome in outcomes)


def test_an_ensemble_is_a_model_file_of_its_own(tmp_path: Path) -> None:
    outcome = merged(tmp_path, method="ensemble")
    assert outcome.model_file is not None
    assert len(arguments_of(outcome.model_file)["ensemble.members"]) == 3
    assert outcome.metrics["test_accuracy"] == pytest.approx(accuracy(outcome))


def test_runs_files_and_folders_are_sources_and_the_manifest_names_them(tmp_path: Path) -> None:
    start_of_all = trained(tmp_path, "start")
    one = trained(tmp_path, "one", optimizer={"name": "sgd", "lr": 0.05})
    folder = tmp_path / "folder"
    folder.mkdir()
    assert start_of_all.model_file is not None
    (folder / "model.safetensors").write_bytes(start_of_all.model_file.read_bytes())
    assert one.model_file is not None
    outcome = merged(tmp_path, sources=["run:start", str(one.model_file), str(folder)], method=["uniform", "slerp"][:1])
    assert outcome.outcome == "done"
    manifest = json.loads((outcome.folder / "results" / "merge.json").read_bytes())
    assert [source["name"] for source in manifest["sources"]] == ["run:start", str(one.model_file), str(folder)]
    assert manifest["sources"][0]["run"] == "start"
    assert manifest["sources"][0]["weights_sha256"] == manifest["sources"][2]["weights_sha256"]
    assert manifest["weights_sha256"] == outcome.weights_sha256
    one.model_file.unlink()  # the run has kept what it was given
    assert replay(outcome.folder).same


@pytest.mark.parametrize("wakes", [1, 4, 9])
def test_a_stopped_merge_goes_on_though_its_sources_are_gone(tmp_path: Path, wakes: int) -> None:
    files = [
        trained(tmp_path, name, optimizer={"name": "sgd", "lr": lr}).model_file
        for name, lr in (("a", 0.05), ("b", 0.1))
    ]
    settings: dict[str, Any] = {
        "sources": [str(file) for file in files],
        "method": ["uniform", "greedy_soup", "ensemble"],
    }
    whole = merged(tmp_path, name="whole", **settings)
    stop = StopAfter(wakes)
    spec = check(merge_spec(tmp_path, **settings))
    stopped = start(spec, open_pool=inline, name="stopped", observers=[stop], stop=stop)
    assert stopped.outcome == "interrupted"
    for file in files:
        assert file is not None
        file.unlink()
    resumed = resume(stopped.folder, open_pool=inline)
    assert resumed.outcome == "done"
    assert resumed.weights_sha256 == whole.weights_sha256
    assert table(resumed).to_pylist() == table(whole).to_pylist()
    assert replay(resumed.folder).same


def test_a_base_makes_task_vectors_of_given_sources(tmp_path: Path) -> None:
    trained(tmp_path, "base")
    trained(tmp_path, "tuned", optimizer={"name": "sgd", "lr": 0.02})
    outcome = merged(
        tmp_path, sources=["run:tuned"], base="run:base", method={"task_arithmetic": {"alpha": [0.0, 0.5, 1.0]}}
    )
    values = {row["label"]: row["value"] for row in table(outcome).to_pylist()}
    (source,) = [value for label, value in values.items() if label == "run:tuned"]
    assert values["task_arithmetic(alpha=1.0)"] == source


def problems(state: Path, **merge: Any) -> str:
    with pytest.raises(SpecInvalid) as refused:
        check(merge_spec(state, **merge))
    return str(refused.value)


def test_what_cannot_be_merged_is_refused_before_anything_starts(tmp_path: Path) -> None:
    trained(tmp_path, "one")
    trained(tmp_path, "wide", model={"width": 16})
    torch.manual_seed(5)
    stranger = tmp_path / "stranger.safetensors"
    from safetensors.torch import save_file

    save_file(dict(Digits().model().state_dict()), stranger)
    broken = tmp_path / "broken.safetensors"
    bad = load_file(tmp_path / "one" / "model.safetensors")
    bad["2.bias"][3] = float("nan")
    save_file(bad, broken)

    assert "median cosine of their matrices" in problems(tmp_path, sources=["run:one", str(stranger)])
    check(merge_spec(tmp_path, sources=["run:one", str(stranger)], allow_unrelated=True))
    check(merge_spec(tmp_path, sources=["run:one", str(stranger)], method="ensemble"))
    said = problems(tmp_path, sources=["run:one", str(broken)])
    assert "1 of the 10 numbers of tensor '2.bias' are NaN or Inf" in said
    said = problems(tmp_path, sources=["run:one", "run:wide"])
    assert "was made with the arguments {'width': 16}" in said
    check(merge_spec(tmp_path, sources=["run:one", "run:wide"], method="ensemble"))
    said = problems(tmp_path, sources=["run:none", "search:one/top:3", "nowhere", "mlflow:../x"])
    for clause in (
        "merge.sources.0 'run:none' names no run",
        "merge.sources.1 'search:one/top:3' is a run that has kept no trials",
        "merge.sources.2 'nowhere' is not there",
        "merge.sources.3 'mlflow:../x' is not of the form mlflow:RUN_ID",
    ):
        assert clause in said
    said = problems(tmp_path, sources=["run:one", {"path": str(stranger), "model": {"width": "x"}}], method="ensemble")
    assert "merge.sources.1 cannot be made: Digits.model(width='x') raises TypeError: " in said
    assert "Give the arguments it was made with: {path: …, model: {…}}." in said
    assert not (tmp_path / "merge").exists()


def test_a_spec_of_files_that_have_gone_bad_since_the_gate_is_refused_too(tmp_path: Path) -> None:
    trained(tmp_path, "one")
    spec = Spec.model_validate(merge_spec(tmp_path, sources=["run:one", "run:gone"]))
    with pytest.raises(ModelsRefused, match="run:gone"):
        start(spec, open_pool=inline, name="merge")
    assert not (tmp_path / "merge").exists()

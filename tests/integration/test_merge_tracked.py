"""A merge out of MLflow and into it: a logged model as a source, lineage, registry, an ensemble as one module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pytorch
import pytest
import torch
from mlflow import MlflowClient

from orchestrator.lifecycle import start
from orchestrator.outcome import Outcome
from orchestrator.sources import SourceMissing, find_models
from orchestrator.spec import check
from tests.support.digits_task import Digits
from tests.support.runs import inline
from trainers import Split

TASK = "tests.support.digits_task:Digits"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tests of this file use one database, whose making takes seconds."""
    return tmp_path_factory.mktemp("tracked") / "runs"


def run(state: Path, name: str, **verb: Any) -> Outcome:
    spec = check({"task": TASK, "state": str(state), "tracking": {"experiment": "merge"}, **verb})
    return start(spec, open_pool=inline, name=name)


@pytest.fixture(scope="module")
def parents(state: Path) -> list[Outcome]:
    """Two runs from one start, which differ in their learning rate."""
    return [
        run(state, f"parent-{number}", train={"workers": 2, "optimizer": {"name": "sgd", "lr": rate}, "quorum": "full"})
        for number, rate in enumerate((0.05, 0.1))
    ]


def test_a_model_in_mlflow_is_a_source_and_the_merge_knows_its_parents(state: Path, parents: list[Outcome]) -> None:
    first, second = parents
    sources = [f"mlflow:{first.mlflow_run_id}", "run:parent-1"]
    outcome = run(
        state, "merged", merge={"workers": 2, "sources": sources, "method": "uniform", "registered_as": "soup"}
    )
    client = MlflowClient(outcome.tracking_uri)
    tags = client.get_run(outcome.mlflow_run_id).data.tags
    assert json.loads(tags["ripieno.parents"]) == ["parent-1"]
    assert json.loads(tags["ripieno.parents.mlflow"]) == [first.mlflow_run_id, second.mlflow_run_id]
    assert [version.run_id for version in client.search_model_versions("name = 'soup'")] == [outcome.mlflow_run_id]
    files = {file.path for file in client.list_artifacts(outcome.mlflow_run_id, "results")}
    assert files == {"results/candidates.arrow", "results/candidates.png", "results/merge.json"}


def test_mlflow_opens_an_ensemble_as_one_module(state: Path, parents: list[Outcome]) -> None:
    sources = ["run:parent-0", "run:parent-1"]
    outcome = run(state, "ensemble", merge={"workers": 2, "sources": sources, "method": "ensemble"})
    client = MlflowClient(outcome.tracking_uri)
    mlflow.set_tracking_uri(outcome.tracking_uri)
    outputs = client.get_run(outcome.mlflow_run_id).outputs
    assert outputs is not None
    module = mlflow.pytorch.load_model(f"models:/{outputs.model_outputs[0].model_id}")
    features, targets = zip(*Digits().data(Split.TEST), strict=True)  # type: ignore[call-overload]
    right = module(torch.stack(features)).argmax(1) == torch.stack(targets)
    assert float(right.double().mean()) == pytest.approx(outcome.metrics["test_accuracy"])


def test_a_run_that_mlflow_does_not_have_is_told_in_its_words(state: Path, parents: list[Outcome]) -> None:
    with pytest.raises(SourceMissing, match=r"cannot be had from MLflow: .*abc"):
        find_models("mlflow:abc", state, parents[0].tracking_uri)

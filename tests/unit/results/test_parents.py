"""Lineage in MLflow: where the model came from that a run began with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.folder import RunFolder
from orchestrator.local import Local
from orchestrator.results.parents import parents, parents_of_start
from orchestrator.strategies import SyncTraining, SyncTrainingSettings
from orchestrator.tracking.identity import save_identity
from orchestrator.values.memory import MemoryValues
from orchestrator.verbs import Finished
from tests.support.runs import digits_spec


@pytest.fixture
def finished(tmp_path: Path) -> Finished:
    spec = digits_spec(tmp_path)
    (tmp_path / "parent").mkdir()
    save_identity(tmp_path / "parent", spec.tracking_uri(tmp_path), "8c1")
    strategy = SyncTraining(SyncTrainingSettings(batch_size=1, epochs=1, optimizer={"name": "sgd", "lr": 1.0}))
    return Finished(RunFolder(tmp_path / "child"), spec, strategy, MemoryValues(), Local(spec), lambda: ())


def test_a_run_of_ours_is_named_with_its_run_in_mlflow(finished: Finished) -> None:
    tags = parents_of_start(finished, "run:parent")
    assert {tag: json.loads(text) for tag, text in tags.items()} == {
        "ripieno.parents": ["parent"],
        "ripieno.parents.mlflow": ["8c1"],
    }


def test_a_run_in_mlflow_is_named_by_its_id_and_a_file_has_no_lineage(finished: Finished) -> None:
    assert parents_of_start(finished, "mlflow:0af") == {"ripieno.parents.mlflow": '["0af"]'}
    assert parents_of_start(finished, "model.safetensors") == {}
    assert parents_of_start(finished, None) == {}


def test_each_parent_is_named_once(finished: Finished) -> None:
    tags = parents(finished, ["parent", "other", "parent"], ["0af"])
    assert json.loads(tags["ripieno.parents"]) == ["parent", "other"]
    assert json.loads(tags["ripieno.parents.mlflow"]) == ["0af", "8c1"]

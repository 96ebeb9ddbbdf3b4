"""The final model in MLflow is the trained one, whichever way it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Run
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn
from torch.utils.data import Dataset

from orchestrator.tracking import Destination, Final, ModelFiles, Tracker, TrackingReport
from tests.support.tracking import only_run, sqlite_uri, started, track, training
from trainers import Split, Task, build_model
from trainers.building import MEMBERS

PATIENCE_S = 100.0  # MLflow's and PyTorch's first starts are slow on a busy machine
TASK = "tests.integration.test_tracking_model:Digits"


class Tied(nn.Module):
    """Two layers of one weight, batch norm and dropout: all that a file of weights can get wrong."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Linear(width, width, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.second(self.drop(torch.relu(self.norm(self.first(x)))))
        return hidden


class Unexportable(Tied):
    """Its way depends on its data."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.sum()) > 0 else x


class Digits(Task):
    def model(self, width: int = 4, exportable: bool = True) -> nn.Module:
        return Tied(width) if exportable else Unexportable(width)

    def data(self, split: Split) -> Dataset[Any]:
        raise NotImplementedError


def trained(folder: Path, **arguments: Any) -> tuple[nn.Module, ModelFiles]:
    """A model that is unlike any new one, as `run` leaves it behind."""
    torch.manual_seed(1)
    model = Digits().model(**arguments)
    model(torch.randn(64, arguments["width"]))  # moves the statistics of its batch norm
    files = ModelFiles(folder / "model.safetensors", TASK, arguments, folder / "example.safetensors")
    save_model(model, str(files.weights))
    save_file({"input": torch.randn(5, arguments["width"])}, files.example)
    return model.eval(), files


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tests of this file use one database, whose making takes seconds."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def folder(state: Path, request: pytest.FixtureRequest) -> Path:
    folder = state / "runs" / str(request.node.name)
    folder.mkdir(parents=True)
    return folder


def record(folder: Path, files: ModelFiles, experiment: str) -> tuple[TrackingReport, Run, MlflowClient]:
    """A run with this model."""
    destination = Destination(sqlite_uri(folder.parent.parent), experiment)
    tracker = Tracker.start(started(), folder, destination)
    history = training(seed=1, stormy=False)
    track(tracker, history)
    rows = [(wake.now_s, row) for wake, actions in history for row in actions.rows]
    metrics = {name: value for _, row in rows for name, value in row.metrics.items() if name.endswith("accuracy")}
    measured = {name: (now_s, row.step) for now_s, row in rows for name in row.metrics}
    assert metrics.keys() == {"validation_accuracy", "test_accuracy"}  # the former is of weights before the last
    report = tracker.finish(Final("done", metrics, files, measured=measured), PATIENCE_S)
    client = MlflowClient(destination.uri)
    return report, only_run(client, experiment), client


def test_it_opens_in_mlflow_and_as_safetensors_with_the_same_outputs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, files = trained(folder, width=6)
    first, *_ = record(folder, files, "experiment")
    report, run, client = record(folder, files, "experiment")  # once more, which changes nothing
    assert first.complete, first.message
    assert report == first

    (logged,) = client.search_logged_models([run.info.experiment_id])
    assert logged.status == LoggedModelStatus.READY
    assert logged.source_run_id == run.info.run_id
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]
    assert [(metric.key, metric.value) for metric in logged.metrics] == [("test_accuracy", 0.9)]
    assert len(client.get_metric_history(run.info.run_id, "test_accuracy")) == 1

    artifacts = {file.path for file in client.list_logged_model_artifacts(logged.model_id)}
    assert {"MLmodel", "model.safetensors", "requirements.txt"} <= artifacts
    place = Path(logged.artifact_location.removeprefix("file://"))
    kept = load_file(place / "model.safetensors")
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in kept.items())
    assert "+" not in (place / "requirements.txt").read_text()  # builds that other machines cannot get

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(sqlite_uri(folder.parent.parent))
    opened = mlflow.pytorch.load_model(f"models:/{logged.model_id}")
    for rows in (1, 3, 8):
        x = torch.randn(rows, 6)
        torch.testing.assert_close(opened(x), model(x))


def test_a_model_that_cannot_be_exported_is_kept_as_safetensors(folder: Path) -> None:
    _, files = trained(folder, width=4, exportable=False)
    report, run, client = record(folder, files, "another")
    assert report.complete
    assert "safetensors only" in report.message
    (logged,) = client.search_logged_models([run.info.experiment_id])
    assert logged.status == LoggedModelStatus.READY
    assert [file.path for file in client.list_logged_model_artifacts(logged.model_id)] == ["model.safetensors"]


def test_an_ensemble_opens_in_mlflow_with_the_same_outputs(folder: Path) -> None:
    arguments = {MEMBERS: [{"width": 4}, {"width": 4, "exportable": True}]}
    model = build_model(Digits(), arguments)
    model(torch.randn(64, 4))
    _, files = trained(folder, width=4)
    files = ModelFiles(files.weights, TASK, arguments, files.example)
    save_model(model.eval(), str(files.weights))
    report, run, client = record(folder, files, "ensemble")
    assert report.complete, report.message
    (logged,) = client.search_logged_models([run.info.experiment_id])
    mlflow.set_tracking_uri(sqlite_uri(folder.parent.parent))
    x = torch.randn(3, 4)
    torch.testing.assert_close(mlflow.pytorch.load_model(f"models:/{logged.model_id}")(x), model(x))


def test_an_example_of_one_row_is_shown_twice(folder: Path) -> None:
    from orchestrator.tracking.model import example  # imports MLflow's PyTorch side, which takes seconds

    _, files = trained(folder, width=4)
    assert example(files).shape == (2, 4)
    save_file({"input": torch.ones(1, 4)}, files.example)
    assert torch.equal(example(files), torch.ones(2, 4))

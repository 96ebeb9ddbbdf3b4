"""What a run leaves: its files, tags and registry entry, and the run that it is nested in."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient

from orchestrator.tracking import Child, Destination, Final, Tracker, TrackingReport, load_final
from tests.integration.test_tracking_model import trained
from tests.support.tracking import plain_rounds, sqlite_uri, started, track

PATIENCE_S = 100.0  # MLflow's and PyTorch's first starts are slow on a busy machine


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tests of this file use one database, whose making takes seconds."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def folder(state: Path, request: pytest.FixtureRequest) -> Path:
    folder = state / "runs" / str(request.node.name)
    folder.mkdir(parents=True)
    return folder


def recorded(folder: Path, destination: Destination, final: Final) -> TrackingReport:
    tracker = Tracker.start(started(), folder, destination)
    track(tracker, plain_rounds(1, 3))
    return tracker.finish(final, PATIENCE_S)


def test_files_tags_and_registry_entry_are_there_once_however_often_they_are_told(folder: Path, state: Path) -> None:
    destination = Destination(sqlite_uri(state), "all of it")
    model, files = trained(folder, width=5)
    results = folder / "results"
    (results / "tables").mkdir(parents=True)
    (results / "lambda.png").write_bytes(b"picture")
    (results / "tables" / "trials.arrow").write_bytes(b"table")
    children = [Child("trial-3", "trial 3", {"width": "5"}, [("accuracy", 0.5, 1), ("accuracy", 0.75, 2)], model=files)]
    tags = {"ripieno.parents": '["abc", "def"]', "long": "x" * 9000}
    final = Final("done", {"loss": 1 / 3}, files, results, children, "all-of-it", tags)
    first = recorded(folder, destination, final)
    assert first.complete, first.message
    kept = load_final(folder)
    assert kept is not None
    assert kept.children[0].metrics == children[0].metrics
    assert recorded(folder, destination, kept) == first

    client = MlflowClient(destination.uri)
    run = client.get_run(str(first.mlflow_run_id))
    assert run.data.tags["ripieno.parents"] == tags["ripieno.parents"]
    assert run.data.tags["ripieno.outcome"] == "done"
    assert {file.path for file in client.list_artifacts(run.info.run_id, "results")} == {
        "results/lambda.png",
        "results/tables",
    }
    assert [file.path for file in client.list_artifacts(run.info.run_id, "results/tables")] == [
        "results/tables/trials.arrow"
    ]

    (version,) = client.search_model_versions("name = 'all-of-it'")
    assert (int(version.version), version.run_id) == (1, run.info.run_id)
    assert version.tags["ripieno.run"] == "r-1"
    mlflow.set_tracking_uri(destination.uri)
    opened = mlflow.pytorch.load_model("models:/all-of-it/latest")
    x = torch.randn(3, 5)
    torch.testing.assert_close(opened(x), model(x))

    logged = client.search_logged_models([run.info.experiment_id])
    (child,) = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert {model.source_run_id for model in logged} == {run.info.run_id, child.info.run_id}
    of_child = next(model for model in logged if model.source_run_id == child.info.run_id)
    assert [(metric.key, metric.value) for metric in of_child.metrics] == [("accuracy", 0.75)]


def test_another_run_of_that_model_name_is_its_next_version(folder: Path, state: Path) -> None:
    destination = Destination(sqlite_uri(state), "versions")
    _, files = trained(folder, width=3)
    for run in ("one", "two"):
        (folder / run).mkdir()
        tracker = Tracker.start(started(run), folder / run, destination)
        report = tracker.finish(Final("done", model=files, registered="versions"), PATIENCE_S)
        assert report.complete, report.message
    versions = MlflowClient(destination.uri).search_model_versions("name = 'versions'")
    assert sorted((int(version.version), version.tags["ripieno.run"]) for version in versions) == [
        (1, "one"),
        (2, "two"),
    ]


def test_what_mlflow_refuses_does_not_keep_it_from_having_the_rest(folder: Path, state: Path) -> None:
    destination = Destination(sqlite_uri(state), "refused")
    _, files = trained(folder, width=3)
    child = Child("trial-1", "trial 1", {}, [("accuracy", 0.5, 1)])
    final = Final("done", model=files, artifacts=folder / "nowhere", children=[child], registered="no/slashes")
    report = recorded(folder, destination, final)
    assert not report.complete
    assert "its results (FileNotFoundError" in report.message
    assert "its registry entry (" in report.message
    client = MlflowClient(destination.uri)
    runs = client.search_runs([client.get_experiment_by_name("refused").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.info.run_name for run in runs} == {"r-1", "trial 1"}


def test_a_stage_is_nested_in_its_chain_whichever_of_them_mlflow_hears_of_first(folder: Path, state: Path) -> None:
    destination = Destination(sqlite_uri(state), "chain")
    for name in ("chain", "stage"):
        (folder / name).mkdir()
    of_stage = Destination(destination.uri, destination.experiment, parent=folder / "chain")
    stage = Tracker.start(started("stage"), folder / "stage", of_stage)
    chain = Tracker.start(started("chain"), folder / "chain", destination)
    track(stage, plain_rounds(1, 3))
    said = stage.finish(Final("done"), PATIENCE_S)
    assert said.complete, said.message
    whole = chain.finish(Final("done", tags={"ripieno.stages": "stage"}), PATIENCE_S)
    assert whole.complete, whole.message
    client = MlflowClient(destination.uri)
    assert client.get_run(str(said.mlflow_run_id)).data.tags["mlflow.parentRunId"] == whole.mlflow_run_id
    told = client.get_run(str(whole.mlflow_run_id))
    assert told.data.tags["ripieno.stages"] == "stage"
    kept = load_final(folder / "chain")
    assert kept is not None
    again = Tracker.catch_up(started("chain"), folder / "chain", destination, PATIENCE_S).finish(kept, PATIENCE_S)
    assert again == whole
    assert client.get_run(told.info.run_id).info.end_time == told.info.end_time == kept.ended_ms


def test_a_stage_whose_chain_is_not_in_mlflow_says_which_to_send_first(folder: Path, state: Path) -> None:
    destination = Destination(sqlite_uri(state), "no chain", parent=folder / "r-chain")
    tracker = Tracker.catch_up(started(), folder, destination, patience_s=1.0)
    report = tracker.finish(Final("done"), PATIENCE_S)
    assert not report.complete
    assert "ripieno track sync r-chain" in report.message

"""`ripieno track sync` sends all of a run that MLflow heard nothing of, and nothing that is not so."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from shutil import copytree

import pytest
from mlflow import MlflowClient

from orchestrator.assemble import core_of
from orchestrator.catch_up import catch_up
from orchestrator.folder import RunFolder
from orchestrator.journal.file import FileJournal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.records import Ended, Record, Started
from orchestrator.lifecycle import resume, start
from orchestrator.replay import actions_of
from orchestrator.spec import Spec
from orchestrator.tracking import load_final
from tests.support.runs import StopAfter, digits_spec, inline, virtual
from tests.support.tracking import only_run, points_of, sqlite_uri, stored_points


def tracked(state: Path) -> Spec:
    return Spec.model_validate({**digits_spec(state).model_dump(mode="json"), "tracking": {"experiment": "digits"}})


def of_other_code(record: Record, run: str, how: str) -> Record:
    """As a code with another idea of `full` would have written it, or one that knew of no such work."""
    if isinstance(record, Started):
        spec = tracked(Path("runs")).model_dump(mode="json")
        if how == "none that fit":
            spec["train"]["quorum"] = {"static": {"k": 2}}
        return record._replace(run=run, spec={**spec, "state": record.spec["state"]})
    return record._replace(decisions="others") if isinstance(record, Ended) else record


@pytest.fixture(scope="module")
def unheard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose writer could not be started."""
    state = tmp_path_factory.mktemp("state") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(state / "no-such-python"))
        outcome = start(tracked(state), open_pool=inline, name="r-1")
    assert (outcome.outcome, outcome.mlflow_run_id) == ("done", "")
    return outcome.folder


def test_a_run_that_mlflow_never_heard_of_is_sent_whole(unheard: Path) -> None:
    report = catch_up(unheard)
    assert report.complete, report.message
    assert catch_up(unheard) == report  # nothing twice, and no word against it
    client = MlflowClient(sqlite_uri(unheard.parent.parent))
    run = only_run(client, "digits")
    assert (run.info.status, run.data.tags["ripieno.outcome"]) == ("FINISHED", "done")
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert len(losses) == max(metric.step for metric in losses)
    assert run.data.metrics["test_accuracy"] > 0.5
    assert len(run.outputs.model_outputs) == 1
    assert {"results/timing.png", "results/workers.arrow"} <= {
        file.path for file in client.list_artifacts(run.info.run_id, "results")
    }
    figures = load_final(unheard)
    assert figures is not None
    assert figures.figures["run/goodput"] == 1.0
    assert figures.figures.items() <= run.data.metrics.items()


def test_a_run_that_was_stopped_and_resumed_while_mlflow_was_away_is_sent_part_by_part_and_nothing_twice(
    tmp_path: Path,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "no-such-python"))
        stop = StopAfter(60)
        stopped = start(tracked(tmp_path / "runs"), open_pool=virtual(), observers=[stop], stop=stop, name="r-1")
    assert stopped.outcome == "interrupted"
    first = catch_up(stopped.folder)
    assert first.complete, first.message
    client = MlflowClient(sqlite_uri(tmp_path))
    assert only_run(client, "digits").info.status == "KILLED"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "no-such-python"))
        assert resume(stopped.folder, open_pool=virtual()).outcome == "done"
    assert catch_up(stopped.folder).complete
    run = only_run(client, "digits")
    assert (run.info.status, run.info.run_id) == ("FINISHED", first.mlflow_run_id)
    spec = tracked(tmp_path / "runs")
    history = list(actions_of(core_of(spec), JournalReader(RunFolder(stopped.folder).journal, "r-1").records()))
    of_rounds = {(point.key, point.step, point.value) for point in points_of(history)}
    stored = [(point.key, point.step, point.value) for point in stored_points(client, run.info.run_id)]
    assert of_rounds <= set(stored)
    assert len(stored) == len(set(stored))
    at_the_ends = {key for key, step, value in stored if (key, step, value) not in of_rounds}
    assert all(key.startswith(("run/", "loss")) for key in at_the_ends)


@pytest.mark.parametrize("how", ["other decisions", "none that fit"])
def test_figures_that_this_code_would_not_have_made_are_not_sent(unheard: Path, how: str) -> None:
    files = RunFolder(unheard.with_name(f"r-{how.replace(' ', '-')}"))
    files.path.mkdir()
    copytree(unheard / "results", files.results)
    for file in ("final.msgpack", "model.safetensors", "example.safetensors"):
        (files.path / file).write_bytes((unheard / file).read_bytes())
    with closing(FileJournal(files.journal, files.run)) as journal:
        for record in JournalReader(RunFolder(unheard).journal, "r-1").records():
            journal.append(of_other_code(record, files.run, how))
    report = catch_up(files.path)
    assert not report.complete
    assert report.message.startswith("The figures of the rounds of run r-")
    client = MlflowClient(sqlite_uri(unheard.parent.parent))
    run = client.get_run(str(report.mlflow_run_id))
    assert "round_s" not in run.data.metrics
    assert run.data.metrics["test_accuracy"] > 0.5
    assert len(run.outputs.model_outputs) == 1

"""One run in MLflow: found or made, and written to. Imported by the writer process only."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from orchestrator.journal.records import Started
from orchestrator.tracking.description import VALUE_LENGTH, parameters, started_ms, tags
from orchestrator.tracking.identity import ParentMissing, load_identity, save_identity
from orchestrator.tracking.messages import Hello
from orchestrator.tracking.names import accepted
from orchestrator.tracking.points import Point
from orchestrator.uris import printable_spec

SQLITE = "sqlite:///"
TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # which of its pages MLflow shows first
RESULTS = "results"  # folder of the uploaded files
_STATUS = {"done": "FINISHED", "failed": "FAILED"}  # any other outcome: KILLED


class MlflowRun:
    """Its methods raise whatever MLflow raises; each may be called again after that."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def log(self, points: Sequence[Point], model_id: str | None = None, params: Sequence[Param] = ()) -> None:
        """At most 1,000 points a request; those that are there already are stored once. model_id: links them to it."""
        metrics = [
            Metric(point.key, point.value, point.timestamp_ms, point.step, model_id=model_id) for point in points
        ]
        self.client.log_batch(self.run_id, metrics=metrics, params=params, synchronous=True)

    def stored(self, key: str) -> set[tuple[int, int]]:
        """(timestamp_ms, step) of all values of a metric. O(their number)."""
        return {(metric.timestamp, metric.step) for metric in self.client.get_metric_history(self.run_id, key)}

    def upload(self, folder: Path) -> None:
        """Its files, over earlier ones. Raises FileNotFoundError: there is no such folder."""
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not a folder")
        self.client.log_artifacts(self.run_id, str(folder), RESULTS)

    def end(self, outcome: str, ended_ms: int | None, tags: Mapping[str, str]) -> None:
        about = [RunTag(accepted(name), text[:VALUE_LENGTH]) for name, text in tags.items()]
        self.client.log_batch(self.run_id, tags=[*about, RunTag("ripieno.outcome", outcome)], synchronous=True)
        self.client.set_terminated(self.run_id, _STATUS.get(outcome, "KILLED"), ended_ms)


def open_run(hello: Hello, started: Started) -> MlflowRun:
    """Finds the run in MLflow, or makes it, and says that it is running.

    It is known by the id in its folder, else by its tags: an engine may have died before it could keep the id.
    Raises ParentMissing: it is to be nested in a run that MLflow has not got yet.
    """
    with _one_opens_at_a_time(hello.uri):
        client = MlflowClient(hello.uri, registry_uri=hello.uri)
        experiment_id = _experiment(client, hello)
    run_id = load_identity(hello.folder, hello.uri)
    if not run_id or not _active(client, run_id):
        run_id = _tagged(client, experiment_id, started) or _create(client, experiment_id, started, hello)
        spec = printable_spec(started.spec)
        client.log_batch(run_id, params=[Param(*pair) for pair in parameters(spec).items()], synchronous=True)
        client.log_text(run_id, json.dumps(spec, indent=2, ensure_ascii=False), "spec.json")
        save_identity(hello.folder, hello.uri, run_id)
    client.update_run(run_id, status=RunStatus.to_string(RunStatus.RUNNING))
    return MlflowRun(client, run_id)


def _create(client: MlflowClient, experiment_id: str, started: Started, hello: Hello) -> str:
    about = tags(started)
    if hello.parent is not None:
        about[MLFLOW_PARENT_RUN_ID] = load_identity(hello.parent, hello.uri)
        if not about[MLFLOW_PARENT_RUN_ID]:
            raise ParentMissing(hello.parent.name)
    with contextlib.suppress(KeyError, OSError):  # nobody by that number in this container
        about["mlflow.user"] = getpass.getuser()
    run = client.create_run(experiment_id, started_ms(started), about, run_name=started.run)
    return str(run.info.run_id)


def _tagged(client: MlflowClient, experiment_id: str, started: Started) -> str:
    """Its id, or "". Two state folders may have runs of one name, but not started at the same instant."""
    ours = f"tags.`ripieno.run` = '{started.run}' AND tags.`ripieno.started_at` = '{started.started_at}'"
    found = client.search_runs([experiment_id], ours, max_results=1)
    return str(found[0].info.run_id) if found else ""


def _active(client: MlflowClient, run_id: str) -> bool:
    """Whether it is there and nobody has deleted it."""
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _experiment(client: MlflowClient, hello: Hello) -> str:
    found = client.get_experiment_by_name(hello.experiment)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(hello.experiment, _artifacts(hello), TRAINING))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client.get_experiment_by_name(hello.experiment).experiment_id)


def _artifacts(hello: Hello) -> str | None:
    """Where a new experiment keeps its files: beside a database of our own; a server chooses for itself."""
    if not hello.uri.startswith(SQLITE):
        return None
    return (Path(hello.uri.removeprefix(SQLITE)).resolve().parent / "mlartifacts").as_uri()


@contextlib.contextmanager
def _one_opens_at_a_time(uri: str) -> Iterator[None]:
    """Several runs that start at once would all create and migrate the same new SQLite file, and break it."""
    if not uri.startswith(SQLITE):
        yield
        return
    database = Path(uri.removeprefix(SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(database.name + ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file is closed
        yield

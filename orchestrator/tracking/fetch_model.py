"""A run's model out of MLflow: `python -m orchestrator.tracking.fetch_model URI RUN_ID FILE`.

A program of its own, because MLflow must not be imported where the engine runs. What goes wrong is one line on
standard error, and exit status 1.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

FILE = "model.safetensors"


def fetch_model(uri: str, run_id: str, target: Path) -> str:
    """Writes the newest model that this run logged as safetensors; returns what is wrong, or ""."""
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_run(run_id).info.experiment_id
    models = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    for model in models:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            try:
                file = download_artifacts(artifact_uri=f"{model.artifact_location.rstrip('/')}/{FILE}", dst_path=folder)
            except (MlflowException, OSError):
                continue  # another kind of model
            shutil.move(file, target)
            return ""
    return f"the run has no model with a {FILE}" if models else "the run has no model"


def main() -> None:
    uri, run_id, target = sys.argv[1:]
    logging.disable(logging.WARNING)
    try:
        problem = fetch_model(uri, run_id, Path(target))
    except Exception as error:  # whatever MLflow and its stores raise is one line for whoever asked
        problem = " ".join(str(error).split()) or type(error).__name__
    if problem:
        print(problem[:500], file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""The final model in MLflow: one LoggedModel that `mlflow.pytorch.load_model` opens, with our safetensors beside it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mlflow.pytorch
import numpy
import torch
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model
from safetensors.torch import load_file, load_model
from torch import Tensor, nn

from orchestrator.tracking.final import ModelFiles
from orchestrator.tracking.mlflow_run import MlflowRun
from orchestrator.tracking.points import Point
from trainers import build_model, load_task

NAME = "model"
_log = logging.getLogger("ripieno.tracking")


def log_model(run: MlflowRun, files: ModelFiles, paths: Sequence[str], final: Sequence[Point]) -> str:
    """Logs the model of a run, once, linked to the run and to its final metrics. May be called again after a failure.

    paths: where its task is looked for first. Returns a remark where the model could not be exported, so that there
    is only the safetensors file; else "".
    Cost: 1 to 3 s for a small model, most of it torch.export.
    """
    logged = _found_or_made(run)
    if logged.status == LoggedModelStatus.READY:
        return ""
    remark = ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _export(build(files, paths), example(files), Path(folder) / NAME, logged)
        except Exception as error:  # of the user's code, or of torch.export about it
            _log.warning("export_failed", exc_info=True)
            remark = f"Its model could not be exported, so there it is as safetensors only ({error})."[:500]
        else:
            run.client.log_model_artifacts(logged.model_id, str(Path(folder) / NAME))
    run.client.log_model_artifact(logged.model_id, str(files.weights))
    run.log(final, model_id=logged.model_id)
    run.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return remark


def build(files: ModelFiles, paths: Sequence[str]) -> nn.Module:
    """The trained module, on the CPU, ready to infer."""
    model = build_model(load_task(files.task, [Path(path) for path in paths]), files.arguments)
    load_model(model, files.weights)
    return model.eval()


def example(files: ModelFiles) -> Tensor:
    """Two rows of the example: more say no more, and a batch of one would be exported as always one."""
    batch = load_file(files.example)["input"]
    return batch[:2] if len(batch) > 1 else batch.repeat_interleave(2, dim=0)


def logged_model(run: MlflowRun) -> LoggedModel | None:
    """The one that was begun for this run, or None."""
    experiment_id = run.client.get_run(run.run_id).info.experiment_id
    found = run.client.search_logged_models([experiment_id], f"source_run_id = '{run.run_id}' AND name = '{NAME}'")
    return found[0] if found else None


def _found_or_made(run: MlflowRun) -> LoggedModel:
    client, mlflow_run = run.client, run.client.get_run(run.run_id)
    logged = logged_model(run) or client.create_logged_model(
        mlflow_run.info.experiment_id, NAME, source_run_id=run.run_id, params=mlflow_run.data.params
    )
    outputs = mlflow_run.outputs.model_outputs if mlflow_run.outputs else []
    if logged.model_id not in [output.model_id for output in outputs]:
        client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def _export(model: nn.Module, rows: Tensor, folder: Path, logged: LoggedModel) -> None:
    """In MLflow's layout, as a traced graph: no pickle, and opening it needs none of the user's code.

    Requirements are pinned here, because MLflow would start a process to guess them.
    """
    mlflow.pytorch.save_model(
        model,
        folder,
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            run_id=logged.source_run_id,
            model_id=logged.model_id,
        ),
        input_example=rows.numpy(),
        pip_requirements=[f"torch=={_release(torch.__version__)}", f"numpy=={numpy.__version__}"],
        serialization_format="pt2",
    )


def _release(version: str) -> str:
    """Without the build (`+cpu`), which not every index has."""
    return version.partition("+")[0]

"""The registry entry of a run's model. Imported by the writer process only."""

from __future__ import annotations

import mlflow

from orchestrator.tracking.mlflow_run import MlflowRun
from orchestrator.tracking.model import logged_model

RUN = "ripieno.run"


def register(run: MlflowRun, name: str, our_run: str) -> None:
    """Makes the model that the run has logged a version of the registered model `name`, once.

    It opens as `models:/NAME/VERSION`, and as `models:/NAME/latest` until the next one. No alias is set: which version
    is the champion is for people to say.
    """
    if run.client.search_model_versions(f"name = '{name}' AND run_id = '{run.run_id}'"):
        return
    logged = logged_model(run)
    assert logged is not None, "logged before it is registered"
    mlflow.set_tracking_uri(run.client.tracking_uri)  # what it registers is looked up by MLflow's default client
    mlflow.set_registry_uri(run.client.tracking_uri)
    mlflow.register_model(f"models:/{logged.model_id}", name, await_registration_for=0, tags={RUN: our_run})

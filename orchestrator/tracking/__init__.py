"""The record of a run in MLflow, kept by a process of its own: no trouble there is ever the run's."""

from orchestrator.tracking.commit import commit_of
from orchestrator.tracking.final import Child, Final, ModelFiles
from orchestrator.tracking.kept import load_final
from orchestrator.tracking.tracker import Destination, Tracker, TrackingReport

__all__ = ["Child", "Destination", "Final", "ModelFiles", "Tracker", "TrackingReport", "commit_of", "load_final"]

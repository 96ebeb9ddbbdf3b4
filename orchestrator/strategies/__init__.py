"""Strategies: what to do next, one file a verb."""

from orchestrator.strategies.sync_training import SyncTraining, SyncTrainingSettings

__all__ = ["SyncTraining", "SyncTrainingSettings"]

"""Synchronous training: the strategy, and what it is made of."""

from orchestrator.strategies.training.settings import (
    Checkpoints,
    EarlyStopping,
    Lawa,
    LearningRate,
    LocalSteps,
    SyncTrainingSettings,
)
from orchestrator.strategies.training.sync_training import SyncTraining

__all__ = [
    "Checkpoints",
    "EarlyStopping",
    "Lawa",
    "LearningRate",
    "LocalSteps",
    "SyncTraining",
    "SyncTrainingSettings",
]

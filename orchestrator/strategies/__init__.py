"""Strategies: what to do next, one file a verb."""

from orchestrator.strategies.buffered_federation import BufferedFederation
from orchestrator.strategies.federated import FederationSettings, Rounds
from orchestrator.strategies.federation import Federation
from orchestrator.strategies.sync_training import SyncTraining, SyncTrainingSettings

__all__ = ["BufferedFederation", "Federation", "FederationSettings", "Rounds", "SyncTraining", "SyncTrainingSettings"]

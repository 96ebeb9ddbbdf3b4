"""Strategies: what to do next, one file a verb."""

from orchestrator.strategies.autohas import Autohas, AutohasSettings
from orchestrator.strategies.buffered_federation import BufferedFederation
from orchestrator.strategies.federated import FederationSettings, Rounds
from orchestrator.strategies.federation import Federation
from orchestrator.strategies.finale import FinaleSettings
from orchestrator.strategies.merging import Merging
from orchestrator.strategies.merging_settings import MergingSettings, Parents, Wanted
from orchestrator.strategies.training import SyncTraining, SyncTrainingSettings

__all__ = [
    "Autohas",
    "AutohasSettings",
    "BufferedFederation",
    "Federation",
    "FederationSettings",
    "FinaleSettings",
    "Merging",
    "MergingSettings",
    "Parents",
    "Rounds",
    "SyncTraining",
    "SyncTrainingSettings",
    "Wanted",
]

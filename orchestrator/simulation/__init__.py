"""What a `train` spec would take on other workers than one has: every quorum, played on the virtual clock."""

from orchestrator.simulation.options import Assumptions, CannotSimulate
from orchestrator.simulation.play import Point
from orchestrator.simulation.rows import Row, Simulated
from orchestrator.simulation.simulate import simulated

__all__ = ["Assumptions", "CannotSimulate", "Point", "Row", "Simulated", "simulated"]

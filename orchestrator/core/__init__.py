"""The pure core: see core.py."""

from orchestrator.core.core import Core

__all__ = ["Core"]

"""The weights that a run was given to start from."""

from __future__ import annotations

from orchestrator.records import GIVEN, Ref

START = Ref(f"{GIVEN}start")
"""Where they are before they are taken in by work "init"."""

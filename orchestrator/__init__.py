"""Ripieno from Python: `run(spec)` does what `ripieno run` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.outcome import Outcome
    from orchestrator.spec import Spec

__all__ = ["Spec", "run"]


def run(spec: Spec | Mapping[str, Any] | Path | str, *, ray_address: str | None = None) -> Outcome:
    """Does what a spec says, and returns what came of it.

    spec: a Spec, plain data, or the name of a YAML or JSON file. ray_address: host:port of a Ray cluster; None: a
    Ray of our own on this machine.
    Raises:
        SpecInvalid: with everything that is wrong with the spec, before anything was started.
    """
    from orchestrator.chain import run_chain
    from orchestrator.lifecycle import start
    from orchestrator.spec import check
    from orchestrator.workers import no_room, on_ray

    wanted, open_pool = check(spec, (), no_room(ray_address)), on_ray(ray_address)
    if not wanted.then:
        return start(wanted, open_pool=open_pool)
    return run_chain(wanted, do=lambda stage, run, parent: start(stage, open_pool=open_pool, name=run, parent=parent))


def __getattr__(name: str) -> Any:
    """`Spec`, imported when it is asked for: `ripieno list` needs no pydantic."""
    if name == "Spec":
        from orchestrator.spec import Spec

        return Spec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Ripieno from Python: `run(spec)` does what `ripieno run` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.outcome import Outcome
    from orchestrator.simulation import Simulated
    from orchestrator.spec import Spec

__all__ = ["Spec", "run", "simulate"]


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


def simulate(spec: Spec | Mapping[str, Any] | Path | str, *, workers: int | None = None, **assumed: Any) -> Simulated:
    """Plays a `train` spec on virtual workers, once for each quorum: what `ripieno simulate` prints, as rows.

    workers: how many; None: as the spec has it. assumed: fields of `orchestrator.simulation.Assumptions`, of which
    latency="pareto:1.5" or trace=<folder of a run> must be given.
    Raises:
        SpecInvalid. CannotSimulate: with one sentence why, exit code 2 on the command line. RunFailed: the task fails.
    """
    from orchestrator.simulation import Assumptions, simulated
    from orchestrator.spec import check

    return simulated(check(spec), Assumptions(**assumed), workers=workers)


def __getattr__(name: str) -> Any:
    """`Spec`, imported when it is asked for: `ripieno list` needs no pydantic."""
    if name == "Spec":
        from orchestrator.spec import Spec

        return Spec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

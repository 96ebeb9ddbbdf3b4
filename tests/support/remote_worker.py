"""A worker that needs no torch and does the simplest work there is; see `tests.support.remote`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cluster.shared_memory import SharedFolder
from orchestrator.pools.execute import Execute, WorkFailed
from orchestrator.records import Cause, Failure, Ref, Work
from orchestrator.worker import WorkerSettings, work_for_engine


def serve(argument: str) -> None:
    """The entry of these workers."""
    work_for_engine(WorkerSettings.from_json(argument), lambda session: simple(session.folder, session.interrupted))


def simple(folder: SharedFolder, interrupted: Callable[[], bool] = lambda: False) -> Execute:
    """Kinds: nothing; pid; noop: writes a word; make: `size` bytes; join: its inputs one after another; wait: for
    `file` or to be interrupted, and makes one with the suffix .begun when it begins; draft: the same, with room taken
    for `size` bytes."""

    def execute(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        params = dict(work.params)
        if "raise" in params:
            raise WorkFailed(Failure(Cause(str(params["raise"])), "as asked"))
        out = Ref(f"{work.id}.out")
        if work.kind == "make":
            folder.write(out, [bytes(i % 251 for i in range(int(str(params["size"]))))])
        elif work.kind == "join":
            try:
                folder.write(out, [folder.read(ref) for ref in work.inputs.values()])
            except KeyError as error:
                raise WorkFailed(Failure(Cause.BAD_REPLY, f"no value {error}")) from None
        elif work.kind in ("wait", "draft"):
            room = folder.draft(int(str(params["size"]))) if work.kind == "draft" else None
            file = Path(str(params["file"]))
            file.with_suffix(".begun").touch()
            until(lambda: file.exists() or interrupted(), within_s=60)
            if not file.exists():
                raise WorkFailed(Failure(Cause.CANCELLED, "stopped"))
            if room is not None:
                folder.publish(out, room)
            else:
                folder.write(out, [b"waited"])
        elif work.kind == "pid":
            return {}, {"pid": os.getpid()}
        elif work.kind == "noop":
            folder.write(out, [b"noop"])
        return {"out": out}, {"twice": 2.0 * work.id}

    return execute


def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    """Looks again and again; raises AssertionError when it has been long enough."""
    last_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < last_s, f"not within {within_s:g} s"
        time.sleep(0.005)

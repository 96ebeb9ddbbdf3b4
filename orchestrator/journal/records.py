"""The records of a journal: the wakes of a run, and who wrote them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from orchestrator.records import Json, Wake


class Started(NamedTuple):
    """First record of every journal; enough to replay it.

    spec: the whole spec as JSON. code: version and commit.
    fingerprint: machine type, device, threads, library versions. parent: the run of the chain that it is a stage of,
        in the same state folder, or "".
    """

    run: str
    spec: Json
    spec_sha256: str
    code: str
    fingerprint: Json
    seed: int
    started_at: str
    paths: tuple[str, ...] = ()
    parent: str = ""


class Snapshot(NamedTuple):
    """The state after all wakes so far is in `file`; wakes: how many came before."""

    wakes: int
    file: str
    sha256: str


class Resumed(NamedTuple):
    """A new engine took over; fence: higher than all before."""

    fence: int
    fingerprint: Json
    resumed_at: str


class Ended(NamedTuple):
    """How it ended. outcome: "done" or "failed". weights_sha256: of the final weights, or "".

    decisions: `Core.decisions` at the end.
    """

    outcome: str
    reason: str
    weights_sha256: str
    decisions: str


Record: TypeAlias = Started | Wake | Snapshot | Resumed | Ended

"""Where the parts of a run lie."""

from __future__ import annotations

from pathlib import Path

from cluster.sessions.transport import FRAMES_FILE, SOCKET_FILE
from orchestrator.folder import shared_memory_of

SOCKET_BYTES = 107
"""The longest name that Linux gives a unix socket."""


def test_the_sockets_of_a_run_can_be_named_however_long_its_own_name_is() -> None:
    memory = shared_memory_of(Path("runs") / f"{'r' * 100}.10-federate")
    for socket in (FRAMES_FILE, SOCKET_FILE, f"{SOCKET_FILE}-999999999"):  # the last stands for a site's connection
        assert len(bytes(memory / socket)) <= SOCKET_BYTES


def test_runs_whose_names_begin_alike_share_no_memory() -> None:
    runs = [f"{'r' * 99}{end}{stage}" for end in "ab" for stage in ("", ".1-train", ".2-federate")]
    assert len({shared_memory_of(Path("runs") / run) for run in runs}) == len(runs)

"""torch's DistributedDataParallel over gloo, in processes that stand by between windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from benchmarks.step_overhead.task import SAMPLES, WIDTHS


class Ddp:
    """As many processes as workers. folder: for their rendezvous. samples: of the training data."""

    def __init__(self, folder: Path, size: str, processes: int, samples: int) -> None:
        environment = os.environ | {SAMPLES: str(samples), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        arguments = [str(processes), str(WIDTHS[size]), str(folder / "store")]
        self._peers = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.step_overhead.peer", str(rank), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                env=environment,
                text=True,
            )
            for rank in range(processes)
        ]

    def window(self, what: str, steps: int) -> float:
        """Seconds of a step, mean over `steps`. what: "ddp" or "compute"."""
        return self._tell(f"{what} {steps}") / steps

    def save(self, file: Path) -> None:
        self._tell(f"weights {file}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for peer in self._peers:
            assert peer.stdin is not None
            peer.stdin.close()
        for peer in self._peers:
            peer.wait()

    def _tell(self, line: str) -> float:
        for peer in self._peers:
            assert peer.stdin is not None
            peer.stdin.write(line + "\n")
            peer.stdin.flush()
        answers = self._peers[0].stdout
        assert answers is not None
        return float(answers.readline())

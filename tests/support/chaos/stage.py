"""One run of real processes, what happens to it, and what must hold of it afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from orchestrator.errors import JournalDamaged
from orchestrator.folder import RunFolder, shared_memory_of
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.records import Record
from orchestrator.records import Event, Wake
from orchestrator.tracking.tracker import LOG
from orchestrator.worker import ENTRY
from tests.support.chaos.task import MEMBER, SWITCHES
from tests.support.proxy import Proxy

ROOT = Path(__file__).parents[3]
PATIENCE_S = 240.0  # of each wait; a healthy machine needs a fraction
PACE_S, CRAWL_S = 0.1, 3.0
"""What a batch takes; and while something is waited for that takes long, so that the run does not end before it."""

LONG_S = 3.0
SPEC = """
task: tests.support.chaos.task:Troubled
train:
  workers: 2
  batch_size: 20
  quorum: dynamic
  epochs: 6
  optimizer: {{name: sgd, lr: 0.1, momentum: 0.9}}
  evaluate_every: {{epochs: 3}}
state: {state}
times: {{heartbeat_s: 0.5}}
tracking: {tracking}
"""


class Stage:
    """A run that goes slowly until `let_go`; its processes are all gone when this is left, whatever happened.

    mlflow: carries what goes to MLflow, and is this one's to close; None: the run is not tracked.
    """

    host = "127.0.0.1"  # by which workers that do not share its memory reach the engine
    launched: Sequence[str] = ("aggregator-0", "worker-0", "worker-1")  # by the engine
    within: Sequence[str] = ()  # what the engine's command begins with: where it runs

    def __init__(self, folder: Path, run: str, mlflow: Proxy | None = None) -> None:
        self.run, self.files, self._folder = run, RunFolder(folder / "runs" / run), folder
        self.switches = folder / "switches"
        self.switches.mkdir()
        self._slow = self.switches / "slow"
        self._slow.write_text(str(PACE_S))
        self._spec = folder / "train.yaml"
        self.mlflow = mlflow
        tracking = f"{{uri: 'http://{mlflow.address}', experiment: chaos}}" if mlflow else "{enabled: false}"
        self._spec.write_text(SPEC.format(state=folder / "runs", tracking=tracking))
        self.proxy = Proxy(lambda: (folder / "engine").read_text())
        place = {"proxy": self.proxy.address, "host": self.host, "launched": list(self.launched)}
        (folder / "place.json").write_text(json.dumps(place))
        self.engine: subprocess.Popen[bytes] | None = None
        self.guests: dict[str, subprocess.Popen[bytes]] = {}
        self._started = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for started in (self.engine, *self.guests.values()):
            if started is not None:
                started.wait()
        self.proxy.close()
        if self.mlflow is not None:
            self.mlflow.close()

    def start(self) -> None:
        """An engine, by the command that a job would have: it begins the run, or goes on with it."""
        self.engine = self.command("run", str(self._spec), "--name", self.run, "--resume")

    def command(self, *words: str) -> subprocess.Popen[bytes]:
        """Of the command line; all that it says lies in a file."""
        self._started += 1
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment |= {SWITCHES: str(self.switches), "OMP_NUM_THREADS": "1"}
        with (self._folder / f"said-{self._started}").open("wb") as output:
            return subprocess.Popen(
                [*self.within, sys.executable, "-m", "tests.support.chaos.engine", str(self._folder), *words],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def invite(self, name: str, within: Sequence[str] = ()) -> None:
        """A worker that the engine does not launch, but was told the door. within: what its command begins with."""
        told = json.loads((self._folder / "guest").read_text()) | {"name": name}
        environment = os.environ | {SWITCHES: str(self.switches), MEMBER: name, "OMP_NUM_THREADS": "1"}
        guest = subprocess.Popen(
            [*within, sys.executable, "-m", "cluster.child"], stdin=subprocess.PIPE, cwd=ROOT, env=environment
        )
        assert guest.stdin is not None
        guest.stdin.write(f"{json.dumps([ENTRY, json.dumps(told)])}\n".encode())
        guest.stdin.flush()
        self.guests[name] = guest

    def said(self) -> str:
        return (self._folder / f"said-{self._started}").read_text()

    def records(self) -> list[Record]:
        with suppress(FileNotFoundError, JournalDamaged):  # it is just being made
            return list(JournalReader(self.files.journal, self.run).records())
        return []

    def events(self) -> list[Event]:
        return [event for record in self.records() if isinstance(record, Wake) for event in record.events]

    def until(self, true: Callable[[], bool]) -> None:
        """Waits for what the engine does, which must not end meanwhile; the run crawls if that takes long."""
        assert self.engine is not None
        began_s = time.monotonic()
        while not true():
            if self.engine.poll() is not None and not true():
                raise AssertionError(f"the engine ended with {self.engine.returncode}:\n{self.said()}")
            waited_s = time.monotonic() - began_s
            assert waited_s < PATIENCE_S, f"not within {PATIENCE_S:g} s; the engine says:\n{self.said()}"
            if waited_s > LONG_S:
                self._slow.write_text(str(CRAWL_S))
            time.sleep(0.05)
        self._slow.write_text(str(PACE_S))

    def until_more(self, count: Callable[[], int], more: int = 1) -> None:
        before = count()
        self.until(lambda: count() >= before + more)

    def ended(self) -> int:
        """The engine's exit status, when it has ended by itself."""
        assert self.engine is not None
        return self.engine.wait(PATIENCE_S)

    def kill_engine(self) -> None:
        """And see that its workers end with it."""
        assert self.engine is not None
        everybody = self.processes()
        self.engine.send_signal(signal.SIGKILL)
        self.engine.wait()
        self.dismiss_all()
        psutil.wait_procs(everybody, PATIENCE_S)

    def dismiss(self, name: str) -> None:
        """A guest, who says goodbye."""
        guest = self.guests.pop(name)
        guest.terminate()
        guest.wait(PATIENCE_S)

    def dismiss_all(self) -> None:
        for name in list(self.guests):
            self.dismiss(name)

    def member(self, name: str) -> psutil.Process:
        """The living process of a worker."""
        self.until(lambda: len(self._called(name)) == 1)
        return self._called(name)[0]

    def mlflow_failures(self) -> int:
        """How many different ones the writer of the record has met, by its own log."""
        return (self.files.path / LOG).read_text().count("attempt_failed")

    def let_go(self) -> None:
        self._slow.unlink()

    def processes(self) -> list[psutil.Process]:
        """All that belong to this run, whoever their parent is by now."""
        return [process for process in psutil.process_iter() if _variable(process, SWITCHES) == str(self.switches)]

    def left_behind(self) -> list[str]:
        """Processes, files in shared memory and ports of this run, after its end."""
        left = [f"process {process.pid}: {process.cmdline()}" for process in psutil.wait_procs(self.processes(), 10)[1]]
        memory = shared_memory_of(self.files.path)
        left += [f"shared memory {path}" for path in memory.parent.glob(f"*{memory.name}*")]
        address = (self._folder / "engine").read_text()
        host, _, port = address.rpartition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=2):
            left.append(f"port {port}")
        return left

    def _called(self, name: str) -> list[psutil.Process]:
        return [process for process in self.processes() if _variable(process, MEMBER) == name]


def _variable(process: psutil.Process, name: str) -> str | None:
    with suppress(psutil.Error, OSError):
        return process.environ().get(name)
    return None

"""A server and three sites, each a process with its own data, on loopback over mutual TLS, killed by real signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from textwrap import dedent

import pytest

from cluster.certificates import init
from orchestrator.errors import JournalDamaged
from orchestrator.folder import RunFolder
from orchestrator.journal.reader import JournalReader
from orchestrator.outcome_file import load_outcome
from orchestrator.records import Result, Wake
from tests.e2e.test_kill import PATIENCE_S, ROOT, RUN, family, gone, require_ended_as_its_replay, ripieno, until
from tests.support.idx_files import write_idx

SITES = ("north", "south", "west")
ROUNDS = 4

TASK = """
    '''The example's task, with two changes for this test: where the server's data are, and a file that holds a site.'''

    import time
    from pathlib import Path

    from examples.fashion_mnist.task import FashionMnist


    class Held(FashionMnist):
        folder = Path("{server}")

        def loss(self, model, batch):
            while (self.folder / "hold").exists():
                (self.folder / "held").touch()
                time.sleep(0.01)
            return super().loss(model, batch)
"""
SPEC = """
    task: held_task:Held
    federate:
      clients: sites
      workers: 3
      min_workers: 3
      rounds: {rounds}
      model: {{width: 2}}
      aggregation: {{fedlaw: {{epochs: 2}}}}
      local: {{epochs: 1, batch_size: 64}}
    serve:
      sites: [north, south, west]
      certificates: {certificates}
    tracking: {{enabled: false}}
    state: {state}
"""


class Stage:
    """All that the processes of this test stand on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "runs"
        self.certificates = folder / "certificates"
        init(self.certificates, ["127.0.0.1"], SITES)
        server = write_idx(folder / "data" / "server", train=64, test=100)
        for number, site in enumerate(SITES):
            write_idx(folder / "data" / site, train=128 + 64 * number, test=1, first=500 * number)
        (folder / "held_task.py").write_text(dedent(TASK.format(server=server)))
        self.spec = folder / "federate.yaml"
        self.spec.write_text(dedent(SPEC.format(certificates=self.certificates, state=self.state, rounds=ROUNDS)))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.started = 0

    def hold(self, site: str) -> None:
        (self.data(site) / "held").unlink(missing_ok=True)
        (self.data(site) / "hold").touch()

    def let_go(self, site: str) -> None:
        (self.data(site) / "hold").unlink()

    def held(self, site: str) -> bool:
        """Whether it has begun to train, and stands still."""
        return (self.data(site) / "held").exists()

    def data(self, site: str) -> Path:
        return self.folder / "data" / site

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The command, its output in a file of its own, in a process group that is gone afterwards."""
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.started += 1
        with (self.folder / f"output-{self.started}").open("w+") as output:
            process = subprocess.Popen(
                ripieno(*arguments), cwd=self.folder, env=environment, stdout=output, stderr=output, text=True,
                start_new_session=True,
            )  # fmt: skip
            process.stdout = output
            try:
                yield process
            finally:
                for member in family(process.pid):
                    member.kill()
                process.wait()

    def serve(self) -> list[str]:
        return ["run", str(self.spec), "--serve", self.address, "--name", RUN]

    def join(self, site: str) -> list[str]:
        folder = self.certificates / f"site-{site}"
        return ["site", "join", self.address, "--data", str(self.data(site)), "--certificates", str(folder), "--once"]


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    process.stdout.flush()
    return Path(process.stdout.name).read_text()


def updates(stage: Stage) -> list[str]:
    """Whose updates were counted, as the journal has them."""
    folder = RunFolder(stage.state / RUN)
    with suppress(FileNotFoundError, JournalDamaged):  # it is just being made
        return [
            event.worker
            for record in JournalReader(folder.journal, RUN).records()
            if isinstance(record, Wake)
            for event in record.events
            if isinstance(event, Result) and event.failure is None and event.worker in SITES
        ]
    return []


@pytest.mark.timeout(600)  # it takes 36 s of CPU, and machines may be busy
def test_sites_and_their_server_are_killed_and_the_weights_are_those_of_the_replay(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.hold("west")
    with ExitStack() as stack:
        server = stack.enter_context(stage.running(*stage.serve()))
        sites = {site: stack.enter_context(stage.running(*stage.join(site))) for site in SITES}

        until(lambda: stage.held("west"), server)
        until(lambda: sorted(updates(stage)) == ["north", "south"], server)
        sites["west"].kill()  # in mid-round
        sites["west"].wait()
        stage.hold("south")
        stage.let_go("west")
        sites["west"] = stack.enter_context(stage.running(*stage.join("west")))

        until(lambda: stage.held("south"), server)
        until(lambda: {"north", "west"} <= set(updates(stage)[2:]), server)
        before = updates(stage)
        everybody = family(server.pid)
        server.send_signal(signal.SIGKILL)  # in mid-round
        until(lambda: gone(everybody))
        assert load_outcome(stage.state / RUN) is None

        resumed = stack.enter_context(stage.running("resume", RUN, "--state", str(stage.state)))
        until(lambda: all("the engine is there again" in said(site) for site in sites.values()), resumed)
        stage.let_go("south")
        assert resumed.wait(PATIENCE_S) == 0, said(resumed)
        for site in sites.values():
            assert site.wait(PATIENCE_S) == 0, said(site)
            assert "left: the engine has ended" in said(site)
    after = updates(stage)
    assert after[: len(before)] == before
    assert after.count("north") == ROUNDS, "nothing that was journalled is done again"
    require_ended_as_its_replay(stage.state)

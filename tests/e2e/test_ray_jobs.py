"""`ray job submit` to a cluster that was started by itself, with token authentication: the verbs as Ray jobs."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from orchestrator.outcome_file import load_outcome

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).parent / "ray"
PATIENCE_S = 120.0
EXAMPLES = "examples/fashion_mnist"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A head of its own. environment: what whoever talks to it needs."""

    dashboard: str
    environment: Mapping[str, str]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """In a process group of its own, which is gone afterwards."""
    with TemporaryDirectory(dir="/tmp", prefix="ray-") as folder:  # short: sockets lie in it
        token = Path(folder) / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        environment.pop("RAY_ADDRESS", None)
        port, dashboard, client, agent, agent_grpc = (free_port() for _ in range(5))
        head = subprocess.Popen(
            [
                *(str(RAY), "start", "--head", "--block", f"--port={port}", "--num-cpus=4"),
                *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"),
                *(f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"),
                *("--object-store-memory=104857600", f"--temp-dir={folder}/h", "--disable-usage-stats"),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{dashboard}"
            wait_for_answer(address)
            yield Cluster(address, environment | {"RAY_ADDRESS": address})
        finally:
            for process in [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            head.wait()


def free_port() -> int:
    """Below those that Ray gives to its workers."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port > 20000:
            return port


def wait_for_answer(address: str) -> None:
    last_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < last_s, "the head did not come up"
            time.sleep(0.2)


def submitted(cluster: Cluster, words: list[str]) -> subprocess.CompletedProcess[str]:
    """A job, at its end. The head answers before it can take jobs; until then it says to try again."""
    last_s = time.monotonic() + PATIENCE_S
    while True:
        job = subprocess.run(
            [str(RAY), "job", "submit", "--working-dir", ".", "--", *words],
            cwd=ROOT,
            env=cluster.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if "No available agent" not in job.stderr or time.monotonic() > last_s:
            return job
        time.sleep(1.0)


SHORT = {
    "federate": ["federate.rounds=2", "federate.workers=2"],
    "search": ["search.trials=3", "search.workers=2"],
}


@pytest.mark.parametrize("verb", SHORT)
def test_a_verb_runs_as_a_ray_job_on_a_cluster_that_was_there(cluster: Cluster, verb: str, tmp_path: Path) -> None:
    sets = [*SHORT[verb], "resources.per_worker.cpu=0.5", f"state={tmp_path / 'runs'}"]
    options = [word for value in sets for word in ("--set", value)]
    job = submitted(
        cluster, [sys.executable, "-m", "orchestrator", "run", f"{EXAMPLES}/{verb}.yaml", "--name", "job", *options]
    )
    assert job.returncode == 0, job.stdout[-4000:] + job.stderr[-4000:]
    outcome = load_outcome(tmp_path / "runs" / "job")
    assert outcome is not None
    assert outcome.outcome == "done"
    assert outcome.mlflow_run_id

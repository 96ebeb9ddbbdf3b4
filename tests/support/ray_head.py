"""A Ray head of its own with token authentication, as separate processes, and jobs that are submitted to it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import ray.util

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).parent / "ray")
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Head:
    """address: host:port, for drivers. environment: what whoever submits jobs needs, RAY_ADDRESS among it. folder: is
    gone with the head."""

    address: str
    environment: Mapping[str, str]
    folder: Path


@contextmanager
def ray_head(**environment: str) -> Iterator[Head]:
    """In a process group of its own, which is gone afterwards. environment: for the head, and so for its jobs."""
    with TemporaryDirectory(dir="/tmp", prefix="ray-") as folder:  # short: sockets lie in it
        token = Path(folder) / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        given = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)} | environment
        given.pop("RAY_ADDRESS", None)
        port, dashboard, client, agent, agent_grpc = (free_port() for _ in range(5))
        process = subprocess.Popen(
            [
                *(RAY, "start", "--head", "--block", f"--port={port}", "--num-cpus=4"),
                *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"),
                *(f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"),
                *("--object-store-memory=104857600", f"--temp-dir={folder}/h", "--disable-usage-stats"),
            ],
            env=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{dashboard}"
            _wait_for_answer(url)
            yield Head(f"{ray.util.get_node_ip_address()}:{port}", given | {"RAY_ADDRESS": url}, Path(folder))
        finally:
            for member in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()


def free_port() -> int:
    """Above those that Ray gives to its workers."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port > 20000:
            return port


def submit(head: Head, words: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
    """A job from this repository, at its end, or under way with the option --no-wait.

    The head answers before it can take jobs; until then it says to try again.
    """
    last_s = time.monotonic() + PATIENCE_S
    while True:
        job = of_jobs(head, "submit", "--working-dir", ".", *options, "--", *words)
        if "No available agent" not in job.stdout or time.monotonic() > last_s:
            return job
        time.sleep(1.0)


def of_jobs(head: Head, *words: str) -> subprocess.CompletedProcess[str]:
    """What `ray job …` says, all of it as stdout."""
    return subprocess.run(
        [RAY, "job", *words],
        cwd=ROOT,
        env=head.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _wait_for_answer(url: str) -> None:
    last_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < last_s, "the head did not come up"
            time.sleep(0.2)

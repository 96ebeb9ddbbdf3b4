"""What is installed, what this machine and the cluster have, and what is misconfigured, each with advice."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import psutil
from packaging.requirements import Requirement

from orchestrator.uris import printable

GIB = 1 << 30
TESTED_PYTHONS = ("3.11", "3.12", "3.13")
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
LONGEST_RAY_FOLDER = 40
"""Characters: Ray adds some 60 to it, and a socket's path may have 107."""


class Finding(NamedTuple):
    """One thing that was looked at; advice: what to do if it is not well, or ""."""

    what: str
    found: str
    advice: str = ""

    @property
    def well(self) -> bool:
        return not self.advice


def examine(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Looks at one thing after another; seconds, since some are far away. Changes nothing."""
    yield _python()
    yield from _packages()
    yield _cores()
    yield _memory()
    yield _shared_memory()
    yield _disk(Path("runs"))
    yield _open_files()
    yield _gpus()
    yield _ray(environment)
    yield _mlflow(environment)
    yield _datasets()
    yield from _environment(environment)


def _python() -> Finding:
    there = [name for name in TESTED_PYTHONS if _starts(f"python{name}")]
    found = f"{platform.python_version()} here; on the PATH: {', '.join(there) or 'no other'}"
    known = platform.python_version().startswith(TESTED_PYTHONS)
    return Finding("python", found, "" if known else f"Tested with {', '.join(TESTED_PYTHONS)}; use one of them.")


def _starts(program: str) -> bool:
    """Whether it runs; a name on the PATH may be a version manager's empty promise."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _packages() -> Iterator[Finding]:
    try:
        wanted = [Requirement(line) for line in requires("ripieno") or ()]
    except PackageNotFoundError:
        yield Finding("ripieno", "not installed, runs from a working tree")
        return
    yield Finding("ripieno", version("ripieno"))
    right: list[str] = []
    for requirement in (line for line in wanted if line.marker is None or line.marker.evaluate({"extra": ""})):
        try:
            have = version(requirement.name)
        except PackageNotFoundError:
            yield Finding(requirement.name, "not installed", f"Install {requirement}.")
            continue
        if have in requirement.specifier:
            right.append(f"{requirement.name} {have}")
        else:
            yield Finding(requirement.name, have, f"Ripieno needs {requirement}.")
    yield Finding("packages", ", ".join(right))


def _cores() -> Finding:
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    advice = "Others are using them: runs will be slow, and timings wrong." if load > cores + 1 else ""
    return Finding("cores", f"{cores} to use, load {load:.1f}", advice)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    return Finding("memory", found, "A worker that imports torch takes 0.4 GiB." if memory.available < 2 * GIB else "")


def _shared_memory() -> Finding:
    space = shutil.disk_usage("/dev/shm")
    advice = "Weights pass through it: in a container give it more, --shm-size=2g." if space.free < GIB // 2 else ""
    return Finding("/dev/shm", f"{space.free / GIB:.1f} of {space.total / GIB:.1f} GiB free", advice)


def _disk(state: Path) -> Finding:
    space = shutil.disk_usage(state if state.is_dir() else Path.cwd())
    advice = (
        "A run that cannot write its journal stops: free some, or set `state` elsewhere." if space.free < GIB else ""
    )
    return Finding("disk", f"{space.free / GIB:.0f} GiB free for {state}", advice)


def _open_files() -> Finding:
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    advice = f"Ray wants many: `ulimit -n {min(most, 65536)}` before it starts." if limit < 4096 else ""
    return Finding("open files", f"{limit:,} allowed", advice)


def _gpus() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return Finding("GPUs", ", ".join(names))
    if shutil.which("nvidia-smi"):
        return Finding(
            "GPUs", "nvidia-smi is there, but torch sees none", "Install a CUDA build of torch that fits its driver."
        )
    return Finding("GPUs", "none on this machine")


def _ray(environment: Mapping[str, str]) -> Finding:
    address = environment.get("RAY_ADDRESS", "")
    if not address:
        return Finding("Ray", "RAY_ADDRESS is not set: workers start on this machine")
    if address.startswith(("http://", "https://", "ray://")):
        advice = (
            "Runs need the cluster's own address, HOST:6379; or submit the run: `ray job submit -- ripieno run SPEC`."
        )
        return Finding("Ray", address, advice)
    host, _, port = address.rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=3).close()
        except OSError as error:
            return Finding(
                "Ray", f"{address} does not answer ({error.strerror or error})", "Is the cluster up? `ray status`."
            )
    return _cluster(address)


def _cluster(address: str) -> Finding:
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises many kinds, and each has its sentence
        return Finding("Ray", f"{address}: {error}", "`ray status` on a node of it says more.")
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        has = ray.cluster_resources()
    finally:
        ray.shutdown()
    return Finding("Ray", f"{address}: {len(nodes)} nodes, {has.get('CPU', 0):g} CPU, {has.get('GPU', 0):g} GPU")


def _mlflow(environment: Mapping[str, str]) -> Finding:
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return Finding("MLflow", "SQLite beside the state folder, unless a spec says otherwise")
    advice = (
        "" if _answers(uri) else "It does not answer. Training goes on without it and keeps what it would have sent."
    )
    return Finding("MLflow", f"{printable(uri)}, used where a spec has it as tracking.uri", advice)


def _answers(uri: str) -> bool:
    if not uri.startswith(("http://", "https://")):
        return True
    try:
        with urllib.request.urlopen(f"{printable(uri).rstrip('/')}/health", timeout=3) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, HTTPException):
        return False


def _datasets() -> Finding:
    if any(FASHION_MNIST.glob("*-ubyte*")):
        return Finding("data sets", f"digits (embedded), Fashion-MNIST in {FASHION_MNIST}")
    return Finding("data sets", "digits (embedded); Fashion-MNIST is found when dataset-fashion-mnist is installed")


def _environment(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that are known to break runs."""
    proxy = next((name for name in ("grpc_proxy", "https_proxy", "http_proxy") if environment.get(name)), "")
    if proxy and "localhost" not in environment.get("no_proxy", environment.get("NO_PROXY", "")):
        yield Finding(
            proxy, "set, so streams to workers go through it", "Set no_proxy=localhost,127.0.0.1 and your nodes."
        )
    if "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" in environment:
        yield Finding("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "set", "Unset it: Ray then refuses further nodes.")
    if len(folder := environment.get("RAY_TMPDIR", "")) > LONGEST_RAY_FOLDER:
        yield Finding("RAY_TMPDIR", folder, f"Use a shorter one, {LONGEST_RAY_FOLDER} characters: sockets lie in it.")
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        yield Finding(
            "host name", socket.gethostname(), "It has no address: add it to /etc/hosts, or nodes cannot meet."
        )

"""This process's one connection to Ray: to a cluster that is there, or to one of its own on this machine."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

import grpc
import ray
from ray._private.grpc_utils import init_grpc_channel
from ray.exceptions import AuthenticationError

from cluster.launchers.errors import NoCluster, TokenRefused

ANSWER_S = 3.0
"""How long a cluster's head may take to accept a connection. Ray itself would try for minutes, then end the process."""

OBJECT_STORE_BYTES = 100 << 20
"""Of a Ray of our own: no value ever goes through it."""

ANY_QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""Of Ray's head: it looks at the token before it looks at the question."""


@contextmanager
def connected(address: str | None, cpus: int = 0) -> Iterator[None]:
    """Connects, and disconnects again; a process that is connected already stays so and is left alone.

    address: host:port, or "auto" for a cluster that runs on this machine; None: a Ray of our own with `cpus` CPU
        tokens, which ends with this process, however it ends.
    Raises:
        NoCluster. TokenRefused: it is there, and has another token or wants one.
    """
    if ray.is_initialized():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # warns that its tokens are on: good
        _init("local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES)
    else:
        _require_answer(address)
        _require_token(address)
        _init(address)
    if current_thread() is main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's own would end a driver that wants to take a snapshot
    try:
        yield
    finally:
        ray.shutdown()


def _init(address: str, **options: Any) -> None:
    try:
        ray.init(address, configure_logging=False, log_to_driver=False, **options)
    except AuthenticationError as error:
        raise TokenRefused(address, error.message.strip().partition(". ")[0].rstrip(".")) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise NoCluster(address, str(error).strip().rstrip(".")) from error


def _require_answer(address: str) -> None:
    """That something listens there. Ray's own attempt could not be bounded."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise NoCluster(address, "that is no host:port (a ray:// client cannot run workers for us)")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise NoCluster(address, f"nothing answers there ({error})") from error


def _require_token(address: str) -> None:
    """That the head takes our token. Ray itself would try for ten seconds, then say that nothing answers there."""
    if address == "auto":
        return
    with init_grpc_channel(address) as channel:
        try:
            channel.unary_unary(ANY_QUESTION)(b"", timeout=ANSWER_S)
        except AuthenticationError as error:
            raise TokenRefused(address, error.message.strip().partition(". ")[0].rstrip(".")) from error
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise TokenRefused(address, "the token that was shown is not its own, or none was shown") from error

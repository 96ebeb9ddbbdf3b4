"""Where a member runs on a Ray cluster, and whether that machine is still there: quicker than Ray itself can say it."""

from __future__ import annotations

import socket
from typing import NamedTuple

import ray

from cluster.launchers.connection import connected
from cluster.launchers.member import NODE_ANSWER_S


class Node(NamedTuple):
    """Where the Ray daemon of a machine listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def own_node() -> Node:
    """Of the process that asks."""
    own = ray.get_runtime_context().get_node_id()
    found = next(node for node in ray.nodes() if node["NodeID"] == own)
    return Node(found["NodeManagerAddress"], found["NodeManagerPort"])


def known_as(address: str) -> str:
    """The host by which the cluster at this address, as `RayLauncher` takes it, knows this machine, one of its nodes.

    Raises NoCluster. Cost: 2 s to join a cluster and leave it again.
    """
    with connected(address):
        return own_node().host


def answers(node: Node) -> bool:
    """Whether its daemon can be reached within NODE_ANSWER_S; Ray takes 15 s to call a silent node dead."""
    try:
        socket.create_connection(node, timeout=NODE_ANSWER_S).close()
    except OSError:
        return False
    return True

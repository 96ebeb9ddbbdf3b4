"""Whether a cluster can ever give what is needed: pure arithmetic on resources, and the one look that feeds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ray

from cluster.launchers.connection import connected
from cluster.launchers.errors import CannotFit
from cluster.launchers.member import Needs


def check_fits(address: str | None, needs: Sequence[Needs]) -> Mapping[str, float]:
    """Makes sure, before anything is started, that all members can be there at once, and says what there is.

    address: of a Ray cluster, as `RayLauncher` takes it; None: this machine, where CPUs are only counted, so that any
        number of them fits. What an autoscaler could add does not count.
    Returns: {"CPU": …, "GPU": …}, of the whole cluster, used or not.
    Raises:
        NoCluster: within a few seconds. CannotFit.
    Cost: 2 s to join a cluster and leave it again; nothing for this machine.
    """
    if address is None:
        gpus = float(len(list(Path("/dev").glob("nvidia[0-9]*"))))
        nodes = [Needs(cpu=sum(need.cpu for need in needs), gpu=gpus)]
        require_room(needs, nodes, "this machine")
    else:
        with connected(address):
            resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [Needs(cpu=found.get("CPU", 0.0), gpu=found.get("GPU", 0.0)) for found in resources]
        require_room(needs, nodes, "the cluster")
    return {"CPU": sum(node.cpu for node in nodes), "GPU": sum(node.gpu for node in nodes)}


def require_room(needs: Sequence[Needs], nodes: Sequence[Needs], where: str) -> None:
    """Each member has to lie on one node: the largest first, each where it fits first. Raises CannotFit."""
    total = Needs(sum(need.cpu for need in needs), sum(need.gpu for need in needs))
    there = Needs(sum(node.cpu for node in nodes), sum(node.gpu for node in nodes))
    if total.cpu > there.cpu or total.gpu > there.gpu:
        raise CannotFit(str(total), f"{where} has {there}")
    free = [list(node) for node in nodes]
    for need in sorted(needs, key=lambda need: (need.gpu, need.cpu), reverse=True):
        node = next((node for node in free if node[0] >= need.cpu and node[1] >= need.gpu), None)
        if node is None:
            raise CannotFit(f"{len(needs)} times up to {need}", f"no way was found to lay them on the nodes of {where}")
        node[0] -= need.cpu
        node[1] -= need.gpu

"""Whether a cluster can ever give what is needed: pure arithmetic on resources, and the one look that feeds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ray

from cluster.launchers.connection import connected
from cluster.launchers.errors import CannotFit
from cluster.launchers.member import Needs

UNITS = 10_000
"""In one CPU or GPU. Ray counts in them, and they add up where fractions do not: 0.6 - 0.5 < 0.1."""


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
        nodes = [Needs(cpu=_sum([*map(_units, needs)]).cpu, gpu=gpus)]
        require_room(needs, nodes, "this machine")
    else:
        with connected(address):
            resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [Needs(cpu=found.get("CPU", 0.0), gpu=found.get("GPU", 0.0)) for found in resources]
        require_room(needs, nodes, "the cluster")
    return {"CPU": sum(node.cpu for node in nodes), "GPU": sum(node.gpu for node in nodes)}


def require_room(needs: Sequence[Needs], nodes: Sequence[Needs], where: str) -> None:
    """Each member has to lie on one node: the largest first, each where it fits first. Raises CannotFit."""
    wanted = sorted(map(_units, needs), key=lambda units: (units[1], units[0]), reverse=True)
    free = [list(_units(node)) for node in nodes]
    total, there = _sum(wanted), _sum(free)
    if total.cpu > there.cpu or total.gpu > there.gpu:
        raise CannotFit(str(total), f"{where} has {there}")
    for cpu, gpu in wanted:
        node = next((node for node in free if node[0] >= cpu and node[1] >= gpu), None)
        if node is None:
            largest = Needs(cpu / UNITS, gpu / UNITS)
            raise CannotFit(
                f"{len(needs)} times up to {largest}", f"no way was found to lay them on the nodes of {where}"
            )
        node[0] -= cpu
        node[1] -= gpu


def _units(needs: Needs) -> tuple[int, int]:
    return round(needs.cpu * UNITS), round(needs.gpu * UNITS)


def _sum(units: Sequence[Sequence[int]]) -> Needs:
    return Needs(sum(cpu for cpu, _ in units) / UNITS, sum(gpu for _, gpu in units) / UNITS)

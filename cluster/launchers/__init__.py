"""Starting worker processes, watching them, and starting them again: on this machine, or by Ray."""

from cluster.launchers.capacity import check_fits
from cluster.launchers.errors import CannotFit, ClusterBusy, ClusterError, NoCluster, TokenRefused
from cluster.launchers.local import LocalProcesses
from cluster.launchers.member import Launcher, Member, Needs, Watcher
from cluster.launchers.nodes import known_as
from cluster.launchers.on_ray import RayLauncher

__all__ = [
    "CannotFit",
    "ClusterBusy",
    "ClusterError",
    "Launcher",
    "LocalProcesses",
    "Member",
    "Needs",
    "NoCluster",
    "RayLauncher",
    "TokenRefused",
    "Watcher",
    "check_fits",
    "known_as",
]

"""Starting worker processes, watching them, and starting them again: on this machine, or by Ray."""

from cluster.launchers.local import LocalProcesses
from cluster.launchers.member import Launcher, Member, Watcher

__all__ = [
    "Launcher",
    "LocalProcesses",
    "Member",
    "Watcher",
]

"""What keeps members from being started, as sentences for whoever must act.

ClusterError
├── NoCluster     nothing answers at the address
├── TokenRefused  a cluster answers, and does not let us in
├── CannotFit     the cluster can never give what is needed
└── ClusterBusy   it could, but others hold it
"""

from __future__ import annotations


class ClusterError(Exception):
    """Root of these. Subclasses hand every field to super().__init__, for pickling."""


class NoCluster(ClusterError):
    """No Ray cluster answers. address: as given. problem: a clause."""

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(address, problem)
        self.address, self.problem = address, problem

    def __str__(self) -> str:
        return (
            f"no Ray cluster at {self.address!r}: {self.problem}. Give the host:port that `ray start --head` printed, "
            "or unset RAY_ADDRESS to run on this machine."
        )


class TokenRefused(ClusterError):
    """A Ray cluster answers, and its token is not ours. address: as given. problem: a clause."""

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(address, problem)
        self.address, self.problem = address, problem

    def __str__(self) -> str:
        return (
            f"the Ray cluster at {self.address!r} does not let this process in: {self.problem}. Head, nodes and "
            "drivers need the same token: name its file by RAY_AUTH_TOKEN_PATH, or put it into ~/.ray/auth_token."
        )


class CannotFit(ClusterError):
    """What is needed at once is more than there ever is. needed, there: clauses with the numbers."""

    def __init__(self, needed: str, there: str) -> None:
        super().__init__(needed, there)
        self.needed, self.there = needed, there

    def __str__(self) -> str:
        return (
            f"this run needs {self.needed} at once and {self.there}, so it would wait for ever. "
            "Use fewer workers, a range of them (workers: {min: N, max: M} needs N), or less for each "
            "(resources.per_worker); `ripieno doctor` lists the nodes."
        )


class ClusterBusy(ClusterError):
    """What is needed was not free in time. needed: a clause with the numbers. waited_s: seconds."""

    def __init__(self, needed: str, waited_s: float) -> None:
        super().__init__(needed, waited_s)
        self.needed, self.waited_s = needed, waited_s

    def __str__(self) -> str:
        return (
            f"the cluster has {self.needed}, but they were not free within {self.waited_s:g} s. "
            "Wait until other runs have ended; `ripieno doctor` lists the nodes."
        )

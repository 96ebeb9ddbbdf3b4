"""How many results of a round to wait for: one policy a file, all of them pure.

A new one is a file, a line in `QUORUMS` and a mention in the manual; the contract suite takes it from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from types import MappingProxyType

from orchestrator.protocols import Quorum
from orchestrator.quorum.adasync import AdaSync
from orchestrator.quorum.dbw import Dbw
from orchestrator.quorum.deadline import Deadline
from orchestrator.quorum.dynamic import Dynamic
from orchestrator.quorum.first import First
from orchestrator.quorum.full import Full
from orchestrator.quorum.rate import Rate
from orchestrator.quorum.static import Static

__all__ = ["QUORUMS", "AdaSync", "Dbw", "Deadline", "Dynamic", "First", "Full", "Rate", "Static", "make_quorum"]

QUORUMS: Mapping[str, Callable[..., Quorum]] = MappingProxyType(
    {
        "full": Full,
        "static": Static,
        "dynamic": Dynamic,
        "dbw": Dbw,
        "rate": Rate,
        "adasync": AdaSync,
        "first": First,
    }
)
"""Every quorum by the name that a spec gives it."""


def make_quorum(name: str, **options: object) -> Quorum:
    """The quorum of that name; options are its fields.

    Raises:
        ValueError: no such quorum, an option that it does not know, lacks or cannot take; one sentence says which.
    """
    if name not in QUORUMS:
        raise ValueError(f"{name!r} is not a quorum; allowed: {', '.join(QUORUMS)}")
    quorum = QUORUMS[name]
    try:
        signature(quorum).bind(**options)
    except TypeError as error:
        known = ", ".join(signature(quorum).parameters) or "none"
        raise ValueError(f"quorum {name!r} with {options}: {error}; its options: {known}") from error
    return quorum(**options)

"""How a search goes: one searcher a file, all of them pure.

A new one is a file, a line in `SEARCHERS` and a mention in the manual; the contract suite takes it from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from orchestrator.searching.searcher import Searcher
from orchestrator.searching.searchers.asha import Asha
from orchestrator.searching.searchers.pbt import Pbt
from orchestrator.searching.searchers.random import RandomSearch
from orchestrator.searching.searchers.successive_halving import SuccessiveHalving
from orchestrator.searching.searchers.tpe import Tpe

__all__ = ["SEARCHERS", "Asha", "Pbt", "RandomSearch", "SuccessiveHalving", "Tpe"]

SEARCHERS: Mapping[str, Callable[..., Searcher]] = MappingProxyType(
    {
        "random": RandomSearch,
        "successive_halving": SuccessiveHalving,
        "asha": Asha,
        "pbt": Pbt,
        "tpe": Tpe,
    }
)
"""Every searcher by the name that a spec gives it: called with the scope, then its options by name."""

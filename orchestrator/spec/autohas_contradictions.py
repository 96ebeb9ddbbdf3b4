"""What of a search by `autohas` cannot stand together."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.searching.architectures import MOST_SHARED, architectures, searches_training
from orchestrator.searching.basis import basis
from orchestrator.searching.declaration import read_space
from orchestrator.searching.training import Training
from orchestrator.spec.autohas import AutohasOptions
from orchestrator.spec.common import StaticQuorum
from orchestrator.spec.problems import Complaint, Keys, complaint
from orchestrator.spec.search import Search

AUTOHAS: Keys = ("search", "method", "autohas")
QUORUMS = ("full", "rate")
"""That need nothing but times; the others, static apart, weigh gradients."""


def autohas_contradictions(search: Search, options: AutohasOptions) -> Iterator[Complaint]:
    """search: its space has no fault."""
    if search.confirm is None:
        why = "is null, but autohas has no trained trial to hand over. Leave it out, or give {top: 3, seeds: 2}."
        yield complaint(("search", "confirm"), why, ("search", "method"))
    yield from _quorum(search, options)
    yield from _sharing(search, options)


def _quorum(search: Search, options: AutohasOptions) -> Iterator[Complaint]:
    quorum = options.quorum
    if not isinstance(quorum, StaticQuorum):
        if quorum not in QUORUMS:
            why = f"is {quorum}, which weighs gradients, and candidates have none. Use full, static: {{k: 3}} or rate."
            yield complaint((*AUTOHAS, "quorum"), why)
        return
    drawn = options.candidates or max(4, search.most_workers)
    if (k := quorum.static.k) > drawn:
        why = f"is {k} but an update has {drawn} candidates, so none could ever end. Use k <= {drawn}."
        yield complaint((*AUTOHAS, "quorum", "static", "k"), why, (*AUTOHAS, "candidates"))


def _sharing(search: Search, options: AutohasOptions) -> Iterator[Complaint]:
    """What is shared has room for every architecture, so all are listed once."""
    space, _ = read_space(search.space)
    decisions = basis(space, options.values)
    if options.weights == "fresh" or (options.weights == "auto" and searches_training(decisions)):
        return
    training = Training({"name": search.optimizer.name, "lr": search.optimizer.lr}, search.batch_size)
    if len(architectures(decisions, training, MOST_SHARED)) > MOST_SHARED:
        why = f"is {options.weights}, but there are more than {MOST_SHARED:,} architectures to share weights"
        yield complaint((*AUTOHAS, "weights"), f"{why}. Use fresh, or fewer values of model.…", ("search", "space"))

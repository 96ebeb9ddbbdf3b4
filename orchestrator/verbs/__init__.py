"""What there is to do: one file a verb, and one line a verb here."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.spec import Spec
from orchestrator.verbs.federate import FEDERATE
from orchestrator.verbs.merge import MERGE
from orchestrator.verbs.search import SEARCH
from orchestrator.verbs.train import TRAIN
from orchestrator.verbs.verb import Finished, Pairs, Results, Verb

__all__ = ["VERBS", "Finished", "Pairs", "Results", "Verb", "verb_of"]

VERBS: Mapping[str, Verb] = {
    "train": TRAIN,
    "federate": FEDERATE,
    "search": SEARCH,
    "merge": MERGE,
}


def verb_of(spec: Spec) -> Verb:
    """The verb of a spec that passed the gate."""
    return VERBS[spec.verb]

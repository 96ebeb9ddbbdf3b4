"""What of a `merge` cannot stand together."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.merge import Merge
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, complaint, dotted

SOURCES, BASE, PARENTS, METHOD = (("merge", key) for key in ("sources", "base", "parents", "method"))


def merge_contradictions(spec: Spec) -> Iterator[Complaint]:
    merge = spec.merge
    assert merge is not None
    yield from _models(merge)
    if not merge.method:
        yield complaint(METHOD, "is an empty list, so there is nothing to try. Use method: greedy_soup.")
    for number, recipe in enumerate(merge.method):
        keys: Keys = (*METHOD, number) if len(merge.method) > 1 else METHOD
        if len(recipe) != 1:
            yield complaint(keys, f"names {len(recipe)} methods in one mapping; write a list with one in each.", METHOD)
        for name, options in recipe.items():
            empty = [option for option, value in options.items() if value == []]
            if empty:
                yield complaint((*keys, name, empty[0]), "is an empty list, so nothing would be tried.", METHOD)


def _models(merge: Merge) -> Iterator[Complaint]:
    if merge.parents is not None:
        for keys, given in ((SOURCES, merge.sources), (BASE, merge.base)):
            if given:
                why = f"is given, but {dotted(PARENTS)} trains the models to merge, and their base. Leave out one."
                yield complaint(keys, why, PARENTS)
    elif not merge.sources:
        why = "is empty, so there is nothing to merge. Name models, or have them trained here: parents: {count: 4}."
        yield complaint(SOURCES, why, PARENTS)
    elif merge.most_sources < 2 and merge.base is None:
        why = "is one model, which would only be itself. Name two or more, or give its base too."
        yield complaint(SOURCES, why, BASE)

"""What the numbers of workers must agree on."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, complaint, dotted


def worker_contradictions(spec: Spec) -> Iterator[Complaint]:
    """Of the spec's own verb; pure."""
    section, keys = spec.section, (spec.verb, "workers")
    n, least = section.workers, section.min_workers
    if not isinstance(n, int):
        if n.min > n.max:
            why = f"is {n.min} but {dotted(keys)}.max is {n.max}. Use min <= {n.max} or max >= {n.min}."
            yield complaint((*keys, "min"), why, (*keys, "max"))
        if least is not None:
            why = f"is {least}, but {dotted(keys)} says {n}, and its min is the same thing. Give one of the two."
            yield complaint((spec.verb, "min_workers"), why, keys)
    elif least is not None and least > n:
        remedy = f"Use min_workers <= {n} or workers >= {least}."
        why = f"is {least} but {dotted(keys)} is {n}, so the run would wait for ever. {remedy}"
        yield complaint((spec.verb, "min_workers"), why, keys)


def most_of(spec: Spec) -> Keys:
    """Where the greatest number of workers is said."""
    keys: Keys = (spec.verb, "workers")
    return keys if isinstance(spec.section.workers, int) else (*keys, "max")

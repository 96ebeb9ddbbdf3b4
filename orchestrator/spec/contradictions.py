"""Values of a spec that are each allowed and cannot stand together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from orchestrator.spec.federate_contradictions import federate_contradictions
from orchestrator.spec.merge_contradictions import merge_contradictions
from orchestrator.spec.models import VERBS, Spec
from orchestrator.spec.problems import Complaint, Keys, complaint, dotted
from orchestrator.spec.search_contradictions import search_contradictions
from orchestrator.spec.serve_contradictions import serve_contradictions
from orchestrator.spec.stages import FROM, continued
from orchestrator.spec.train_contradictions import train_contradictions
from orchestrator.spec.worker_contradictions import most_of, worker_contradictions


def contradictions(spec: Spec) -> Iterator[Complaint]:
    """All of them; pure."""
    if not spec.task:
        yield Complaint(
            (("task",),), "task: missing; give text (what to work on: package.module:Class, a trainers.Task)."
        )
    if len(spec.given) != 1:
        yield _which_verb(spec)
        return
    yield from worker_contradictions(spec)
    n, workers = spec.section.most_workers, most_of(spec)
    if spec.inject.slow is not None and (slow := spec.inject.slow.worker) >= n:
        why = f"is {slow} but {dotted(workers)} is {n}, and workers count from 0. Use worker <= {n - 1}."
        yield complaint(("inject", "slow", "worker"), why, workers)
    if (gpu := spec.resources.per_worker.gpu) > 1 and gpu % 1:
        why = f"is {gpu:g}, but above 1 only whole GPUs are given. Use {int(gpu)} or {int(gpu) + 1}."
        yield complaint(("resources", "per_worker", "gpu"), why)
    yield from OF_VERBS[spec.verb](spec)
    yield from serve_contradictions(spec)
    yield from _stages(spec)


def _stages(spec: Spec) -> Iterator[Complaint]:
    """Each as it will be, but for the names of the runs before it."""
    if any(len(stage.given) != 1 or stage.verb not in FROM for stage in spec.then):
        for number, stage in enumerate(spec.then):
            if len(stage.given) != 1 or stage.verb not in FROM:
                why = f"has {_listed(stage.given)}; what can go on from what came before is one of {', '.join(FROM)}."
                yield complaint(("then", number), why)
        return
    for number in range(1, len(spec.then) + 1):
        stage_spec = continued(spec, number, "before", {})
        for found in (*worker_contradictions(stage_spec), *OF_VERBS[stage_spec.verb](stage_spec)):
            prefix: Keys = ("then", number - 1)
            yield Complaint(tuple((*prefix, *keys) for keys in found.about), f"{dotted(prefix)}.{found.message}")


def _which_verb(spec: Spec) -> Complaint:
    about: tuple[Keys, ...] = tuple((verb,) for verb in (spec.given[1:] or VERBS))
    if not spec.given:
        return Complaint(about, f"says not what to do: give one of {', '.join(VERBS)}, such as train: {{workers: 2}}.")
    first, *others = spec.given
    then = ", ".join(f"{verb}: …" for verb in others)
    return Complaint(
        about, f"{_listed(spec.given)} cannot be one run; for one after another: {first}: …, then: [{then}]."
    )


def _listed(verbs: tuple[str, ...]) -> str:
    return " and ".join(verbs) or "no verb"


OF_VERBS: Mapping[str, Callable[[Spec], Iterator[Complaint]]] = {
    "train": train_contradictions,
    "federate": federate_contradictions,
    "search": search_contradictions,
    "merge": merge_contradictions,
}

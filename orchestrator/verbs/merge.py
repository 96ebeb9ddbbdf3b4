"""The verb `merge`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.protocols import Quorum
from orchestrator.quorum import Full
from orchestrator.spec import Merge, Spec
from orchestrator.spec.merge import Parents as ParentsSection
from orchestrator.spec.merge import SourceFile
from orchestrator.strategies import Merging, MergingSettings, Parents, Wanted
from orchestrator.verbs.verb import Finished, Pairs, Results, Verb
from trainers import Split


def _section(spec: Spec) -> Merge:
    assert spec.merge is not None
    return spec.merge


def _strategy(spec: Spec) -> Merging:
    """spec: resolved, so that every source is a file."""
    merge = _section(spec)
    files = [source for source in merge.sources if isinstance(source, SourceFile)]
    assert len(files) == len(merge.sources), "the run's spec names files"
    return Merging(
        MergingSettings(
            wanted=[Wanted(name, options) for name, options in merge.grid],
            sources=[(file.name, file.model or {}) for file in files],
            with_base=merge.base is not None,
            parents=None if merge.parents is None else _parents(merge.parents),
            metric=merge.metric,
            mode=merge.mode,
            model=merge.model,
        )
    )


def _parents(parents: ParentsSection) -> Parents:
    training: dict[str, Any] = {
        "batch_size": parents.batch_size,
        "optimizer": {"name": parents.optimizer.name, **parents.optimizer.options},
        "clip_norm": parents.clip_norm,
        "validation": 1,  # they are judged with the candidates, on all of it
    }
    return Parents(parents.count, parents.start_epochs, parents.epochs, training)


def _quorum(spec: Spec) -> Quorum:
    return Full()


def _goal(spec: Spec) -> Goal:
    merge = _section(spec)
    sources = merge.most_sources
    candidates = sum(sources if name == "greedy_soup" else 1 for name, _ in merge.grid)
    trained = 0 if merge.parents is None else merge.parents.count + (merge.parents.start_epochs > 0)
    return Goal("progress", trained + sources + candidates, "models trained and judged" if trained else "models judged")


def _plan(spec: Spec, local: Local) -> Pairs:
    parts = [f"{local.samples(split):,} {split}" for split in (Split.VALIDATION, Split.TEST)]
    return [("judged on", f"{' and '.join(parts)} samples")]


def _describe(spec: Spec) -> Pairs:
    merge = _section(spec)
    if merge.parents is not None:
        parents = merge.parents
        sources = f"{parents.count} trained here, {_epochs(parents.epochs)} each, from one start of"
        sources = f"{sources} {_epochs(parents.start_epochs)}"
    else:
        sources = ", ".join(
            source if isinstance(source, str) else source.name or source.path for source in merge.sources
        )
    tries = len(merge.grid)
    candidates = ", ".join(dict.fromkeys(name for name, _ in merge.grid))
    return [
        ("workers", str(merge.workers)),
        ("sources", sources),
        ("candidates", candidates if tries == len(merge.method) else f"{candidates}: {tries} settings"),
        ("chosen by", f"{merge.metric} on validation data, {'most' if merge.mode == 'max' else 'least'}"),
    ]


def _epochs(count: float) -> str:
    return f"{count:g} epoch{'' if count == 1 else 's'}"


def _given(spec: Spec) -> Mapping[str, Path]:
    merge = _section(spec)
    sources = [source for source in merge.sources if isinstance(source, SourceFile)]
    given = {f"source.{number}": Path(source.path) for number, source in enumerate(sources)}
    if isinstance(merge.base, SourceFile):
        given["base"] = Path(merge.base.path)
    return given


def _resolved(spec: Spec) -> Spec:
    from orchestrator.merge_models import resolved

    return resolved(spec)


def _results(finished: Finished) -> Results:
    from orchestrator.results.merge import write_results

    return write_results(finished)


MERGE = Verb(_strategy, _quorum, _goal, _plan, _describe, given=_given, results=_results, resolved=_resolved)

"""What a merge leaves: the table of its candidates, a picture, and a manifest of what went into the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.journal.durable import write_durably
from orchestrator.records import GIVEN, Ref
from orchestrator.results.merge_picture import draw_merge
from orchestrator.results.merge_rows import MergeRow, write_table
from orchestrator.results.parents import parents
from orchestrator.searching.score import Mode, score
from orchestrator.sources import MLFLOW
from orchestrator.spec.merge import SourceFile
from orchestrator.strategies import Merging
from orchestrator.strategies.entry import Entry
from orchestrator.verbs.verb import Finished, Pairs, Results
from orchestrator.words import metric
from trainers import fingerprint

SHOWN = 12
"""Candidates that are printed, the best first; the table has all."""


@dataclass(frozen=True, slots=True)
class Judged:
    """By which metric of the task, and in which direction."""

    metric: str
    mode: Mode

    def score(self, value: float) -> float:
        """Higher is better; what is not finite is below all else."""
        return score(value, self.mode)

    def score_of(self, entry: Entry) -> float:
        return self.score(entry.metrics["validation"][self.metric])


def write_results(finished: Finished) -> Results:
    """Writes candidates.arrow, candidates.png and merge.json."""
    strategy, merge = finished.strategy, finished.spec.merge
    assert isinstance(strategy, Merging)
    assert merge is not None
    chosen, source = strategy.chosen, strategy.best_source
    assert chosen is not None
    assert source is not None
    judged = Judged(merge.metric, merge.mode)
    rows = [
        *(_row("source", entry, judged, entry is source) for entry in strategy.sources),
        *(_row("candidate", entry, judged, entry is chosen) for entry in strategy.candidates),
    ]
    folder = finished.files.results
    folder.mkdir(exist_ok=True)
    write_table(rows, folder / "candidates.arrow")
    draw_merge(rows, judged.metric, judged.score, folder / "candidates.png")
    manifest = _manifest(finished, strategy, chosen)
    write_durably(folder / "merge.json", [json.dumps(manifest, indent=1).encode()])
    tags = _lineage(finished, [file for file in merge.sources if isinstance(file, SourceFile)])
    printed = list(_printed(rows, chosen, source, judged))
    if merge.registered_as is not None and finished.spec.tracking.enabled:
        printed.append(("registered", f"models:/{merge.registered_as}/latest"))
    return Results(registered=merge.registered_as, tags=tags, rows=printed)


def _lineage(finished: Finished, files: Sequence[SourceFile]) -> Mapping[str, str]:
    """The runs that the sources came from, as far as they are known."""
    theirs = [file.name.removeprefix(MLFLOW) for file in files if file.name.startswith(MLFLOW)]
    return parents(finished, [file.run for file in files if file.run], theirs)


def _row(kind: str, entry: Entry, judged: Judged, best: bool) -> MergeRow:
    figures = {f"{split}_{name}": value for split, named in entry.metrics.items() for name, value in named.items()}
    value = entry.metrics["validation"][judged.metric]
    return MergeRow(kind, entry.label, entry.recipe, entry.options, entry.members, best, value, figures, entry.note)


def _printed(rows: Sequence[MergeRow], chosen: Entry, source: Entry, judged: Judged) -> Pairs:
    """Every candidate with its value, then before and after."""
    candidates = sorted((row for row in rows if row.kind == "candidate"), key=lambda row: -judged.score(row.value))
    left_out = len(candidates) - SHOWN
    listed = [
        ("candidates" if not number else "", f"{row.value:.4g} {row.label}" + (f": {row.note}" if row.note else ""))
        for number, row in enumerate(candidates[:SHOWN])
    ]
    more = [("", f"and {left_out} more in results/candidates.arrow")] if left_out > 0 else []
    ends = [("before", f"{source.label}: {_figures(source)}"), ("after", f"{chosen.label}: {_figures(chosen)}")]
    better = judged.score_of(chosen) > judged.score_of(source)
    verdict = "better than" if better else "no better than"
    return [*listed, *more, *ends, ("", f"the merge is {verdict} its best source on validation data")]


def _figures(entry: Entry) -> str:
    named = {f"{split}_{name}": value for split, metrics in entry.metrics.items() for name, value in metrics.items()}
    return ", ".join(metric(name, value) for name, value in sorted(named.items(), reverse=True))


def _manifest(finished: Finished, strategy: Merging, chosen: Entry) -> Mapping[str, Any]:
    """What went into the model, by hash, and how it was made."""
    merge = finished.spec.merge
    assert merge is not None
    files = [file for file in merge.sources if isinstance(file, SourceFile)]
    sources: list[Mapping[str, Any]] = [
        {
            "name": entry.label,
            "weights_sha256": _hash_of(finished, number) if files else "",
            **({"path": files[number].path, "run": files[number].run, "model": files[number].model} if files else {}),
        }
        for number, entry in enumerate(strategy.sources)
    ]
    return {
        "run": finished.files.run,
        "chosen": chosen.label,
        "recipe": chosen.recipe,
        "options": chosen.options,
        "members": [strategy.sources[member].label for member in chosen.members],
        "model": chosen.arguments,
        "weights_sha256": fingerprint(finished.values.get(chosen.weights)),
        "sources": sources,
        "base": merge.base.path if isinstance(merge.base, SourceFile) else ("trained here" if not files else None),
        "metrics": chosen.metrics,
    }


def _hash_of(finished: Finished, number: int) -> str:
    """Of a given source's tensors, which the run keeps a copy of."""
    return fingerprint(finished.values.get(Ref(f"{GIVEN}source.{number}")))

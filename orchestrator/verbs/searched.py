"""What a search by any method has: its section, what its trials have in common, and what they leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.protocols import Quorum, Strategy
from orchestrator.results.trial_rows import TrialRow, json_text
from orchestrator.searching.score import WORST
from orchestrator.searching.space import Config
from orchestrator.spec import Search, Spec
from orchestrator.spec.search_world import training_of
from orchestrator.strategies.chains import Course
from orchestrator.strategies.trial_table import TrialTable
from orchestrator.tracking import Child
from orchestrator.verbs.verb import Finished, Pairs, Results


@dataclass(frozen=True, slots=True)
class Method:
    """How a search may go; see `Verb`. describe: follows the method's name."""

    strategy: Callable[[Spec], Strategy]
    quorum: Callable[[Spec], Quorum]
    goal: Callable[[Spec], Goal]
    plan: Callable[[Spec, Local], Pairs]
    describe: Callable[[Spec], str]
    results: Callable[[Finished], Results]


def section_of(spec: Spec) -> Search:
    """The spec is one of a search."""
    assert spec.search is not None
    return spec.search


def course_of(spec: Spec) -> Course:
    """What all trials have in common."""
    search = section_of(spec)
    samples, learns = search.validation_samples or 0, spec.times.hard_deadline_s is None
    return Course(training_of(search), search.metric, search.mode, search.validate_every, samples, learns)


def rows_of(table: TrialTable, keep: int, course: Course) -> Sequence[TrialRow]:
    """Every trial, in the order of beginning; the best `keep`, whose weights are there, are ranked."""
    ranks = {kept.trial: rank for rank, kept in enumerate(table.best(keep), start=1)}
    return [
        TrialRow(
            trial=number,
            rank=ranks.get(number),
            status=trial.status,
            value=course.shown(trial.score) if trial.score > WORST else None,
            epochs=trial.epochs,
            seconds=trial.seconds,
            worker=trial.worker,
            began_s=trial.began_s,
            ended_s=trial.ended_s,
            config=trial.config,
            points=trial.points,
        )
        for number, trial in sorted(table.trials.items())
    ]


def write_trials(finished: Finished, table: TrialTable, rows: Sequence[TrialRow]) -> Sequence[Child]:
    """Table, picture, models of the best; returns these as nested runs. rows: all of the table."""
    from orchestrator.results.search import Best, Judged, write_search  # matplotlib, only where a picture is drawn

    search = section_of(finished.spec)
    numbered = {row.trial: row for row in rows}
    best = [
        Best(replace(numbered[kept.trial], config=kept.config), kept.weights, _model_of(search, kept.config))
        for kept in table.best(search.keep)
    ]
    return write_search(finished, list(rows), best, Judged(search.metric, search.mode))


def shown_config(config: Config) -> str:
    """For people."""
    return ", ".join(f"{name} {_short(value)}" for name, value in config.items())


def _model_of(search: Search, config: Config) -> Mapping[str, Any]:
    model = training_of(search).of(config)["model"]
    assert isinstance(model, Mapping)
    return model


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json_text(value)

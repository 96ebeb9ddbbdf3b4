"""The verb `search`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.protocols import Quorum, Strategy
from orchestrator.quorum import First
from orchestrator.results.trial_rows import TrialRow, json_text
from orchestrator.searching.declaration import names, read_space
from orchestrator.searching.score import WORST
from orchestrator.searching.searcher import Scope
from orchestrator.searching.searchers import SEARCHERS
from orchestrator.searching.space import Choice, Domain
from orchestrator.spec import Search, Spec
from orchestrator.spec.search_world import training_of
from orchestrator.strategies.chains import Course
from orchestrator.strategies.trials import Trials, TrialsSettings
from orchestrator.verbs.verb import Finished, Pairs, Results, Verb
from trainers import Split


@dataclass(frozen=True, slots=True)
class Method:
    """How a search may go. results: as of a `Verb`."""

    strategy: Callable[[Spec], Strategy]
    quorum: Callable[[Spec], Quorum]
    goal: Callable[[Spec], Goal]
    results: Callable[[Finished], Results]


def section_of(spec: Spec) -> Search:
    """The spec is one of a search."""
    assert spec.search is not None
    return spec.search


def scope_of(spec: Spec) -> Scope:
    """What a searcher is given."""
    search = section_of(spec)
    space, _ = read_space(search.space)
    return Scope(space, spec.seed, search.trials, search.epochs)


def course_of(search: Search) -> Course:
    """What all trials have in common."""
    training, samples = training_of(search), search.validation_samples or 0
    return Course(training, search.metric, search.mode, search.validate_every, samples)


def _trials(spec: Spec) -> Trials:
    search, scope = section_of(spec), scope_of(spec)
    confirm = search.confirm
    settings = TrialsSettings(
        course=course_of(search),
        trials=search.trials,
        epochs=search.epochs,
        top=confirm.top if confirm else 0,
        seeds=confirm.seeds if confirm else 0,
        keep=search.keep,
        first=scope.config(0),
    )
    return Trials(settings, SEARCHERS[search.method.name](scope, **search.method.options.model_dump()))


def _first(spec: Spec) -> First:
    return First()


def _goal_of_trials(spec: Spec) -> Goal:
    search = section_of(spec)
    confirming = search.confirm.top * search.confirm.seeds if search.confirm else 0
    return Goal("trials", search.trials + confirming, "trials")


def rows_of(trials: Trials) -> Sequence[TrialRow]:
    """Every trial, in the order of beginning; those whose weights are kept are ranked."""
    best = trials.table.best(trials.settings.keep)
    ranks = {kept.trial: rank for rank, kept in enumerate(best, start=1)}
    course = trials.settings.course
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
        for number, trial in sorted(trials.table.trials.items())
    ]


def _results_of_trials(finished: Finished) -> Results:
    from orchestrator.results.search import Best, Judged, write_search  # matplotlib, only where a picture is drawn

    trials, search = finished.strategy, section_of(finished.spec)
    assert isinstance(trials, Trials)
    rows = {row.trial: row for row in rows_of(trials)}
    best = [
        Best(replace(rows[kept.trial], config=kept.config), kept.weights, _model_of(trials, kept.config))
        for kept in trials.table.best(search.keep)
    ]
    judged = Judged(search.metric, search.mode)
    children = write_search(finished, list(rows.values()), best, judged)
    chosen = trials.chosen
    tags = {"ripieno.chosen_trial": str(chosen.trial), "ripieno.chosen": json.dumps(chosen.config)}
    return Results(children=children, tags=tags, rows=_told(trials, list(rows.values())))


def _model_of(trials: Trials, config: Mapping[str, Any]) -> Mapping[str, Any]:
    model = trials.settings.course.training.of(config)["model"]
    assert isinstance(model, Mapping)
    return model


def _told(trials: Trials, rows: Sequence[TrialRow]) -> Pairs:
    """For people."""
    statuses: dict[str, int] = {}
    for row in rows:
        statuses[row.status] = statuses.get(row.status, 0) + 1
    spent, whole = sum(row.epochs for row in rows), trials.settings.epochs
    confirming = whole * len(trials.confirmation.runs)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    chosen, course = trials.chosen, trials.settings.course
    confirmed = f", mean of {trials.settings.seeds} runs from scratch" if chosen.confirmed else ""
    return [
        ("trials", f"{len(rows)}: {counts}"),
        (
            "training",
            f"{spent:.4g} epochs of {whole * len(rows):g} if none had been stopped, and {confirming:g} to confirm",
        ),
        ("chosen", f"trial {chosen.trial}, {course.metric} {course.shown(chosen.score):.4g}{confirmed}"),
        ("", ", ".join(f"{name} {_short(value)}" for name, value in chosen.config.items())),
    ]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json_text(value)


def _plan(spec: Spec, local: Local) -> Pairs:
    search, samples = section_of(spec), local.samples(Split.TRAIN)
    epochs = search.trials * search.epochs
    most = f"at most {epochs:g} epochs of {samples:,} samples"
    return [("data", f"{samples:,} samples"), ("trials", f"{search.trials}, {most} in all")]


def _describe(spec: Spec) -> Pairs:
    search = section_of(spec)
    space, _ = read_space(search.space)
    options = ", ".join(
        f"{name} {value}" for name, value in search.method.options.model_dump(exclude_none=True).items()
    )
    how = (
        f"{search.method.name}{f' ({options})' if options else ''}, {search.trials} trials of {search.epochs:g} epochs"
    )
    confirm = search.confirm
    then = f"the best {confirm.top} on {confirm.seeds} seeds each" if confirm else "none: the best trial is the model"
    searched = [("space" if not n else "", _range(k[-1], p.domain)) for n, (k, p) in enumerate(names(space))]
    return [("workers", f"{search.workers}"), ("search", how), *searched, ("confirmation", then)]


def _range(name: str, domain: Domain) -> str:
    if isinstance(domain, Choice):
        return f"{name}: one of {', '.join(json_text(option.value) for option in domain.options)}"
    kind = type(domain).__name__.lower()
    return f"{name}: {kind} from {domain.low:g} to {domain.high:g}{', by logarithm' if domain.log else ''}"


OF_TRIALS = Method(_trials, _first, _goal_of_trials, _results_of_trials)

METHODS: Mapping[str, Method] = {
    **dict.fromkeys(SEARCHERS, OF_TRIALS),
}
"""By the name of `search.method`."""


def method_of(spec: Spec) -> Method:
    return METHODS[section_of(spec).method.name]


SEARCH = Verb(
    strategy=lambda spec: method_of(spec).strategy(spec),
    quorum=lambda spec: method_of(spec).quorum(spec),
    goal=lambda spec: method_of(spec).goal(spec),
    plan=_plan,
    describe=_describe,
    results=lambda finished: method_of(finished.spec).results(finished),
)

"""The verb `search`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.quorum import First
from orchestrator.results.trial_rows import TrialRow, json_text
from orchestrator.searching.declaration import names, read_space
from orchestrator.searching.searcher import Scope
from orchestrator.searching.searchers import SEARCHERS
from orchestrator.searching.space import Choice, Domain
from orchestrator.spec import Spec
from orchestrator.strategies.trials import Trials, TrialsSettings
from orchestrator.verbs.autohas import AUTOHAS
from orchestrator.verbs.searched import Method, course_of, rows_of, section_of, shown_config, write_trials
from orchestrator.verbs.start import given_start
from orchestrator.verbs.verb import Finished, Pairs, Results, Verb
from trainers import Split


def scope_of(spec: Spec) -> Scope:
    """What a searcher is given."""
    search = section_of(spec)
    space, _ = read_space(search.space)
    return Scope(space, spec.seed, search.trials, search.epochs)


def _trials(spec: Spec) -> Trials:
    search, scope = section_of(spec), scope_of(spec)
    confirm = search.confirm
    settings = TrialsSettings(
        course=course_of(spec),
        trials=search.trials,
        epochs=search.epochs,
        top=confirm.top if confirm else 0,
        seeds=confirm.seeds if confirm else 0,
        keep=search.keep,
        first=scope.config(0),
        started=search.start is not None,
    )
    return Trials(settings, SEARCHERS[search.method.name](scope, **search.method.options.model_dump()))


def _first(spec: Spec) -> First:
    return First()


def _goal_of_trials(spec: Spec) -> Goal:
    search = section_of(spec)
    confirming = search.confirm.top * search.confirm.seeds if search.confirm else 0
    return Goal("trials", search.trials + confirming, "trainings")


def _results_of_trials(finished: Finished) -> Results:
    from orchestrator.results.parents import parents_of_start

    trials = finished.strategy
    assert isinstance(trials, Trials)
    rows = rows_of(trials.table, trials.settings.keep, trials.settings.course)
    children = write_trials(finished, trials.table, rows)
    chosen = trials.chosen
    tags = {
        "ripieno.chosen_trial": str(chosen.trial),
        "ripieno.chosen": json.dumps(chosen.config),
        **parents_of_start(finished, section_of(finished.spec).start),
    }
    return Results(children=children, tags=tags, rows=_told(trials, rows))


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
        ("", shown_config(chosen.config)),
    ]


def _plan_of_trials(spec: Spec, local: Local) -> Pairs:
    search, samples = section_of(spec), local.samples(Split.TRAIN)
    epochs = search.trials * search.epochs
    most = f"at most {epochs:g} epochs of {samples:,} samples"
    return [("data", f"{samples:,} samples"), ("trials", f"{search.trials}, {most} in all")]


def _describe_trials(spec: Spec) -> str:
    search = section_of(spec)
    options = search.method.options.model_dump(exclude_none=True)
    shown = ", ".join(f"{name} {value}" for name, value in options.items())
    return f"{f'({shown}), ' if shown else ''}{search.trials} trials of {search.epochs:g} epochs"


def _describe(spec: Spec) -> Pairs:
    search = section_of(spec)
    space, _ = read_space(search.space)
    how = f"{search.method.name} {method_of(spec).describe(spec)}"
    confirm = search.confirm
    then = f"the best {confirm.top} on {confirm.seeds} seeds each" if confirm else "none: the best trial is the model"
    searched = [("space" if not n else "", _range(k[-1], p.domain)) for n, (k, p) in enumerate(names(space))]
    start = [("start", f"every trial from {search.start}")] if search.start is not None else []
    return [("workers", f"{search.workers}"), ("search", how), *start, *searched, ("confirmation", then)]


def _range(name: str, domain: Domain) -> str:
    if isinstance(domain, Choice):
        return f"{name}: one of {', '.join(json_text(option.value) for option in domain.options)}"
    kind = type(domain).__name__.lower()
    return f"{name}: {kind} from {domain.low:g} to {domain.high:g}{', by logarithm' if domain.log else ''}"


OF_TRIALS = Method(_trials, _first, _goal_of_trials, _plan_of_trials, _describe_trials, _results_of_trials)

METHODS: Mapping[str, Method] = {
    **dict.fromkeys(SEARCHERS, OF_TRIALS),
    "autohas": AUTOHAS,
}
"""By the name of `search.method`."""


def method_of(spec: Spec) -> Method:
    return METHODS[section_of(spec).method.name]


SEARCH = Verb(
    strategy=lambda spec: method_of(spec).strategy(spec),
    quorum=lambda spec: method_of(spec).quorum(spec),
    goal=lambda spec: method_of(spec).goal(spec),
    plan=lambda spec, local: method_of(spec).plan(spec, local),
    describe=_describe,
    given=lambda spec: given_start(spec, section_of(spec).start),
    results=lambda finished: method_of(finished.spec).results(finished),
)

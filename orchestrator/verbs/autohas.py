"""The method `autohas` of the verb `search`."""

from __future__ import annotations

import json

from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.protocols import Quorum
from orchestrator.searching.architectures import searches_training
from orchestrator.searching.basis import Category, basis
from orchestrator.searching.declaration import read_space
from orchestrator.searching.policy import PolicySettings
from orchestrator.spec import Search, Spec
from orchestrator.spec.autohas import AutohasOptions
from orchestrator.strategies import Autohas, AutohasSettings, FinaleSettings
from orchestrator.strategies.autohas import Weights
from orchestrator.verbs.quorums import quorum_name, quorum_of
from orchestrator.verbs.searched import Method, course_of, rows_of, section_of, shown_config, write_trials
from orchestrator.verbs.verb import Finished, Pairs, Results
from trainers import Split

FEWEST = 4  # candidates of an update: below, leave-one-out says little


def _options(search: Search) -> AutohasOptions:
    assert search.method.autohas is not None
    return search.method.autohas


def _decisions(search: Search) -> tuple[Category, ...]:
    space, _ = read_space(search.space)
    return basis(space, _options(search).values)


def _candidates(search: Search) -> int:
    return _options(search).candidates or max(FEWEST, search.most_workers)


def _weights(search: Search) -> Weights:
    """Warm shared weights mislead where training is searched: any large learning rate costs them accuracy at first."""
    chosen = _options(search).weights
    if chosen != "auto":
        return chosen
    return "fresh" if searches_training(_decisions(search)) else "kept"


def _warm_up(search: Search) -> int:
    options, weights = _options(search), _weights(search)
    if weights == "fresh":
        return 0
    quarter = options.updates // 4 if weights == "kept" else 0
    return quarter if options.warm_up is None else options.warm_up


def _strategy(spec: Spec) -> Autohas:
    search = section_of(spec)
    options, confirm = _options(search), search.confirm
    assert confirm is not None
    policy = PolicySettings(
        learning_rate=options.learning_rate,
        beta1=options.momentum,
        baseline=options.baseline,
        entropy=options.entropy,
        floor=options.floor,
    )
    settings = AutohasSettings(
        decisions=_decisions(search),
        seed=spec.seed,
        final=FinaleSettings(course_of(spec), confirm.top, confirm.seeds, search.epochs, search.keep),
        policy=policy,
        candidates=_candidates(search),
        updates=options.updates,
        steps=options.steps,
        validation=options.validation_samples,
        weights=_weights(search),
        renew=options.renew,
        share_steps=options.share_steps,
        warm_up=_warm_up(search),
        confident=options.confident,
        late=options.late,
    )
    return Autohas(settings)


def _quorum(spec: Spec) -> Quorum:
    return quorum_of(_options(section_of(spec)).quorum)


def _goal(spec: Spec) -> Goal:
    return Goal("update", _options(section_of(spec)).updates, "updates")


def _plan(spec: Spec, local: Local) -> Pairs:
    search, samples = section_of(spec), local.samples(Split.TRAIN)
    options, confirm = _options(search), search.confirm
    assert confirm is not None
    seen = options.updates * _candidates(search) * options.steps * search.batch_size / samples
    runs = confirm.top * confirm.seeds
    return [
        ("data", f"{samples:,} samples"),
        ("cost", f"about {seen:.3g} epochs to search at most, {runs * search.epochs:g} to confirm"),
    ]


def _describe(spec: Spec) -> str:
    search = section_of(spec)
    options = _options(search)
    tries = f"{options.updates} updates of {_candidates(search)} tries, {options.steps} steps each"
    return f"({tries}, weights {_weights(search)}, quorum {quorum_name(options.quorum)})"


def _results(finished: Finished) -> Results:
    from orchestrator.results.policy import write_policy  # matplotlib, only where a picture is drawn

    autohas, search = finished.strategy, section_of(finished.spec)
    assert isinstance(autohas, Autohas)
    course = autohas.settings.final.course
    rows = rows_of(autohas.table, search.keep, course)
    children = write_trials(finished, autohas.table, rows)
    write_policy(finished.history(), finished.files.results)
    best = autohas.finale.confirmation.ranking()[0]
    runs = len(rows) // len(autohas.finale.confirmation.configs)
    tags = {"ripieno.chosen": json.dumps(best.config)}
    told = [
        ("tries", f"{autohas.updates} updates, the cost of {autohas.cost_steps:,.0f} steps"),
        ("chosen", f"{course.metric} {course.shown(best.score):.4g}, mean of {runs} runs from scratch"),
        ("", shown_config(best.config)),
    ]
    return Results(children=children, tags=tags, rows=told)


AUTOHAS = Method(_strategy, _quorum, _goal, _plan, _describe, _results)

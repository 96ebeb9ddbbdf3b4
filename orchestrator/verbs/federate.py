"""The verb `federate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.goal import Goal
from orchestrator.local import Local
from orchestrator.protocols import Quorum
from orchestrator.quorum import Deadline, First, Static
from orchestrator.records import Json
from orchestrator.spec import Federate, Spec
from orchestrator.strategies import BufferedFederation, Federation, FederationSettings, Rounds
from orchestrator.verbs.quorums import quorum_name, quorum_of
from orchestrator.verbs.start import given_start
from orchestrator.verbs.verb import Finished, Pairs, Results, Verb
from trainers import Split

NOT_OF_THE_RULE = ("buffer", "max_staleness")
"""Options of an aggregation that are the strategy's to follow."""


def _section(spec: Spec) -> Federate:
    assert spec.federate is not None
    return spec.federate


def _strategy(spec: Spec) -> Federation | BufferedFederation:
    federate = _section(spec)
    rule, local = federate.aggregation, federate.local
    options = {name: value for name, value in rule.options.model_dump().items() if name not in NOT_OF_THE_RULE}
    settings = FederationSettings(
        seed=spec.seed,
        rounds=Rounds(federate.rounds, federate.needed, federate.asked, federate.evaluate_every.rounds),
        population=federate.population,
        partition=None if federate.real else _partition(spec, federate),
        local={"epochs": local.epochs, "batch_size": local.batch_size},
        optimizer={"name": local.optimizer.name, **local.optimizer.options},
        rule={"name": rule.name, **options},
        proxy=federate.proxy.model_dump(),
        decay=local.decay,
        control=rule.scaffold is not None,
        model=federate.model,
        started=federate.start is not None,
        min_workers=federate.least_workers,
    )
    if rule.fedbuff is not None:
        return BufferedFederation(settings, rule.fedbuff.max_staleness)
    return Federation(settings)


def _partition(spec: Spec, federate: Federate) -> Mapping[str, Json]:
    options: Mapping[str, Any] = federate.partition.options.model_dump()
    return {"kind": federate.partition.name, "clients": federate.population, "seed": spec.seed, **options}


def _quorum(spec: Spec) -> Quorum:
    """The whole of those needed is less than all that are asked, where more are asked."""
    federate = _section(spec)
    if federate.aggregation.fedbuff is not None:
        return First()
    whole = federate.quorum == "full" and federate.asked > federate.needed
    policy = Static(federate.needed) if whole else quorum_of(federate.quorum)
    return policy if federate.deadline_s is None else Deadline(policy, federate.deadline_s, federate.at_least)


def _goal(spec: Spec) -> Goal:
    return Goal("round", float(_section(spec).rounds), "rounds")


def _plan(spec: Spec, local: Local) -> Pairs:
    federate = _section(spec)
    proxy = f"{federate.proxy.samples} samples of the {federate.proxy.split} split"
    pairs = [("server's samples", proxy)] if federate.aggregation.uses_proxy else []
    if federate.real:
        return [("data", "each site's own"), *pairs]
    samples = local.samples(Split.TRAIN)
    return [("data", f"{samples:,} samples, about {samples // federate.population:,} a client"), *pairs]


def _describe(spec: Spec) -> Pairs:
    federate = _section(spec)
    optimizer, options = federate.local.optimizer, federate.aggregation.options.model_dump()
    epochs = "1 epoch" if federate.local.epochs == 1 else f"{federate.local.epochs} epochs"
    local = f"{epochs}, batches of {federate.local.batch_size}, {optimizer.name} ("
    local += ", ".join(f"{name} {value}" for name, value in optimizer.options.items()) + ")"
    rule = ", ".join(f"{name} {value}" for name, value in options.items())
    return [
        ("workers", f"{federate.workers}"),
        ("clients", _clients(federate)),
        ("rounds", f"{federate.rounds}, {_waits(federate)}"),
        ("client", local),
        ("aggregation", f"{federate.aggregation.name} ({rule})" if rule else federate.aggregation.name),
    ]


def _clients(federate: Federate) -> str:
    if federate.real:
        return f"{federate.workers} sites, {federate.asked} asked a round"
    options = ", ".join(f"{name} {value:g}" for name, value in federate.partition.options.model_dump().items())
    return f"{federate.population} simulated, {federate.asked} asked a round, {federate.partition.name} ({options})"


def _waits(federate: Federate) -> str:
    if federate.aggregation.fedbuff is not None:
        return f"one for every {federate.needed} updates"
    deadline = "" if federate.deadline_s is None else f", at most {federate.deadline_s:g} s"
    return f"quorum {quorum_name(federate.quorum)} of {federate.needed}{deadline}"


def _given(spec: Spec) -> Mapping[str, Path]:
    return given_start(spec, _section(spec).start)


def _results(finished: Finished) -> Results:
    from orchestrator.results.federate import write_federation
    from orchestrator.results.parents import parents_of_start

    assert isinstance(finished.strategy, Federation | BufferedFederation)
    partition = finished.strategy.partition
    rows: Sequence[tuple[str, str]] = write_federation(finished, finished.values.get(partition) if partition else {})
    return Results(tags=parents_of_start(finished, _section(finished.spec).start), rows=rows)


FEDERATE = Verb(_strategy, _quorum, _goal, _plan, _describe, _given, _results)

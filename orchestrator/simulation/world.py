"""What all quorums of a simulation share: how long work takes, what fails, how the loss falls, and who says so."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, log
from typing import NamedTuple

from orchestrator.local import Local
from orchestrator.pools.latency import Constant, Latency, chance
from orchestrator.pools.virtual import Faults
from orchestrator.simulation.curve import Curve, fitted
from orchestrator.simulation.learner import Computed, Learner, Modelled
from orchestrator.simulation.measure import Probe, probe
from orchestrator.simulation.observed import Watch
from orchestrator.simulation.options import Assumptions, CannotSimulate, latency_of, slow_of
from orchestrator.simulation.recorded import Recorded, recorded
from orchestrator.spec import Spec
from orchestrator.words import seconds

Said = tuple[tuple[str, str], ...]

FAILURES = 20_000  # that are drawn; a run that outlasts them goes on without


class World(NamedTuple):
    """learner: makes a new one, before its first step. said: what was taken from where."""

    latency: Latency
    faults: Faults
    learner: Callable[[], Learner]
    said: Said


class Timing(NamedTuple):
    """mean_s: of a gradient's round trip."""

    latency: Latency
    mean_s: float
    said: Said


def world_of(spec: Spec, given: Assumptions) -> World:
    """Raises CannotSimulate, JournalDamaged, RunFailed. Cost: reading the trace, or 96 gradients."""
    local = Local(spec)
    trace = recorded(given.trace, spec) if given.trace is not None else None
    steps = trace.steps(spec) if trace is not None else []
    times_known = trace is not None or given.step_seconds is not None
    known = times_known and (given.compute or bool(steps))
    probed = Probe() if known else probe(spec, local)
    timing = _traced(trace, spec) if trace is not None else _assumed(given, probed, spec)
    if given.compute:
        learner, learning = _computed(spec, local), "measured: real gradients of the task, on the virtual clock"
    else:
        curve = fitted(steps or probed.watch.steps)
        learner = _modelled(spec, curve, trace.watch if trace and steps else probed.watch)
        learning = _described(curve, f"run {trace.run}" if trace and steps else "this task, measured here")
    said = (*timing.said, ("failures", _failures(given)), ("learning", learning))
    return World(timing.latency, _faults(given, spec, timing.mean_s), learner, said)


def _computed(spec: Spec, local: Local) -> Callable[[], Learner]:
    return lambda: Computed(local, spec.section.most_workers)


def _modelled(spec: Spec, curve: Curve, watch: Watch) -> Callable[[], Learner]:
    assert spec.train is not None
    batch_size = spec.train.batch_size
    return lambda: Modelled(curve, watch.init, batch_size=batch_size, seed=spec.seed)


def _described(curve: Curve, source: str) -> str:
    return (
        f"modelled: a noisy quadratic, curvatures ∝ i^-{curve.power:g}, fitted to {curve.steps} steps of {source}; "
        f"its loss is off by {exp(curve.error) - 1:.0%} there"
    )


def _traced(trace: Recorded, spec: Spec) -> Timing:
    workers = len(trace.timings.gradients_s)
    drawn = f"drawn from the round trips of {workers} workers in run {trace.run}, {seconds(trace.mean_s)} on average"
    step = f"as in run {trace.run}, like evaluations"
    said = (("gradients", f"measured: {drawn}"), ("aggregation", f"measured: {step}"))
    return Timing(trace.latency(spec.section.most_workers), trace.mean_s, said)


def _assumed(given: Assumptions, probed: Probe, spec: Spec) -> Timing:
    """The shape is given; the mean too, or it is that of the task here."""
    assert spec.train is not None
    mean_s, aggregate_s = given.step_seconds, given.aggregate_seconds
    source = "given" if mean_s is not None else "measured here, without a network"
    if aggregate_s is not None:
        aggregated = "given"
    elif mean_s is not None:
        aggregate_s, aggregated = 0.0, "not given, and so nothing"
    else:
        aggregate_s, aggregated = probed.seconds("aggregate"), "measured here, of 8 gradients"
    mean_s = mean_s or probed.seconds("local_steps" if spec.train.local_steps > 1 else "gradient")
    slow, factor = slow_of(given.slow)
    latency = Latency(
        model=latency_of(given.latency, mean_s),
        factors=dict.fromkeys(range(slow), factor),
        by_kind={
            "init": Constant(0.0),
            "range_test": Constant(0.0),
            "evaluate": Constant(0.0),
            "aggregate": Constant(aggregate_s),
        },
    )
    slower = f"; {slow:,} of {spec.section.most_workers:,} workers {factor:g} times slower" if slow else ""
    said = (
        ("gradients", f"assumed: {given.latency}{slower}; a mean of {seconds(mean_s)}, {source}"),
        ("aggregation", f"{seconds(aggregate_s)}, {aggregated}; evaluations take no time"),
    )
    return Timing(latency, mean_s * (1 + slow * (factor - 1) / spec.section.most_workers), said)


def _faults(given: Assumptions, spec: Spec, mean_s: float) -> Faults:
    """Workers fail at times of their own, exponentially apart, whatever they are at; the aggregator never does."""
    if not given.crash_every_hours:
        return Faults()
    between_s, workers = given.crash_every_hours * 3600, spec.section.most_workers
    if mean_s > between_s:
        raise CannotSimulate(
            f"--crash-every {given.crash_every_hours:g} hours is too often for gradients of {seconds(mean_s)}: "
            "hardly one would ever be finished; give more hours."
        )
    leaves, joins = [], []
    for worker in range(workers):
        back_s = 0.0
        for number in range(ceil(FAILURES / workers)):
            gone_s = back_s - between_s * log(1 - chance(spec.seed, worker, number, 12))
            back_s = gone_s + given.restart_seconds
            leaves.append((gone_s, f"worker-{worker}"))
            joins.append((back_s, f"worker-{worker}"))
    return Faults(joins=joins, leaves=leaves)


def _failures(given: Assumptions) -> str:
    if not given.crash_every_hours:
        return "none"
    back = seconds(given.restart_seconds)
    return (
        f"assumed: every worker crashes once in {given.crash_every_hours:g} hours on average, and is back after {back}"
    )

"""What not waiting saved: the run played again on the virtual pool, from its own timings, and waiting for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil

from orchestrator.assemble import core_of
from orchestrator.outcome import TimeSaved
from orchestrator.pools.execute import Execute
from orchestrator.pools.latency import Constant, Latency, Model, Trace
from orchestrator.pools.virtual import VirtualPool
from orchestrator.protocols import Quorum
from orchestrator.quorum import make_quorum
from orchestrator.records import Actions, Decision, Evidence, Ref, Result, Wake, Work
from orchestrator.spec import Spec
from orchestrator.spec.variations import changed, without_judgement


@dataclass(slots=True)
class Timings:
    """Of one run, from its wakes: seconds of gradients by worker, of other work by kind, and what was waited for."""

    gradients_s: dict[str, list[float]] = field(default_factory=dict)
    others_s: dict[str, list[float]] = field(default_factory=dict)
    waited_for: list[int] = field(default_factory=list)
    init: Mapping[str, float] = field(default_factory=dict)  # metrics of the work that made the first weights
    _out: dict[int, tuple[Work, float]] = field(default_factory=dict)

    def seen(self, wake: Wake, actions: Actions) -> None:
        for event in wake.events:
            if not isinstance(event, Result) or event.work_id not in self._out:
                continue
            work, dispatched_s = self._out.pop(event.work_id)
            if event.failure is not None:
                continue
            elapsed_s = event.received_s - dispatched_s
            if work.kind in ("gradient", "local_steps"):
                self.gradients_s.setdefault(event.worker, []).append(elapsed_s)
            else:
                self.others_s.setdefault(work.kind, []).append(elapsed_s)
            if work.kind == "init":
                self.init = event.metrics
        for assignment in actions.submit:
            self._out[assignment.work.id] = (assignment.work, wake.now_s)
        self.waited_for.extend(closed.wait_for for closed in actions.closed)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The quorum that waits for what another run waited for, round by round."""

    waited_for: Mapping[int, int]

    def decide(self, evidence: Evidence) -> Decision:
        return Decision(min(self.waited_for.get(evidence.round, evidence.present), evidence.present), "as recorded")


def time_saved(spec: Spec, timings: Timings) -> TimeSaved | None:
    """Virtual seconds of a `train` run as it was, and had each step waited for all; None: no step was timed, or late
    gradients were interrupted, so that of the slow ones nobody knows how long they take.

    Both are simulated from the same recorded durations, drawn at random for each worker, so that what is compared is
    the waiting and nothing else. Workers that never finished a gradient are in neither; evaluations cost nothing.
    Cost: some 20 µs a gradient.
    """
    assert spec.train is not None
    if not timings.waited_for or not timings.init or spec.train.late == "interrupt":
        return None
    steps, gradients = len(timings.waited_for), sum(timings.waited_for)
    full, as_it_was = make_quorum("full"), Recorded(dict(enumerate(timings.waited_for, start=1)))
    return TimeSaved(
        full_s=_simulated_s(spec, timings, full, steps),
        actual_s=_simulated_s(spec, timings, as_it_was, steps),
        same_data_s=_simulated_s(spec, timings, full, ceil(gradients / len(timings.gradients_s))),
    )


def _simulated_s(spec: Spec, timings: Timings, quorum: Quorum, steps: int) -> float:
    traces = {number: Trace(timings.gradients_s[worker]) for number, worker in enumerate(sorted(timings.gradients_s))}
    more_data_than_steps_can_use = float(steps * max(len(traces), 1))
    played = changed(
        without_judgement(spec),
        epochs=more_data_than_steps_can_use,
        workers=len(traces),
        min_workers=None,
        learning_rate_rule="constant",
    )
    core = core_of(played, quorum)
    latency = Latency(by_worker=traces, by_kind=_means(timings.others_s))
    pool = VirtualPool(len(traces), _pretend(timings.init), seed=spec.seed, latency=latency)
    while steps > 0:
        wake = pool.wait(core.deadline_s)
        actions = core.handle(wake)
        pool.cancel(actions.cancel)
        pool.submit(actions.submit)
        steps -= len(actions.closed)
    return wake.now_s


def _means(durations: Mapping[str, Iterable[float]]) -> dict[str, Model]:
    means: dict[str, Model] = {"init": Constant(0.0), "evaluate": Constant(0.0)}
    if "aggregate" in durations:
        aggregate = list(durations["aggregate"])
        means["aggregate"] = Constant(sum(aggregate) / len(aggregate))
    return means


ANSWER = {"loss": 1.0, "norm2": 1.0, "samples": 1.0, "learning_rate": 1.0, "effective_learning_rate": 1.0}


def _pretend(init: Mapping[str, float]) -> Execute:
    """Answers of the right shape, with nothing computed."""

    def execute(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        outputs = {name: Ref(f"{work.id}.{name}") for name in ("weights", "optimizer", "gradient", "mean")}
        return outputs, init if work.kind == "init" else ANSWER

    return execute

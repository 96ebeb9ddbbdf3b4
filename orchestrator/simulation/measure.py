"""A few real steps of a task in this process: how long its gradients take, and what they look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from orchestrator.assemble import core_of
from orchestrator.errors import RunFailed
from orchestrator.local import Local
from orchestrator.pools.execute import WorkFailed
from orchestrator.pools.latency import Latency
from orchestrator.pools.virtual import VirtualPool
from orchestrator.quorum import make_quorum
from orchestrator.records import Work
from orchestrator.simulation.learner import Answer, Computed
from orchestrator.simulation.observed import Watch
from orchestrator.spec import Spec
from orchestrator.spec.common import EveryRounds
from orchestrator.spec.variations import changed, without_judgement

STEPS, GRADIENTS = 12, 8
"""Of a probe: so many steps, each along the mean of so many gradients."""


@dataclass(slots=True)
class Probe:
    """watch: its steps. elapsed_s: of each piece of work, by kind, on this machine with the spec's `threads`."""

    watch: Watch = field(default_factory=Watch)
    elapsed_s: dict[str, list[float]] = field(default_factory=dict)

    def seconds(self, kind: str) -> float:
        """Median, which leaves out the first one's warming up."""
        return median(self.elapsed_s[kind])


def probe(spec: Spec, local: Local) -> Probe:
    """Takes the first steps of a `train` spec, waiting for all of 8 workers, at its own learning rate.

    Raises RunFailed: the task's gradients cannot be computed, or are not finite.
    Cost: 96 gradients.
    """
    found, learner = Probe(), Computed(local, GRADIENTS)

    def timed(work: Work) -> Answer:
        began_s = perf_counter()
        try:
            return learner.execute(work)
        except WorkFailed as error:  # the same again would not help
            raise RunFailed(f"{work.kind}: {error.failure.message}", traceback=error.failure.traceback) from error
        finally:
            found.elapsed_s.setdefault(work.kind, []).append(perf_counter() - began_s)

    core = core_of(_shortened(spec), make_quorum("full"))
    pool = VirtualPool(GRADIENTS, timed, seed=spec.seed, latency=Latency())
    while len(found.watch.steps) < STEPS:
        actions = core.handle(pool.wait(core.deadline_s))
        found.watch.seen(actions)
        pool.submit(actions.submit)
        if actions.closed:
            learner.keep(core.held)
    return found


def _shortened(spec: Spec) -> Spec:
    """Its first steps, with statistics of the gradients, which `dynamic` asks for."""
    return changed(
        without_judgement(spec),
        workers=GRADIENTS,
        min_workers=None,
        quorum="dynamic",
        epochs=1e9,
        evaluate_every=EveryRounds(rounds=10**9),
        learning_rate_rule="constant",
    )

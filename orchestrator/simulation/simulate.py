"""A spec's run, before it is paid for: every quorum on the virtual clock, by the strategy and core of a real run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf

from orchestrator.driver import frozen_collector
from orchestrator.simulation.options import Assumptions, CannotSimulate, slow_of
from orchestrator.simulation.play import Played, play
from orchestrator.simulation.rows import Simulated, ordered, row_of
from orchestrator.simulation.world import World, world_of
from orchestrator.spec import Quorum, Spec, StaticQuorum, Train
from orchestrator.spec.common import QuorumName
from orchestrator.spec.train_contradictions import NEED_ARRIVALS
from orchestrator.spec.variations import changed, without_judgement

POLICIES: Sequence[QuorumName] = ("full", "dynamic", "dbw", "rate", "adasync")
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 15 / 16)
"""Static k that are tried, as shares of the workers."""

EVERY_K = 8  # up to so many workers each k is tried
MOST_ANSWERS = 60_000
"""Of a quorum's workers; then what its run would come to is extrapolated. Real gradients are computed to the end."""

Telling = Callable[[str, float], None]
"""Is told of a quorum, or of what is measured before, and the share of it that is done."""


def simulated(
    spec: Spec, given: Assumptions, *, workers: int | None = None, telling: Telling = lambda what, share: None
) -> Simulated:
    """Plays a checked `train` spec once for each quorum. Deterministic: where nothing is timed here, to the bit.

    workers: >= 1, instead of the spec's.

    Raises CannotSimulate, JournalDamaged, RunFailed.
    """
    if spec.train is None or spec.then:
        what = "a chain" if spec.then else spec.verb
        raise CannotSimulate(
            f"this spec is {what}, and simulate plays train specs: give one with a section train and no then."
        )
    workers, epochs = workers or spec.train.most_workers, spec.train.epochs
    if spec.train.local_steps > 1 and not given.compute:
        raise CannotSimulate(
            "train.local_steps is above 1, and the modelled curve takes single steps; --compute takes real ones."
        )
    if slow_of(given.slow)[0] > workers:
        raise CannotSimulate(f"--slow {given.slow} makes more workers slow than there are, {workers}.")
    if (spec.train.min_workers or 1) > workers:
        raise CannotSimulate(
            f"train.min_workers is {spec.train.min_workers}, and with {workers} workers no round would ever begin."
        )
    telling("measuring", 0.0)
    spec = changed(spec, workers=workers)
    world = world_of(spec, given)
    with frozen_collector():
        played = _played(spec if given.compute else without_judgement(spec), world, given, telling)
    target = given.target or _end_of(played["full"])
    chosen = _name(spec.train.quorum) if spec.train else ""
    rows = [
        row_of(
            name,
            each,
            chosen=name == chosen,
            workers=workers,
            epochs=epochs,
            target=target,
            price=given.price,
        )
        for name, each in played.items()
    ]
    return Simulated(workers, target, ordered(rows), world.said)


def _played(spec: Spec, world: World, given: Assumptions, telling: Telling) -> Mapping[str, Played]:
    """By the quorum's name."""
    assert spec.train is not None
    played: dict[str, Played] = {}
    for name, quorum in _quorums(spec.train).items():
        telling(name, 0.0)
        played[name] = play(
            changed(spec, quorum=quorum),
            world.learner(),
            latency=world.latency,
            faults=world.faults,
            most_answers=inf if given.compute else MOST_ANSWERS,
            progress=partial(telling, name),
        )
    return played


def _quorums(train: Train) -> Mapping[str, Quorum]:
    """By name, those that the spec may have."""
    mine, workers = train.quorum, train.most_workers
    policies = [name for name in POLICIES if train.late == "drop" or name not in NEED_ARRIVALS]
    shares = {round(share * workers) for share in SHARES}
    ks = set(range(1, workers)) if workers <= EVERY_K else shares & set(range(1, workers))
    if isinstance(mine, StaticQuorum):
        ks.add(mine.static.k)
    statics = [StaticQuorum.model_validate({"static": {"k": k}}) for k in sorted(ks)]
    return {**{name: name for name in policies}, **{_name(static): static for static in statics}}


def _name(quorum: Quorum) -> str:
    return f"static {quorum.static.k}" if isinstance(quorum, StaticQuorum) else quorum


def _end_of(played: Played) -> float:
    return played.points[-1].loss if played.points else 0.0

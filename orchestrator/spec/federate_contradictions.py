"""What of a `federate` cannot stand together."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.common import StaticQuorum
from orchestrator.spec.federate import FedBuffOptions, Federate
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, complaint, dotted

QUORUM: Keys = ("federate", "quorum")
OPTIMIZER: Keys = ("federate", "local", "optimizer", "name")


def federate_contradictions(spec: Spec) -> Iterator[Complaint]:
    federate = spec.federate
    assert federate is not None
    yield from _cohort(federate)
    yield from _proxy(federate)
    if federate.real and federate.partition.name != "iid":
        why = "divides the training data of this machine, but with clients: sites each has its own. Leave it out."
        yield complaint(("federate", "partition"), why, ("federate", "clients"))
    if federate.aggregation.scaffold is not None and not _steps_by_sgd(federate):
        why = f"is scaffold, whose controls are read off the steps of sgd, but {dotted(OPTIMIZER)} is "
        yield complaint(
            ("federate", "aggregation"), f"{why}{federate.local.optimizer.name}. Use sgd, or another rule.", OPTIMIZER
        )
    if federate.aggregation.fedbuff is not None:
        yield from _without_rounds(federate, federate.aggregation.fedbuff)
    else:
        yield from _quorum(federate)


def _steps_by_sgd(federate: Federate) -> bool:
    return federate.local.optimizer.name.lower() == "sgd"


def _cohort(federate: Federate) -> Iterator[Complaint]:
    population, whose = federate.population, ("federate", "workers" if federate.real else "clients")
    if (wanted := federate.clients_per_round or 0) > population:
        why = f"is {wanted} but there are {population} clients ({dotted(whose)}). Use at most {population}."
        yield complaint(("federate", "clients_per_round"), why, whose)
    elif federate.aggregation.fedbuff is None and federate.asked > population:
        most = population / federate.needed
        why = f"is {federate.over_sample:g}, which asks {federate.asked} clients a round, but there are {population}. "
        keys: Keys = ("federate", "clients_per_round")
        yield complaint(
            ("federate", "over_sample"), f"{why}Use at most {most:g}, or fewer {dotted(keys)}.", keys, whose
        )
    if federate.at_least > federate.needed:
        why = f"is {federate.at_least} but a round needs {federate.needed} updates. Use at_least <= {federate.needed}."
        yield complaint(("federate", "at_least"), why, ("federate", "clients_per_round"))


def _proxy(federate: Federate) -> Iterator[Complaint]:
    if not federate.aggregation.uses_proxy:
        return
    keys: Keys = ("federate", "proxy", "split")
    if federate.proxy.split == "train":
        why = "is train, so the server would learn from samples that are its clients' own. Use validation."
        yield complaint(keys, why)
    elif federate.proxy.split == "test":
        why = "is test, so the server would learn from samples that the model is judged by. Use validation."
        yield complaint(keys, why)


def _quorum(federate: Federate) -> Iterator[Complaint]:
    quorum, asked = federate.quorum, federate.asked
    if isinstance(quorum, StaticQuorum) and (k := quorum.static.k) > asked:
        why = f"is {k} but a round asks {asked} clients, so none could ever end. Use k <= {asked}."
        yield complaint((*QUORUM, "static", "k"), why, ("federate", "clients_per_round"), ("federate", "clients"))
    elif quorum in ("dbw", "adasync"):
        why = f"is {quorum}, a rule for single gradients. Use full, static: {{k: N}}, rate or dynamic."
        yield complaint(QUORUM, why)
    elif quorum == "dynamic":
        if not _steps_by_sgd(federate):
            why = f"is dynamic, which reads noise off the steps of sgd, but {dotted(OPTIMIZER)} is "
            yield complaint(QUORUM, f"{why}{federate.local.optimizer.name}. Use rate, or sgd.", OPTIMIZER)
        if not federate.real and asked > federate.most_workers:
            why = f"is dynamic, which foresees rounds of one client a worker, but {asked} clients are asked of "
            remedy = f"{federate.most_workers} workers. Use rate, or federate.workers >= {asked}."
            yield complaint(QUORUM, why + remedy, ("federate", "workers"), ("federate", "clients_per_round"))


def _without_rounds(federate: Federate, fedbuff: FedBuffOptions) -> Iterator[Complaint]:
    """A buffered federation has no barrier, and so nothing to wait for."""
    rule: Keys = ("federate", "aggregation")
    no_rounds = "fedbuff has no rounds to wait for"
    if federate.quorum != "full":
        yield complaint(QUORUM, f"says how many updates to wait for, but {no_rounds}. Leave it out.", rule)
    if federate.over_sample > 1:
        keys: Keys = ("federate", "over_sample")
        yield complaint(keys, f"is {federate.over_sample:g}, but {no_rounds}. Leave it out.", rule)
    if federate.deadline_s is not None:
        yield complaint(("federate", "deadline_s"), f"is {federate.deadline_s:g}, but {no_rounds}. Leave it out.", rule)
    if fedbuff.buffer > federate.population:
        why = f"is {fedbuff.buffer} but there are {federate.population} clients, and each is in it once at most. "
        keys = (*rule, "fedbuff", "buffer")
        yield complaint(keys, f"{why}Use at most {federate.population}.", ("federate", "clients"))

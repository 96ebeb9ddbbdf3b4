"""Clients of one number each, whose local training goes halfway there: a federation in no time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from orchestrator.pools.latency import chance
from orchestrator.quorum import Deadline, make_quorum
from orchestrator.strategies import BufferedFederation, Federation, FederationSettings, Rounds
from tests.support.toys.case import Answer, Case, Kinds
from tests.support.toys.train import SIZE, evaluate, init

CLIENTS = 12


def _partition(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    return {"partition": {"sizes": torch.full((params["partition"]["clients"],), 10)}}, {}


def _local_update(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """Half of the way to the client's target, and a little that belongs to the work; a state that counts its visits."""
    client = int(params["client"].rpartition("-")[2])  # "3", or the site "worker-3"
    target = [chance(seed, client, i) for i in range(SIZE)]
    noise = [0.1 * chance(seed, work_id, i) for i in range(SIZE)]
    w = inputs["weights"]["w"]
    update = w + (torch.tensor(target, dtype=torch.float64) - w) / 2 + torch.tensor(noise, dtype=torch.float64)
    outputs: dict[str, dict[str, Any]] = {"update": {"w": update}}
    if params["control"]:
        before = inputs["client"]["visits"] if "client" in inputs else torch.zeros(())
        outputs["client"] = {"visits": before + 1}
    loss = float((w - update).square().sum())
    metrics = {"samples": 10.0 + client % 3, "loss": loss, "first_loss": 2 * loss, "reach": 0.5}
    return outputs, metrics


def _combine(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """The mean by samples, staler ones less; the server's state is the sum of all clients' visits."""
    shares = {one["id"]: one["samples"] / (1 + one["staleness"]) for one in params["updates"]}
    updates = {work: inputs[f"update.{work}"]["w"] for work in shares}
    mean = sum((updates[work] * share for work, share in shares.items()), torch.zeros(SIZE, dtype=torch.float64))
    weights = mean / sum(shares.values())
    steps = [update - inputs["weights"]["w"] for update in updates.values()]
    step = sum(steps, torch.zeros(SIZE, dtype=torch.float64)) / len(steps)
    metrics = {
        "counted": float(len(updates)),
        "sum_norm2": sum(float(each @ each) for each in steps),
        "mean_norm2": float(step @ step),
    }
    outputs = {"weights": {"w": weights}}
    if params["rule"]["name"] == "scaffold":
        visits = inputs["server"]["visits"] if "server" in inputs else torch.zeros(())
        for work in shares:
            visits = visits + inputs[f"client.{work}"]["visits"]
            visits = visits - (inputs[f"before.{work}"]["visits"] if f"before.{work}" in inputs else 0)
        outputs["server"] = {"visits": visits}
    return outputs, metrics


KINDS: Kinds = {
    "init": init,
    "partition": _partition,
    "local_update": _local_update,
    "combine": _combine,
    "evaluate": evaluate,
}


def settings(rule: str, *, asked: int = 6, needed: int = 4, rounds: int = 8, real: bool = False) -> FederationSettings:
    """Of simulated clients, or of workers that are clients themselves."""
    return FederationSettings(
        seed=7,
        rounds=Rounds(rounds, needed=needed, asked=asked, evaluate_every=3),
        population=CLIENTS,
        partition=None if real else {"kind": "iid", "clients": CLIENTS, "seed": 7},
        local={"epochs": 1, "batch_size": 5},
        optimizer={"name": "sgd", "lr": 0.1},
        rule={"name": rule},
        proxy={"split": "validation", "samples": 10},
        decay=0.99,
        control=rule == "scaffold",
    )


CASES: Mapping[str, Case] = {
    **{
        f"federate {rule} {quorum}": Case(
            partial(Federation, settings(rule)), partial(make_quorum, quorum, **options), KINDS
        )
        for rule, quorum, options in (
            ("fedlaw", "full", {}),
            ("fedlaw", "dynamic", {}),
            ("scaffold", "rate", {}),
            ("scaffold", "static", {"k": 4}),
        )
    },
    "federate with a deadline": Case(
        partial(Federation, settings("scaffold")), partial(Deadline, make_quorum("full"), 0.8, 2), KINDS
    ),
    "federate sites": Case(
        partial(Federation, settings("scaffold", asked=4, needed=3, real=True)),
        partial(make_quorum, "static", k=3),
        KINDS,
    ),
    "federate buffered": Case(
        partial(BufferedFederation, settings("fedbuff", asked=5, needed=3)), partial(make_quorum, "first"), KINDS
    ),
    "federate buffered sites": Case(
        partial(BufferedFederation, settings("fedbuff", asked=5, needed=3, real=True)),
        partial(make_quorum, "first"),
        KINDS,
    ),
}
"""Rounds with every quorum that makes sense for them, a deadline, real sites, and a buffer."""

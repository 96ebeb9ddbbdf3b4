"""The server's part of a federated round: the next weights from those of the clients that were counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan, sqrt
from typing import Any

import msgspec

from trainers.aggregation import Cohort, Combined, Rule, Update, make_rule
from trainers.aggregation.spread import spread
from trainers.context import Context
from trainers.flat import PARAMETERS
from trainers.kinds.kind import Json, Outputs
from trainers.mean import squared_distance
from trainers.proxy import Proxy
from trainers.task import Split
from trainers.tensors import Tensors


class Counted(msgspec.Struct, frozen=True):
    """An update: its work's id, its client's name and samples, and how many versions old its first weights were."""

    id: int
    client: str
    samples: float
    staleness: int = 0


class ProxySet(msgspec.Struct, frozen=True):
    """`samples` >= 1 of `split`, all classes alike; only rules that learn look at them."""

    split: Split
    samples: int


class Combine(msgspec.Struct, frozen=True):
    """rule: its name and options. population: clients in all. model: see Init."""

    updates: list[Counted]
    rule: dict[str, Any]
    population: int
    proxy: ProxySet
    model: dict[str, Any]


def combine(inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Inputs "weights", "update.<work id>"s and, where they differ from the weights, "base.<work id>"s, what each
    started from; "server", "client.<work id>" and "before.<work id>" are the rule's state and the clients', now and
    before, as far as there are any. Outputs the new "weights", and "server" if the rule has a state.

    An update that is not finite is left out, whatever the rule; if none is left, all stays as it is.
    Metrics: counted, dropped, samples, update_norm (‖new - old weights‖), sum_norm2, mean_norm2 and, of two or more
        clients, coherence (see `Spread`), and the rule's.
    Raises:
        WeightsMismatch: an update is another model's. RuleUnknown; and what a proxy raises.
    Exact: sums run in order of work id; inputs are not modified.
    """
    asked = msgspec.convert(params, Combine)
    rule = make_rule(asked.rule)
    layout = context.model(asked.model).layout
    weights = inputs["weights"]
    for name, value in inputs.items():
        if name == "weights" or name.startswith(("update.", "base.")):
            layout.require_fits(name, value)
    sent = [_update(counted, inputs) for counted in sorted(asked.updates, key=lambda counted: counted.id)]
    updates = [update for update in sent if _usable(update, rule)]
    server = inputs.get("server", {})
    if updates:
        proxy = Proxy(context, asked.model, asked.proxy.split, asked.proxy.samples)
        with context.randomness():  # of the proxy's samples too, if they are drawn anew each time
            combined = rule.combine(Cohort(weights, updates, asked.population, server), proxy)
    else:
        combined = Combined(_copied(weights), _copied(server), {})
    metrics = {**_figures(weights, combined, updates), "dropped": float(len(sent) - len(updates)), **combined.metrics}
    state = {"server": combined.state} if combined.state else {}
    return {"weights": combined.weights, **state}, metrics


def _figures(weights: Tensors, combined: Combined, updates: Sequence[Update]) -> dict[str, float]:
    clients = spread([(update.weights[PARAMETERS], update.base[PARAMETERS]) for update in updates])
    return {
        "counted": float(len(updates)),
        "samples": sum(update.samples for update in updates),
        "update_norm": sqrt(squared_distance(combined.weights[PARAMETERS], weights[PARAMETERS])),
        "sum_norm2": clients.sum_norm2,
        "mean_norm2": clients.mean_norm2,
        **({} if isnan(clients.coherence) else {"coherence": clients.coherence}),
    }


def _copied(value: Tensors) -> Tensors:
    return {name: tensor.clone() for name, tensor in value.items()}


def _update(counted: Counted, inputs: Mapping[str, Tensors]) -> Update:
    return Update(
        work_id=counted.id,
        client=counted.client,
        samples=counted.samples,
        weights=inputs[f"update.{counted.id}"],
        base=inputs.get(f"base.{counted.id}", inputs["weights"]),
        staleness=counted.staleness,
        state=inputs.get(f"client.{counted.id}", {}),
        state_before=inputs.get(f"before.{counted.id}", {}),
    )


def _usable(update: Update, rule: Rule) -> bool:
    """Whether it can be summed: a client that nobody here trusts may send anything."""
    if not (isfinite(update.samples) and update.samples > 0):
        return False
    if rule.has_control and not update.state:
        return False
    if any(value.shape != update.weights[PARAMETERS].shape for value in update.state.values()):
        return False
    values = (*update.weights.values(), *update.state.values(), *update.state_before.values())
    return all(bool(value.isfinite().all()) for value in values if value.is_floating_point())

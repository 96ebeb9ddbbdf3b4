"""Federated rounds by the kinds of work alone, as a strategy asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.unit.trainers.tasks import Digits
from trainers import Context, Split, Task, Tensors, run_kind

PLAIN: dict[str, Any] = {"name": "sgd", "lr": 0.1}


@dataclass
class Federation:
    """Holds the newest weights and what server and clients remember."""

    rule: Mapping[str, Any]
    clients: int = 4
    architecture: str = "mlp"
    epochs: int = 1
    batch_size: int = 64
    optimizer: Mapping[str, Any] = field(default_factory=lambda: PLAIN)
    alpha: float = 0.5
    proxy_samples: int = 50
    task: Task = field(default_factory=Digits)
    model: Mapping[str, Any] | None = None
    seed: int = 3
    work_id: int = 0

    def __post_init__(self) -> None:
        self.context = Context(self.task, self.seed)
        self.arguments = {"architecture": self.architecture} if self.model is None else self.model
        outputs, _ = self.run("init", {}, {"optimizer": self.optimizer})
        self.weights = outputs["weights"]
        self.control = self.rule["name"] == "scaffold"
        self.server: Tensors = {}
        self.states: dict[int, Tensors] = {}
        self.metrics: Mapping[str, float] = {}

    def run(
        self, kind: str, inputs: Mapping[str, Tensors], params: Mapping[str, Any]
    ) -> tuple[Mapping[str, Tensors], Mapping[str, float]]:
        """The next piece of work."""
        self.work_id += 1
        return run_kind(kind, inputs, {"model": self.arguments, **params}, self.context.for_work(self.work_id))

    def local_update(self, client: int) -> tuple[Mapping[str, Tensors], Mapping[str, float]]:
        inputs = {"weights": self.weights}
        if self.control and self.server:
            inputs["server"] = self.server
        if self.control and client in self.states:
            inputs["client"] = self.states[client]
        partition = {"kind": "dirichlet", "clients": self.clients, "seed": 1, "alpha": self.alpha, "minimum": 5}
        params = {
            "client": str(client),
            "simulated": {"number": client, "partition": partition},
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "control": self.control,
        }
        return self.run("local_update", inputs, params)

    def combine(
        self, sent: Mapping[int, tuple[str, float, Tensors]], further: Mapping[str, Tensors]
    ) -> tuple[Mapping[str, Tensors], Mapping[str, float]]:
        """sent: work id -> client, samples, update."""
        inputs = {"weights": self.weights, **further}
        inputs |= {f"update.{work_id}": update for work_id, (_, _, update) in sent.items()}
        updates = [{"id": work_id, "client": name, "samples": n} for work_id, (name, n, _) in sent.items()]
        params = {
            "updates": updates,
            "rule": self.rule,
            "population": self.clients,
            "proxy": {"split": Split.VALIDATION, "samples": self.proxy_samples},
        }
        return self.run("combine", inputs, params)

    def round(self, clients: Sequence[int]) -> None:
        """Each of these clients trains, and all are combined."""
        sent: dict[int, tuple[str, float, Tensors]] = {}
        further: dict[str, Tensors] = {"server": self.server} if self.server else {}
        for client in clients:
            outputs, metrics = self.local_update(client)
            sent[self.work_id] = (str(client), metrics["samples"], outputs["update"])
            if self.control:
                further[f"client.{self.work_id}"] = outputs["client"]
                if client in self.states:
                    further[f"before.{self.work_id}"] = self.states[client]
                self.states[client] = outputs["client"]
        outputs, self.metrics = self.combine(sent, further)
        self.weights, self.server = outputs["weights"], outputs.get("server", {})

    def accuracy(self) -> float:
        count = self.context.samples(Split.TEST)
        params = {"split": "test", "start": 0, "count": count}
        return self.run("evaluate", {"weights": self.weights}, params)[1]["accuracy"]

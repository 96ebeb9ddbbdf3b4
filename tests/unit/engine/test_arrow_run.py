"""Data in mapped files train to the same bits as the same data in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.lifecycle import start
from orchestrator.spec import Spec
from tests.support import arrow_task
from tests.support.runs import inline

SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9}
VERBS: dict[str, dict[str, Any]] = {
    "train": {"workers": 3, "batch_size": 50, "quorum": {"static": {"k": 2}}, "epochs": 1, "optimizer": SGD},
    "federate": {
        "workers": 2,
        "clients": 5,
        "rounds": 2,
        "partition": {"dirichlet": {"alpha": 0.5}},
        "local": {"epochs": 1, "batch_size": 20, "optimizer": SGD},
        "proxy": {"samples": 50},
        "aggregation": "fedlaw",
    },
    "search": {
        "workers": 2,
        "method": "random",
        "trials": 3,
        "epochs": 1,
        "space": {"optimizer.lr": {"log": [0.01, 0.2]}, "model.width": {"choice": [16, 32]}},
        "batch_size": 50,
        "optimizer": SGD,
        "confirm": {"top": 1, "seeds": 2},
    },
}


@pytest.mark.parametrize("verb", list(VERBS))
def test_mapped_data_train_to_the_bits_of_data_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    arrow_task.write_digits(tmp_path)
    monkeypatch.setattr(arrow_task.Digits, "folder", tmp_path, raising=False)
    mapped, in_memory = (
        start(spec(verb, module, tmp_path), open_pool=inline, name=module) for module in ("arrow_task", "digits_task")
    )
    assert mapped.outcome == in_memory.outcome == "done"
    assert mapped.weights_sha256 == in_memory.weights_sha256 != ""
    assert mapped.metrics["test_accuracy"] == in_memory.metrics["test_accuracy"]


def spec(verb: str, module: str, state: Path) -> Spec:
    return Spec.model_validate(
        {
            "task": f"tests.support.{module}:Digits",
            verb: VERBS[verb],
            "state": str(state),
            "tracking": {"enabled": False},
        }
    )

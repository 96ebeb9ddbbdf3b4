"""Versions of the model in files while a run goes on, and training in full on the real small task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from orchestrator.lifecycle import resume, start
from orchestrator.local import arguments_of
from tests.support.runs import StopAfter, digits_spec, inline, virtual
from trainers import fingerprint

EVERY = {"checkpoints": {"every": {"epochs": 0.5}, "keep": 2, "best": {}}, "evaluate_every": {"epochs": 0.5}}


def files(run: Path) -> list[str]:
    return sorted(file.name for file in (run / "checkpoints").iterdir())


def test_the_newest_and_the_best_lie_on_disk_and_can_be_opened(tmp_path: Path) -> None:
    outcome = start(digits_spec(tmp_path, **EVERY), open_pool=inline)
    assert files(outcome.folder) == ["best.safetensors", "step-00000009.safetensors", "step-00000012.safetensors"]
    for name in files(outcome.folder):
        file = outcome.folder / "checkpoints" / name
        assert load_file(file).keys() == load_file(outcome.folder / "model.safetensors").keys()
        assert arguments_of(file) == {}


def test_a_resumed_run_keeps_what_the_uninterrupted_one_would(tmp_path: Path) -> None:
    whole = start(digits_spec(tmp_path / "whole", **EVERY), open_pool=inline, name="r")
    spec = digits_spec(tmp_path / "cut", **EVERY)
    cut = start(spec, open_pool=inline, name="r", stop=(stop := StopAfter(20)), observers=[stop])
    assert cut.outcome == "interrupted"
    (
        cut.folder / "checkpoints" / "step-00000001.safetensors"
    ).touch()  # of an engine that was killed before it removed it
    resumed = resume(cut.folder, open_pool=inline)
    assert files(resumed.folder) == files(whole.folder)
    for name in files(whole.folder):
        both = [load_file(run.folder / "checkpoints" / name) for run in (whole, resumed)]
        assert fingerprint(both[0]) == fingerprint(both[1])


def test_a_disk_that_takes_no_checkpoint_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    spec = digits_spec(tmp_path / "state", **EVERY)

    class Blocks:
        """Puts a file where the folder of checkpoints would be."""

        def seen(self, wake: Any, actions: Any) -> None:
            folder = tmp_path / "state" / "r" / "checkpoints"
            if not folder.exists():
                folder.touch()

    outcome = start(spec, open_pool=inline, name="r", observers=[Blocks()])
    assert outcome.outcome == "done"


@pytest.mark.parametrize(
    "settings",
    [
        {"late": "interrupt", "micro_batch_size": 10, "quorum": "dynamic"},
        {"epochs": 4, "precision": "float16", "average": "ema", "learning_rate_rule": "proportional", "quorum": "rate"},
        {"local_steps": 4, "epochs": 6, "quorum": "dynamic", "optimizer": {"name": "sgd", "lr": 0.1}},
        {
            "local_steps": 4,
            "epochs": 12,
            "quorum": "rate",
            "optimizer": {"name": "adamw", "lr": 0.003},
            "learning_rate_schedule": {"name": "CosineAnnealingLR", "T_max": 20},
        },
        {"epochs": 5, "average": {"lawa": {"checkpoints": 3, "every": {"epochs": 0.5}}}, "learning_rate_rule": "knee"},
        {"optimizer": {"name": "adamw", "lr": 0.003}, "quorum": "dynamic", "early_stopping": {}, "epochs": 6},
    ],
    ids=["interrupt", "float16", "local sgd", "local adamw", "lawa and knee", "early stopping"],
)
def test_training_in_full_learns_the_digits(tmp_path: Path, settings: dict[str, Any]) -> None:
    outcome = start(digits_spec(tmp_path, **settings), open_pool=virtual())
    assert outcome.outcome == "done", outcome.reason
    assert outcome.metrics["test_accuracy"] > 0.8  # chance is 0.1

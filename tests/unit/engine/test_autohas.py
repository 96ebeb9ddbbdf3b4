"""Searches by AutoHAS from spec to model on pools in this process: what they leave behind, and how they replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orchestrator.lifecycle import start
from orchestrator.local import arguments_of
from orchestrator.pools.virtual import Faults
from orchestrator.spec import Spec
from orchestrator.verify import replay
from tests.support.runs import inline, virtual

STORM = Faults(crash=0.02, back_s=1.5, lost=0.002, lost_after_s=4.0, duplicate=0.1, slow=0.1)
BOTH = {"model.width": {"choice": [8, 32]}, "optimizer.lr": {"log": [0.05, 1.0]}}


def searched(state: Path, space: Any = BOTH, **options: Any) -> Spec:
    """Eight updates of digits on four workers, untracked; options: of the method."""
    return Spec.model_validate(
        {
            "task": "tests.support.digits_task:Digits",
            "search": {
                "workers": 4,
                "epochs": 4,
                "space": space,
                "method": {"autohas": {"updates": 8, "steps": 10, **options}},
                "optimizer": {"name": "sgd", "lr": 0.1},
                "confirm": {"top": 2, "seeds": 2},
                "keep": 3,
            },
            "state": str(state),
            "tracking": {"enabled": False},
        }
    )


CASES: dict[str, dict[str, Any]] = {
    "fresh, all waited for": {},
    "fresh, two of four, late ones used": {"quorum": {"static": {"k": 2}}},
    "young, as many as pay": {"weights": "young", "quorum": "rate", "late": False},
    "kept": {"space": {"model.width": {"choice": [8, 16, 32]}}},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=list(CASES))
def test_a_stormy_search_ends_with_a_model_and_gives_the_bits_of_its_replay(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    outcome = start(searched(tmp_path, **changes), open_pool=virtual(STORM))
    assert outcome.metrics["test_accuracy"] > 0.5
    assert replay(outcome.folder).same


def test_a_search_in_this_process_leaves_tables_pictures_and_models(tmp_path: Path) -> None:
    outcome = start(searched(tmp_path), open_pool=inline)
    table = pa.ipc.open_file(pa.memory_map(str(outcome.folder / "results" / "trials.arrow"))).read_all()
    assert table.num_rows == 4
    assert sorted(rank for rank in table["rank"].to_pylist() if rank) == [1, 2, 3]
    policy = pa.ipc.open_file(pa.memory_map(str(outcome.folder / "results" / "policy.arrow"))).read_all()
    assert policy["update"].to_pylist() == list(range(1, 9))
    assert all(0 < confidence < 1 for confidence in policy["confidence"].to_pylist())
    for picture in ("trials.png", "policy.png"):
        assert (outcome.folder / "results" / picture).read_bytes().startswith(b"\x89PNG")
    models = sorted((outcome.folder / "models").iterdir())
    assert [file.name[:3] for file in models] == ["01-", "02-", "03-"]
    assert arguments_of(models[0])["width"] in (8, 32)
    assert outcome.metrics["validation_accuracy"] > 0.5

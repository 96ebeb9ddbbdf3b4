"""What a run would do, told without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.local import Local
from orchestrator.verbs import verb_of
from tests.support.runs import digits_spec


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "1,200 samples: 24 gradients, 6 to 24 rounds an epoch"),
        ({"workers": 1}, "1,200 samples: 24 gradients, 24 rounds an epoch"),
        ({"local_steps": 4}, "1,200 samples: 6 gradients, 2 to 6 rounds an epoch"),
    ],
)
def test_the_rounds_of_an_epoch_are_those_of_its_blocks(
    settings: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    spec = digits_spec(tmp_path, **settings)
    assert ("data", expected) in verb_of(spec).plan(spec, Local(spec))

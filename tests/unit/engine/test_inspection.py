"""What a site may answer, and what is refused before it counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cluster.shared_memory import SharedFolder
from orchestrator.inspection import inspector
from orchestrator.records import Ref, Result, Work
from trainers.tensors import encode

WEIGHTS: Mapping[str, Tensor] = {"parameters": torch.arange(6.0), "buffer.seen": torch.tensor(3)}
METRICS = {"samples": 8.0, "loss": 1.0, "first_loss": 2.0, "steps": 1.0, "update_norm": 0.5}
UPDATE = Work(7, 0, "local_update", {"weights": Ref("3.weights")}, {"control": True})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SharedFolder]:
    folder = SharedFolder(tmp_path / "shared", create=True)
    folder.write("3.weights", encode(WEIGHTS))
    folder.write("7.update", encode(WEIGHTS))
    folder.write("7.client", encode({"parameters": torch.zeros(6)}))
    yield folder
    folder.close()


def answer(outputs: Mapping[str, str] | None = None, metrics: Mapping[str, float] = METRICS) -> Result:
    named = {"update": "7.update", "client": "7.client"} if outputs is None else outputs
    return Result(7, 1, "north", {name: Ref(ref) for name, ref in named.items()}, metrics, 0.1, 1.0)


def test_a_good_answer_is_let_through(folder: SharedFolder) -> None:
    assert inspector(folder)(UPDATE, answer()) == ""


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (answer({}), "it lacks client, update"),
        (answer(metrics={"loss": 1.0}), "it lacks first_loss, samples, steps, update_norm"),
        (answer(metrics=METRICS | {"samples": 0.0}), "its samples is 0"),
        (answer(metrics=METRICS | {"samples": -5.0}), "its samples is -5"),
        (answer(metrics=METRICS | {"reach": 0.0}), "its reach is 0"),
        (answer(metrics=METRICS | {"loss": float("nan")}), "its loss is nan"),
        (answer(metrics=METRICS | {"loss": -1e200}), "its loss is -1e+200"),
        (answer(metrics=METRICS | {"more": float("inf")}), "its more is inf"),
        (answer({"update": "3.weights", "client": "7.client"}), "its output 'update' is called '3.weights'"),
        (answer({"update": "7.update", "client": "7.client", "../x": "7.../x"}), "its output '../x' is called"),
        (answer({"update": "7.update", "client": "7.client", "more": "7.more"}), "value '7.more' is not there"),
    ],
    ids=[
        "no outputs",
        "no figures",
        "no samples",
        "fewer than none",
        "no reach",
        "no number",
        "too large",
        "infinite",
        "another's value",
        "no name",
        "no value",
    ],
)
def test_what_the_engine_counts_on_must_be_there(folder: SharedFolder, result: Result, reason: str) -> None:
    assert reason in inspector(folder)(UPDATE, result)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"parameters": torch.zeros(6)}, "its update has no buffer.seen"),
        ({**WEIGHTS, "extra": torch.zeros(1)}, "its update has a 'extra', which the weights have not"),
        ({**WEIGHTS, "parameters": torch.zeros(5)}, "has parameters as torch.float32 of shape [5] where"),
        ({**WEIGHTS, "parameters": torch.zeros(6, dtype=torch.float64)}, "as torch.float64 of shape [6] where"),
        ({**WEIGHTS, "buffer.seen": torch.zeros(9)}, "has buffer.seen as torch.float32 of shape [9] where"),
    ],
    ids=["fewer", "more", "shape", "type", "buffer"],
)
def test_an_update_of_another_model_is_refused(
    folder: SharedFolder, tensors: Mapping[str, Tensor], reason: str
) -> None:
    folder.remove(["7.update"])
    folder.write("7.update", encode(tensors))
    assert reason in inspector(folder)(UPDATE, answer())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=300))
def test_bytes_that_are_no_tensors_are_refused(folder: SharedFolder, garbage: bytes) -> None:
    folder.remove(["7.update"])
    folder.write("7.update", [garbage])
    assert inspector(folder)(UPDATE, answer()) != ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), flip=st.integers(0, 7), at=st.integers(0, 10_000))
def test_a_spoilt_update_is_refused_or_is_one_like_the_weights(
    folder: SharedFolder, cut: int, flip: int, at: int
) -> None:
    data = bytearray(b"".join(encode(WEIGHTS)))
    data[at % len(data)] ^= 1 << flip
    folder.remove(["7.update"])
    folder.write("7.update", [data[: max(0, len(data) - cut)]])
    reason = inspector(folder)(UPDATE, answer())
    assert reason or cut == 0


def test_other_work_need_only_answer_with_tensors(folder: SharedFolder) -> None:
    work = Work(7, 0, "predict", {}, {})
    assert inspector(folder)(work, answer(metrics={})) == ""
    folder.write("7.other", [b"no tensors"])
    assert "no encoded tensors" in inspector(folder)(work, answer({"other": "7.other"}, {}))

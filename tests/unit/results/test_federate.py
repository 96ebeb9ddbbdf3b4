"""Pictures and tables of federations, whatever their rounds and classes are like."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from orchestrator.records import Row
from orchestrator.results.federate import write_partition, write_rounds
from orchestrator.results.federate_pictures import draw_histogram, draw_rounds

PNG = b"\x89PNG"


def table(file: Path) -> list[dict[str, object]]:
    with pa.OSFile(str(file)) as source:
        rows: list[dict[str, object]] = pa.ipc.open_file(source).read_all().to_pylist()
    return rows


@pytest.mark.parametrize("classes", [1, 10, 30])
@pytest.mark.parametrize("clients", [1, 200])
def test_a_histogram_is_drawn_for_few_and_many(tmp_path: Path, classes: int, clients: int) -> None:
    histogram = torch.arange(clients * classes).view(clients, classes)
    draw_histogram(histogram, torch.arange(classes), tmp_path / "partition.png")
    assert (tmp_path / "partition.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    "rounds",
    [
        [],
        [Row(1, {"round": 1.0, "loss": 2.0, "loss_min": 1.0, "loss_max": 3.0})],
        [
            Row(n, {"loss": 2.0, "loss_min": 1.0, "loss_max": 3.0, "coherence": 0.1, "gamma": 1.1, "lambda.a": 1.0})
            for n in (1, 2)
        ],
    ],
    ids=["no round", "a round of one client", "rounds of fedlaw"],
)
def test_rounds_are_drawn_whatever_figures_they_have(tmp_path: Path, rounds: list[Row]) -> None:
    draw_rounds(rounds, [Row(1, {"validation_loss": 1.0}), Row(2, {"test_loss": 1.0})], tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").read_bytes().startswith(PNG)


def test_a_figure_that_a_round_lacks_is_null(tmp_path: Path) -> None:
    write_rounds([Row(1, {"round": 1.0, "lambda.3": 0.5}), Row(2, {"round": 2.0})], tmp_path / "rounds.arrow")
    assert table(tmp_path / "rounds.arrow") == [{"round": 1.0, "lambda.3": 0.5}, {"round": 2.0, "lambda.3": None}]


def test_a_partition_without_classes_has_its_samples(tmp_path: Path) -> None:
    partition = {"indices": torch.tensor([4, 5, 0]), "sizes": torch.tensor([2, 1])}
    write_partition(partition, tmp_path / "partition.arrow")
    assert table(tmp_path / "partition.arrow") == [{"client": 0, "samples": [4, 5]}, {"client": 1, "samples": [0]}]

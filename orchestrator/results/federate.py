"""What a federation leaves: who had which samples, and how its rounds went, as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from torch import Tensor

from orchestrator.records import Row
from orchestrator.results.federate_pictures import draw_histogram, draw_rounds
from orchestrator.verbs.verb import Finished, Pairs

if TYPE_CHECKING:
    from trainers import Tensors


def write_federation(finished: Finished, partition: Tensors) -> Pairs:
    """partition: output of the kind of that name; empty with real sites."""
    folder = finished.files.results
    folder.mkdir(exist_ok=True)
    rows = list(finished.history())
    rounds = [row for row in rows if "round" in row.metrics]
    write_rounds(rounds, folder / "rounds.arrow")
    draw_rounds(rounds, [row for row in rows if "round" not in row.metrics], folder / "rounds.png")
    pairs = [("client updates", f"{int(sum(row.metrics['counted'] for row in rounds)):,} in {len(rounds)} rounds")]
    if partition:
        write_partition(partition, folder / "partition.arrow")
        sizes = partition["sizes"]
        pairs.append(("clients", f"{len(sizes)} with {int(sizes.min())} to {int(sizes.max())} samples"))
    if "histogram" in partition:
        draw_histogram(partition["histogram"], partition["labels"], folder / "partition.png")
    return pairs


def write_partition(partition: Tensors, file: Path) -> None:
    """An Arrow file (IPC), a row a client: client, samples (training indices), and label.<class> counts."""
    sizes = partition["sizes"].tolist()
    columns: dict[str, Sequence[object]] = {
        "client": list(range(len(sizes))),
        "samples": [part.tolist() for part in partition["indices"].split_with_sizes(sizes)],
    }
    if "histogram" in partition:
        columns |= _counts(partition["labels"], partition["histogram"])
    _write(columns, file)


def write_rounds(rounds: Sequence[Row], file: Path) -> None:
    """An Arrow file (IPC), a row a round, with every figure of it; null where a round has none of that name."""
    names: Mapping[str, None] = dict.fromkeys(name for row in rounds for name in row.metrics)
    _write({name: [row.metrics.get(name) for row in rounds] for name in names}, file)


def _counts(labels: Tensor, histogram: Tensor) -> dict[str, Sequence[object]]:
    return {f"label.{label}": histogram[:, column].tolist() for column, label in enumerate(labels.tolist())}


def _write(columns: Mapping[str, Sequence[object]], file: Path) -> None:
    table = pa.table(dict(columns))
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)

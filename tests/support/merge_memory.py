"""Prints how much memory each merge method takes at most, beside what its plan says: `… FOLDER DTYPE`, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from trainers import encode
from trainers.merging import METHODS, MergeMethod, Plan, merge_to_folder, open_source

SIDE = {"iso_c": 512}
"""Of the square matrices; a decomposition takes longer."""


def measure(folder: Path, method: MergeMethod, dtype: torch.dtype) -> dict[str, int]:
    """Bytes: taken beyond what the process had, said before, and of the largest tensor in float32."""
    side = SIDE.get(method.name, 1024)
    warm_up, large = (_plan(folder / f"{method.name}-{size}", method, size, dtype) for size in (32, side))
    merge_to_folder(warm_up, folder / "out")  # what is loaded or started once
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _peak_bytes()
    merge_to_folder(large, folder / "out", side * side * 8)
    return {"taken": _peak_bytes() - before, "said": large.peak_bytes, "largest": side * side * 4}


def _plan(folder: Path, method: MergeMethod, side: int, dtype: torch.dtype) -> Plan:
    folder.mkdir()
    for number in range(4):
        tensors = {f"{layer}.weight": torch.randn(side, side).to(dtype) for layer in range(4)}
        with (folder / f"{number}.safetensors").open("wb") as stream:
            for part in encode(tensors):
                stream.write(part)
    base, *sources = [open_source(path.name, path) for path in sorted(folder.glob("*"))]
    chosen = tuple(sources[: method.most])
    return Plan(method, method.options({}), chosen, base if method.needs_base else None)


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


if __name__ == "__main__":
    torch.set_num_threads(1)
    target, precision = Path(sys.argv[1]), getattr(torch, sys.argv[2])
    print(json.dumps({name: measure(target, method, precision) for name, method in METHODS.items()}))

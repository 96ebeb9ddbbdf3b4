"""Makes equal work give equal bits in this process, and describes what its bits depend on."""

from __future__ import annotations

import os
import platform
from typing import TypedDict

import torch
from torch.utils import deterministic


class Machine(TypedDict):
    """What the bits of a result depend on besides spec and journal; JSON."""

    architecture: str
    cpu_capability: str
    device: str
    threads: int
    torch: str


def make_deterministic(threads: int) -> None:
    """Sets this process's threads of one operation (>= 1) and refuses operations that are not repeatable.

    Call it before the first work. Such an operation then raises RuntimeError and names itself. Costs nothing on the
    CPU: torch's filling of fresh memory, part of the same switch, is turned off, for nothing here reads it unwritten.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    torch.backends.cudnn.benchmark = False


def machine(device: torch.device) -> Machine:
    """This process as it computes now. Equal machines give equal bits; others agree to rounding only."""
    return {
        "architecture": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }

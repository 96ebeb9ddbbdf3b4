"""What the engine's host is busy with, under MLflow's own names. Imported by the writer process only."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from orchestrator.tracking.names import SYSTEM
from orchestrator.tracking.points import Point


class _Monitor(Protocol):
    def collect_metrics(self) -> None: ...
    def aggregate_metrics(self) -> dict[str, float]: ...
    def clear_metrics(self) -> None: ...


class System:
    """Looks at processor, memory, disk, network and, where there are some, NVIDIA's GPUs, of the machine it runs on.

    Cost: 1 ms a look.
    """

    def __init__(self, zero_ms: int) -> None:
        """zero_ms: Unix time of step 0; steps are seconds since then."""
        self._zero_ms = zero_ms
        self._monitors: list[_Monitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        with contextlib.suppress(ImportError, RuntimeError):  # no driver, or no GPU
            self._monitors.append(GPUMonitor())
        self._monitors[0].collect_metrics()  # the first look at a processor is since an unknown time
        self._monitors[0].clear_metrics()

    def points(self) -> Iterator[Point]:
        """What it is now; of the processor, its mean since the last look."""
        now_ms = round(time.time() * 1000)
        for monitor in self._monitors:
            monitor.collect_metrics()
            for name, value in monitor.aggregate_metrics().items():
                yield Point(SYSTEM + name, float(value), now_ms, (now_ms - self._zero_ms) // 1000)
            monitor.clear_metrics()

"""What a run was like, as figures by the names under which they are tracked. Pure."""

from __future__ import annotations

from orchestrator.attendance import quantiles
from orchestrator.outcome import FEW_WORKERS
from orchestrator.summary import Summary


def run_figures(summary: Summary, peak_memory_bytes: int) -> dict[str, float]:
    """What a run was like, by the names under which it is tracked; those of workers where there are few."""
    faults, workers = summary.faults, summary.workers
    figures = {
        "run/goodput": summary.goodput,
        "run/useful_time": summary.useful_time,
        "run/elapsed_s": summary.elapsed_s,
        "run/retried": float(faults.retried),
        "run/rejected": float(faults.rejected),
        "run/repeats": float(faults.repeats),
        "run/workers_left": float(faults.left),
        "run/workers_replaced": float(faults.replaced),
        "run/peak_memory_megabytes": peak_memory_bytes / 1e6,
    }
    figures |= {f"run/failures/{cause.replace(' ', '_')}": float(count) for cause, count in faults.failures.items()}
    for name, seconds in (
        ("worker", faults.worker_s),
        ("aggregator", faults.aggregator_s),
        ("engine", faults.engine_s),
    ):
        if seconds:
            figures |= {f"run/failovers/{name}": float(len(seconds)), f"run/failover_{name}_max_s": max(seconds)}
            figures[f"run/failover_{name}_p50_s"] = quantiles(seconds)[0]
    for worker in workers if len(workers) <= FEW_WORKERS else ():
        figures[f"run/late/{worker.worker}"] = float(worker.late)
        figures[f"run/late_share/{worker.worker}"] = worker.late_share
        if worker.p50_s is not None:
            for name in ("p50_s", "p90_s", "p99_s"):
                figures[f"run/round_trip_{name}/{worker.worker}"] = getattr(worker, name)
    return figures

"""A run done again from its journal: every decision and the final weights, held against what the journal says."""

from __future__ import annotations

from pathlib import Path

from orchestrator.assemble import core_of
from orchestrator.lifecycle import kept_of
from orchestrator.local import Local
from orchestrator.outcome import Replayed
from orchestrator.recorded_run import read_run
from orchestrator.replay import Comparison
from orchestrator.storage import Storage
from orchestrator.values.memory import MemoryValues
from orchestrator.values.persisted import Persisted
from trainers import fingerprint


def replay(folder: Path) -> Replayed:
    """Replays the decisions, then does in this process the work whose results the final weights came from.

    Bits agree on machines that agree on `trainers.machine`; elsewhere the weights may differ in rounding.
    Raises JournalDamaged; its start may have been forgotten (`keep_journal: since_snapshot`).
    Cost: the counted gradients and the steps, one after another.
    """
    files, journal, started, spec = read_run(folder)
    core = core_of(spec)
    comparison = Comparison(core)
    comparison.run(journal.records())
    model = core.strategy.model
    weights_sha256 = ""
    if model is not None:
        values = MemoryValues(kept=Persisted(Storage(kept_of(spec, files))))
        comparison.lineage.rebuild([model.weights], values, Local(spec, started.paths).execute(values))
        weights_sha256 = fingerprint(values.get(model.weights))
    ended = comparison.ended
    return Replayed(
        run=files.run,
        wakes=comparison.wakes,
        decisions=comparison.decisions,
        differing=tuple(comparison.differing),
        weights_sha256=weights_sha256,
        journalled_sha256=ended.weights_sha256 if ended else "",
    )

"""Values that a killed engine lost are made again from the work that made them, back to what was kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from orchestrator.errors import ValueMissing
from orchestrator.pools.execute import Execute
from orchestrator.protocols import Values
from orchestrator.records import GIVEN, Ref, Work


def maker(ref: Ref) -> int:
    """Id of the work whose output this is; -1: of none, it was there before the run."""
    return -1 if ref.startswith(GIVEN) else int(ref.partition(".")[0])


class Lineage:
    """Which work made which value, for all work seen since the last snapshot."""

    def __init__(self) -> None:
        self._works: dict[int, Work] = {}

    def note(self, works: Iterable[Work]) -> None:
        self._works.update((work.id, work) for work in works)

    def __contains__(self, work_id: int) -> bool:
        return work_id in self._works

    def rebuild(self, wanted: Collection[Ref], values: Values, execute: Execute) -> None:
        """Has every wanted value in memory, where workers look: read from storage, or made again.

        Inputs always come from lower work ids, so doing them in order of id is enough. What has served is let go.
        A value that was kept and cannot be read is missing too. Raises ValueMissing: one cannot be made again either.
        Cost: the works between the last kept values and the wanted ones, each once.
        """
        needed: set[int] = set()
        last_use: dict[Ref, int] = {}
        missing = [ref for ref in wanted if not _readable(ref, values)]
        while missing:
            ref = missing.pop()
            if maker(ref) in needed:
                continue
            work = self._works.get(maker(ref))
            if work is None:
                values.get(ref)  # says what is missing, for people
                continue
            needed.add(work.id)
            for given in work.inputs.values():
                last_use[given] = max(last_use.get(given, -1), work.id)
                if not _readable(given, values):
                    missing.append(given)
        wanted = set(wanted)
        for work_id in sorted(needed):
            outputs, _ = execute(self._works[work_id])
            served = [ref for ref in self._works[work_id].inputs.values() if last_use[ref] == work_id]
            unused = [ref for ref in outputs.values() if ref not in last_use]
            values.release([ref for ref in (*served, *unused) if ref not in wanted])


def _readable(ref: Ref, values: Values) -> bool:
    if ref not in values:
        return False
    try:
        values.get(ref)
    except ValueMissing:
        return False
    return True

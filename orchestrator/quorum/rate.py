"""`rate`: most results per second, blind to what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from orchestrator.quorum.order_table import order_table, remembered
from orchestrator.records import Decision, Evidence


@dataclass(frozen=True, slots=True)
class Rate:
    """Wait for argmax k/T(k), with T(k) the time of a round when every round waits for k; of equals, the larger k.

    Needs timings only. Right where the learning rate grows with k (within 10 % of the best static k, changes of the
    workers included); at a constant learning rate up to 3.9 times slower than that. Waits for all until a round
    has shown all arrivals, the late ones among them.

    Cost: one `order_table` a decision. Memory: its times by rank, at most 24.
    Source: Xu, Neglia, Sebastianelli 2020, arXiv:2004.14696, the blind variant; that it is exactly this is not certain.
    """

    def decide(self, evidence: Evidence) -> Decision:
        n = evidence.present
        past = cast(Mapping[str, Any], evidence.memory or {"round": None, "k": n, "before": n, "by_rank": None})
        before = past["before"] if past["round"] == evidence.round else past["k"]
        table = order_table(evidence.arrivals, n, current=before, by_rank=remembered(past["by_rank"]))
        if table is None:
            return Decision(n, f"all {n} present: no statistics yet, no round has closed")
        times = table.steady()
        k = times.most_results_per_second()
        why = (
            f"k = {k} of {n}: {k / times.at(k):.3g} results/s in rounds of {times.at(k):.3g} s,"
            f" against {n / times.at(n):.3g} results/s for all"
        )
        memory = {"round": evidence.round, "k": k, "before": before, "by_rank": table.memory()}
        return Decision(k, why, memory=memory)

"""Resources that Ray holds for members: a placement group, granted whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.launchers.member import Needs


class Reservation:
    """One bundle for each of `needs`. Asked for at once, granted when there is room; what lies on a node that goes is
    looked for elsewhere, by itself."""

    def __init__(self, needs: Sequence[Needs]) -> None:
        self._group: Any = placement_group([_bundle(need) for need in needs], strategy="PACK")

    def wait(self, timeout_s: float) -> bool:
        """Whether it was granted in time."""
        granted: bool = self._group.wait(timeout_s)
        return granted

    def homeless(self) -> bool:
        """Whether a node of it went, and no room was found elsewhere yet."""
        return bool(placement_group_table(self._group)["state"] == "RESCHEDULING")

    def strategy(self, bundle: int) -> PlacementGroupSchedulingStrategy:
        """For an actor that is to lie in that bundle, now or once it is granted."""
        return PlacementGroupSchedulingStrategy(self._group, bundle)

    def close(self) -> None:
        """Gives it back; what is still in it ends. May be called twice."""
        remove_placement_group(self._group)


def _bundle(needs: Needs) -> dict[str, float]:
    return {"CPU": needs.cpu} | ({"GPU": needs.gpu} if needs.gpu else {})

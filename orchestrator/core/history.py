"""What the core remembers of the past for the quorum: round trips by worker, arrivals by round."""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from orchestrator.core.placement import Flight
from orchestrator.records import Arrivals, Counts, RoundTrip

ROUND_TRIPS = 40  # kept a worker
ROUNDS = 50  # kept with their arrivals


class History:
    """Windows of fixed length; written once a result, read once a round as live views."""

    def __init__(self) -> None:
        self.round_trips: dict[str, deque[RoundTrip]] = {}  # present workers of role "worker"
        self._rounds: dict[int, tuple[float, Arrivals]] = {}  # round -> when it opened, what came; oldest first

    @property
    def arrivals(self) -> list[Arrivals]:
        return [arrivals for _, arrivals in self._rounds.values()]

    def joined(self, worker: str) -> None:
        self.round_trips[worker] = deque(maxlen=ROUND_TRIPS)

    def left(self, worker: str) -> None:
        self.round_trips.pop(worker, None)

    def answered(self, flight: Flight, received_s: float, finished: bool) -> None:
        """Times a quorum work's answer, late or not."""
        window = self.round_trips.get(flight.worker)
        if window is not None:
            window.append(RoundTrip(received_s, received_s - flight.dispatched_s, finished))

    def met(self, round_: int, opened_s: float, waited_for_before: int, offsets: list[float]) -> None:
        """Keeps the arrivals of a round whose quorum is there."""
        self._rounds[round_] = (opened_s, Arrivals(waited_for_before, offsets))
        if len(self._rounds) > ROUNDS:
            del self._rounds[next(iter(self._rounds))]

    def late(self, round_: int, received_s: float) -> None:
        """Adds a result that came after its round to that round's arrivals, if they are still kept."""
        if round_ in self._rounds:
            opened_s, arrivals = self._rounds[round_]
            arrivals.offsets_s.append(received_s - opened_s)

    def state_dict(self) -> dict[str, Any]:
        """JSON; the windows of all workers are one binary array, for at 10,000 workers they are most of a snapshot."""
        flat = array("d", (x for window in self.round_trips.values() for trip in window for x in trip))
        return {
            "workers": {worker: len(window) for worker, window in self.round_trips.items()},
            "round_trips": b64encode(flat.tobytes()).decode(),
            "rounds": [
                [round_, opened_s, arrivals.waited_for_before, arrivals.offsets_s]
                for round_, (opened_s, arrivals) in self._rounds.items()
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        flat = array("d")
        flat.frombytes(b64decode(state["round_trips"]))
        trips = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        self.round_trips = {
            worker: deque((RoundTrip(e, d, bool(f)) for e, d, f in islice(trips, length)), maxlen=ROUND_TRIPS)
            for worker, length in state["workers"].items()
        }
        self._rounds = {
            round_: (opened_s, Arrivals(before, list(offsets))) for round_, opened_s, before, offsets in state["rounds"]
        }


class InFlight(Mapping[str, float]):
    """For each busy worker, how long its oldest quorum work has been out: `Evidence.in_flight_s` without a copy."""

    def __init__(self, busy: Mapping[str, Mapping[int, Flight]], now_s: float) -> None:
        self._busy, self._now_s = busy, now_s

    def __getitem__(self, worker: str) -> float:
        for flight in self._busy[worker].values():
            if flight.work.counts is Counts.QUORUM:
                return self._now_s - flight.dispatched_s
        raise KeyError(worker)

    def __iter__(self) -> Iterator[str]:
        return (
            worker
            for worker, flights in self._busy.items()
            if any(flight.work.counts is Counts.QUORUM for flight in flights.values())
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

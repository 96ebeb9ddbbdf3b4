"""An evaluation of one version of the weights, in parts short enough not to hold up a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.errors import RunFailed
from orchestrator.records import Failure, Ref, Row, Told

PART = 1000  # samples
ATTEMPTS = 3  # of one part, each of as many as the core makes; then the run ends


@dataclass(slots=True)
class Evaluation:
    """Of `weights` on a split with `samples` samples, after `step` steps.

    together: ask all parts at once, for idle workers; else one after another, between the steps.
    sums: metric -> Σ value·samples, added in order of the parts once all are in.
    """

    split: str
    step: int
    weights: Ref
    samples: int
    together: bool = False
    asked: int = 0  # samples asked so far
    again: list[int] = field(default_factory=list)  # starts of parts that failed
    failures: dict[int, int] = field(default_factory=dict)  # start -> how often
    out: int = 0  # parts under way
    parts: dict[int, dict[str, float]] = field(default_factory=dict)  # start -> metrics

    def parts_to_ask(self) -> Sequence[tuple[int, int]]:
        """(start, count) of the parts to ask now; they count as asked."""
        asked: list[tuple[int, int]] = []
        while (self.again or self.asked < self.samples) and (self.together or not self.out):
            if self.again:
                start = self.again.pop()
            else:
                start, self.asked = self.asked, min(self.asked + PART, self.samples)
            asked.append((start, min(PART, self.samples - start)))
            self.out += 1
        return asked

    def told(self, told: Told) -> Sequence[Row]:
        """Its row, once all parts are in; nothing before. A part of one that this replaced is passed over.

        Raises RunFailed when a part failed too often.
        """
        if told.work.inputs["weights"] != self.weights or told.work.params["split"] != self.split:
            return ()
        start = int(str(told.work.params["start"]))
        self.out -= 1
        if told.result.failure is not None:
            self._failed(start, told.result.failure)
            return ()
        self.parts[start] = dict(told.result.metrics)
        return [Row(self.step, self.metrics())] if self.complete else ()

    @property
    def complete(self) -> bool:
        return not self.out and not self.again and self.asked >= self.samples

    def metrics(self) -> dict[str, float]:
        """Means over all samples, named `<split>_<metric>`."""
        total = sum(part["samples"] for part in self.parts.values())
        names = [name for name in self.parts[0] if name != "samples"]
        ordered = [self.parts[start] for start in sorted(self.parts)]
        return {f"{self.split}_{name}": sum(part[name] * part["samples"] for part in ordered) / total for name in names}

    def _failed(self, start: int, failure: Failure) -> None:
        """The core has tried what can be tried; elsewhere and later it may still work. Raises RunFailed, at last."""
        self.again.append(start)
        self.failures[start] = self.failures.get(start, 0) + 1
        if self.failures[start] >= ATTEMPTS:
            reason = f"the {self.split} evaluation from sample {start} on failed {ATTEMPTS} times"
            raise RunFailed(f"{reason}: {failure.cause}: {failure.message}", traceback=failure.traceback)

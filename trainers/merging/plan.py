"""A merge before it runs: which method of which sources, what it will make, and how much memory it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from trainers.merging.method import MergeMethod, Options
from trainers.merging.sources import Header, Source

WORKING_BYTES = 4
"""Of a number, while a tensor is merged."""


@dataclass(frozen=True, slots=True)
class Plan:
    """options: all of the method's, as `MergeMethod.options` returns them. base: None for a method without one.

    Sources and base have the same tensors (`check.differences` found none).
    """

    method: MergeMethod
    options: Options
    sources: tuple[Source, ...]
    base: Source | None = None

    @property
    def models(self) -> tuple[Source, ...]:
        """The base, if there is one, and the sources."""
        return self.sources if self.base is None else (self.base, *self.sources)

    @property
    def result(self) -> Mapping[str, Header]:
        """The tensors that it will make."""
        return self.models[0].headers

    @property
    def peak_bytes(self) -> int:
        """At most so much memory beyond the process's own: the largest tensor times (models + the method's scratch)."""
        return max((self._bytes(header) for header in self.result.values()), default=0)

    def _bytes(self, header: Header) -> int:
        number = max(header.dtype.itemsize, WORKING_BYTES if header.dtype.is_floating_point else 1)
        copies = len(self.models) * (1 if header.dtype.itemsize == number else 1 + header.dtype.itemsize / number)
        return int(prod(header.shape) * number * (copies + self.method.scratch))


def describe_bytes(count: int) -> str:
    """For people: `512 kB`, `1.3 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"

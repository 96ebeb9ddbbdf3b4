"""Which block of training data comes next: an epoch is one pass of used blocks, whatever the workers do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from heapq import heappop, heappush
from math import ceil

CLOSE = 1e-9  # relative: what rounding can make of a sum or a product of epochs


@dataclass(slots=True)
class Blocks:
    """Hands out block numbers 0, 1, …, lowest first; one that was not used comes back and goes out again first.

    A block is the samples of one gradient. Block n of an epoch of `per_epoch` blocks belongs to epoch n // per_epoch,
    so the last rounds of an epoch are filled with blocks of the next.
    order: hash of all used blocks so far, in the order of their use.
    """

    per_epoch: int
    next: int = 0
    returned: list[int] = field(default_factory=list)  # a heap
    out: dict[int, int] = field(default_factory=dict)  # work id -> block
    used: int = 0
    order: str = ""

    def in_epochs(self, epochs: float) -> int:
        """How many blocks so many epochs have; one that they end in is theirs."""
        return ceil(epochs * self.per_epoch * (1 - CLOSE))

    def take(self, work_id: int) -> int:
        if self.returned:
            block = heappop(self.returned)
        else:
            block, self.next = self.next, self.next + 1
        self.out[work_id] = block
        return block

    def give_back(self, work_id: int) -> int:
        block = self.out.pop(work_id)
        heappush(self.returned, block)
        return block

    def use(self, work_ids: Iterable[int]) -> None:
        """The blocks of these works are used, in this order; all others that are out come back."""
        used = [self.out.pop(work_id) for work_id in work_ids]
        for work_id in list(self.out):
            self.give_back(work_id)
        self.used += len(used)
        self.order = sha256(f"{self.order} {used}".encode()).hexdigest()

    def all_used(self, below: int) -> bool:
        """Whether every block with a number less than `below` has been used."""
        return min([self.next, *self.returned, *self.out.values()]) >= below

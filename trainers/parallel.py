"""Ranges of numbers, each done on a core of its own: for sums whose numbers do not depend on each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

ENOUGH = 1 << 19
"""Numbers that are worth another thread: half a millisecond of work."""

T = TypeVar("T")


def in_parallel(count: int, chunk: int, do: Callable[[int, int], T]) -> list[T]:
    """What `do(start, end)` gives for ranges that are together 0 … count, done at the same time, in their order.

    As many ranges as this process may use cores, none shorter than ENOUGH; each begins at a multiple of `chunk`, so
    that chunks are the same however many cores there are. What `do` raises is raised here. Meant for calls that spend
    their time in torch, which gives up the interpreter's lock.
    """
    parts = max(1, min(_cores(), count // ENOUGH))
    if parts == 1:
        return [do(0, count)]
    bounds = [count * number // parts // chunk * chunk for number in range(parts)] + [count]
    return list(_threads().map(lambda bound: do(*bound), pairwise(bounds)))


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="sums")

"""Ranges of numbers, each done on a core of its own: for sums whose numbers do not depend on each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from itertools import pairwise
from typing import TypeVar

ENOUGH = 1 << 19
"""Numbers that are worth another thread: half a millisecond of work."""

T = TypeVar("T")
_limit: int | None = None


def limit_cores(count: int) -> None:
    """This process's sums use so many cores at most, >= 1: for one of many that compute at the same time."""
    global _limit  # the process's, as torch's number of threads is
    _limit = count


def parts_of(count: int) -> int:
    """Into how many ranges so many numbers are worth to be divided, >= 1."""
    return max(1, min(_cores(), count // ENOUGH))


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What these give, each on a core of its own, in their order. What one raises is raised here, when all are over."""
    if len(calls) == 1:
        return [calls[0]()]
    futures = [_threads().submit(call) for call in calls]
    wait(futures)
    return [future.result() for future in futures]


def in_parallel(count: int, chunk: int, do: Callable[[int, int], T]) -> list[T]:
    """What `do(start, end)` gives for ranges that are together 0 … count, done at the same time, in their order.

    As many ranges as this process may use cores, none shorter than ENOUGH; each begins at a multiple of `chunk`, so
    that chunks are the same however many cores there are. What `do` raises is raised here. Meant for calls that spend
    their time in torch, which gives up the interpreter's lock.
    """
    parts = parts_of(count)
    bounds = [count * number // parts // chunk * chunk for number in range(parts)] + [count]
    return at_once([partial(do, *bound) for bound in pairwise(bounds)])


def _cores() -> int:
    there = len(os.sched_getaffinity(0))
    return there if _limit is None else min(_limit, there)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="sums")

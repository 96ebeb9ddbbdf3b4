"""Every verb in a world so small that thousands of its runs fit into a test."""

from collections.abc import Mapping

from tests.support.toys import autohas, federate, merge, search, train
from tests.support.toys.case import Case

CASES: Mapping[str, Case] = {**autohas.CASES, **federate.CASES, **merge.CASES, **search.CASES, **train.CASES}

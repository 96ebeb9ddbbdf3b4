"""For all tests: hypothesis judges what code does, not how long it takes; timings live in benchmarks/."""

import os

import pytest
from hypothesis import settings

settings.register_profile("ripieno", deadline=None)
settings.load_profile("ripieno")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: the longest tests wait for other processes most of their time."""
    return min(4, (os.cpu_count() or 1) + 1)

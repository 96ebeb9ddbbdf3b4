"""RemotePool keeps the promises of every pool, on child processes over real streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.protocols import Pool
from tests.contract.test_pools import WORKERS, PoolContract
from tests.support.remote import open_pool

NAMES = [f"worker-{number}" for number in range(WORKERS)]


class TestRemotePool(PoolContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Pool]:
        return lambda: open_pool(tmp_path / "shared", NAMES)


class TestRemotePoolOfOtherHosts(PoolContract):
    """The same over TLS, with workers that share no memory with the engine."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Pool]:
        return lambda: open_pool(tmp_path / "shared", NAMES, share=False)

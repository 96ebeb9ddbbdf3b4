"""These tests compare bits, so they compute as a worker does."""

from collections.abc import Iterator

import pytest
import torch

from trainers import make_deterministic


@pytest.fixture(autouse=True)
def one_deterministic_thread() -> Iterator[None]:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    make_deterministic(threads=1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)

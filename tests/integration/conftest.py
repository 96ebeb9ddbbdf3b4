"""One real Ray cluster for all tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """The address of a cluster of one node with 8 CPU tokens and no GPU. Costs 3 s, once."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 8, "num_gpus": 0, "object_store_memory": 100 << 20, "include_dashboard": False},
    )
    yield cluster.address
    cluster.shutdown()

"""What can be decided about members before and between their lives."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.launchers import CannotFit, ClusterBusy, Needs, NoCluster, TokenRefused, check_fits
from cluster.launchers.capacity import require_room
from cluster.launchers.member import HEALTHY_S, RESTARTS, Restarts


@given(st.lists(st.builds(Needs, st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=6))
def test_what_was_taken_apart_fits_together_again_with_room_for_each(needs: list[Needs]) -> None:
    require_room(needs, needs, "the cluster")


@given(st.lists(st.decimals("0.0001", 4, places=4), min_size=1, max_size=30))
@example([Decimal("0.5"), Decimal("0.1")])
@example([Decimal("0.5"), *[Decimal("0.3")] * 5])
@example([Decimal("0.9")] * 7)
def test_fractions_that_fill_a_node_to_the_last_digit_fit_there(cores: list[Decimal]) -> None:
    needs = [Needs(float(each), float(each)) for each in cores]
    require_room(needs, [Needs(float(sum(cores)), float(sum(cores)))], "the cluster")


@given(st.lists(st.floats(0.0001, 4), min_size=1, max_size=30))
@example([0.5, 0.1])
@example([0.66666667] * 3)
def test_this_machine_has_room_for_whatever_share_of_a_core_each_takes(cores: list[float]) -> None:
    check_fits(None, [Needs(each) for each in cores])


@pytest.mark.parametrize(
    ("needs", "nodes", "told"),
    [
        (
            [Needs(1, 1)] * 8,
            [Needs(8, 4), Needs(8, 2)],
            "8 CPUs and 8 GPUs at once and the cluster has 16 CPUs and 6 G",
        ),
        ([Needs(4)] * 2, [Needs(4), Needs(3)], "8 CPUs at once and the cluster has 7 CPUs, so it would wait for ever"),
        (
            [Needs(4)] * 2,
            [Needs(4), Needs(2), Needs(2)],
            "2 times up to 4 CPUs at once and no way was found to lay them",
        ),
        ([Needs()], [], "1 CPUs at once and the cluster has 0 CPUs"),
    ],
    ids=["too few GPUs", "too few CPUs", "too small nodes", "no nodes"],
)
def test_what_can_never_fit_is_refused_with_the_numbers(needs: list[Needs], nodes: list[Needs], told: str) -> None:
    with pytest.raises(CannotFit) as refused:
        require_room(needs, nodes, "the cluster")
    assert told in str(refused.value)


def test_fractions_of_a_gpu_share_it() -> None:
    require_room([Needs(1, 0.5)] * 4, [Needs(4, 2)], "the cluster")


def test_cpus_of_this_machine_are_only_counted() -> None:
    assert check_fits(None, [Needs(1000)] * 2)["CPU"] == 2000


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "ray://127.0.0.1:10001", "6379", "host:x"])
def test_no_cluster_is_told_at_once(address: str) -> None:
    with pytest.raises(NoCluster, match="no Ray cluster at"):
        check_fits(address, [Needs()])


def test_a_member_that_keeps_dying_is_started_again_ever_later_and_then_no_more() -> None:
    restarts = Restarts()
    pauses_s = [restarts.pause_s(lived_s=1.0) for _ in range(RESTARTS)]
    assert all(pauses_s)
    assert pauses_s == sorted(pauses_s, key=lambda pause_s: pause_s or 0.0)
    assert restarts.pause_s(lived_s=1.0) is None


def test_a_member_that_lived_well_is_started_again_as_if_for_the_first_time() -> None:
    restarts = Restarts()
    first = restarts.pause_s(lived_s=1.0)
    for _ in range(3 * RESTARTS):
        assert restarts.pause_s(lived_s=HEALTHY_S) == first


@pytest.mark.parametrize(
    "error",
    [
        NoCluster("h:1", "gone"),
        TokenRefused("h:1", "another"),
        CannotFit("2 CPUs", "there is 1"),
        ClusterBusy("2 CPUs", 60.0),
    ],
)
def test_errors_survive_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))

"""Work that fails every time ends the run with its reason; work that fails once does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from orchestrator.core import Core
from orchestrator.errors import RunFailed
from orchestrator.pools.execute import WorkFailed
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import VirtualPool
from orchestrator.quorum import make_quorum
from orchestrator.records import Cause, Failure, Ref, Work
from orchestrator.strategies import SyncTraining, SyncTrainingSettings
from orchestrator.values.memory import MemoryValues
from tests.support.toys.train import toy

MORE_WAKES_THAN_A_RUN_HAS = 2000


def train(fails: Callable[[Work], bool], cause: Cause, *, workers: int = 4) -> Core:
    """The bowl, where some work fails for that cause."""
    settings = SyncTrainingSettings(batch_size=10, epochs=2, optimizer={"name": "sgd", "lr": 0.2})
    core = Core(SyncTraining(settings), make_quorum("full"))
    execute = toy(MemoryValues())

    def execute_or_fail(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        if fails(work):
            raise WorkFailed(Failure(cause, "so it is", "Traceback: user code" if cause is Cause.USER_ERROR else ""))
        return execute(work)

    kinds = {"init": Constant(0.1), "aggregate": Constant(0.01), "evaluate": Constant(0.05)}
    pool = VirtualPool(workers, execute_or_fail, latency=Latency(ShiftedExponential(), by_kind=kinds))
    for _ in range(MORE_WAKES_THAN_A_RUN_HAS):
        if core.finished:
            break
        pool.submit(core.handle(pool.wait(core.deadline_s)).submit)
    return core


def is_sixth_block(work: Work) -> bool:
    return work.kind == "gradient" and (work.params["epoch"], work.params["block"]) == (0, 5)


@pytest.mark.parametrize(
    "cause", [Cause.USER_ERROR, Cause.OUT_OF_MEMORY, Cause.NON_FINITE, Cause.BAD_REPLY, Cause.TIMEOUT]
)
def test_a_block_that_no_worker_can_do_ends_the_run(cause: Cause) -> None:
    with pytest.raises(RunFailed, match=r"block 5 of epoch 0 failed \d times: look") as caught:
        train(is_sixth_block, cause)
    assert f"({cause}: so it is)" in str(caught.value)
    assert str(caught.value).startswith("Traceback: user code") == (cause is Cause.USER_ERROR)


def test_a_block_that_ends_every_worker_ends_the_run() -> None:
    with pytest.raises(RunFailed, match="block 5 of epoch 0 ended its worker 8 times"):
        train(is_sixth_block, Cause.LOST_WORKER)


@pytest.mark.parametrize("cause", [Cause.BAD_REPLY, Cause.TIMEOUT, Cause.LOST_WORKER])
def test_an_evaluation_that_no_worker_can_do_ends_the_run(cause: Cause) -> None:
    with pytest.raises(RunFailed, match="evaluation from sample 1000 on failed 3 times"):
        train(lambda work: work.kind == "evaluate" and work.params["start"] == 1000, cause)


@pytest.mark.parametrize("workers", [1, 4])
def test_one_bad_reply_costs_a_gradient_and_not_the_run(workers: int) -> None:
    assert train(lambda work: work.id == 7, Cause.BAD_REPLY, workers=workers).finished


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("cause", [Cause.NON_FINITE, Cause.BAD_REPLY, Cause.OUT_OF_MEMORY])
def test_a_worker_that_always_fails_costs_its_gradients_and_not_the_run(cause: Cause, workers: int) -> None:
    core = train(lambda work: work.kind == "gradient" and work.place.worker == "worker-1", cause, workers=workers)
    assert core.finished


def test_not_a_number_from_all_workers_ends_the_run_with_the_cause() -> None:
    with pytest.raises(RunFailed, match=r"every present worker returned NaN or Inf \(so it is\): lower the learning"):
        train(lambda work: work.kind == "gradient", Cause.NON_FINITE)

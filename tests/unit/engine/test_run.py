"""A run from spec to model on pools in this process: what it computes, what it leaves behind, how it resumes."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model
from torch.nn import functional

from orchestrator.assemble import core_of
from orchestrator.errors import CopyConflict, JournalDamaged, RunExists, RunStored
from orchestrator.explain import decisions
from orchestrator.fetch import fetch
from orchestrator.folder import shared_memory_of
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.records import Ended, Resumed
from orchestrator.lifecycle import resume, start
from orchestrator.pools.virtual import Faults
from orchestrator.records import Decided
from orchestrator.replay import Comparison
from orchestrator.verify import replay
from tests.support.digits_task import Digits
from tests.support.runs import StopAfter, digits_spec, inline, virtual
from trainers import Context, Split
from trainers.blocks import permutation

STORM = Faults(crash=0.02, back_s=1.5, lost=0.002, lost_after_s=4.0, duplicate=0.1, slow=0.1)


def plain_training_loop(spec: Any) -> dict[str, torch.Tensor]:
    """What anybody would write: the same model, the same batches, the same optimizer."""
    task, train = Digits(), spec.train
    torch.manual_seed(spec.seed)
    model = task.model()
    optimizer = torch.optim.SGD(model.parameters(), **train.optimizer.options)
    x, y = task.data(Split.TRAIN).tensors  # type: ignore[attr-defined]
    for epoch in range(int(train.epochs)):
        for indices in permutation(len(x), spec.seed, epoch).split(train.batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[indices]), y[indices]).backward()
            optimizer.step()
    return dict(model.state_dict())


def test_one_worker_that_all_wait_for_is_the_plain_training_loop_bit_for_bit(tmp_path: Path) -> None:
    spec = digits_spec(tmp_path, workers=1)
    outcome = start(spec, open_pool=inline)
    assert outcome.model_file is not None
    ours, plain = load_file(outcome.model_file), plain_training_loop(spec)
    assert ours.keys() == plain.keys()
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


def test_four_workers_that_all_wait_for_are_one_with_batches_four_times_as_large(tmp_path: Path) -> None:
    """1,200 samples: 24 blocks of 50 on four workers against 6 of 200 on one, for less than 10 steps."""
    four = start(digits_spec(tmp_path, batch_size=50, epochs=1), open_pool=inline)
    one = start(digits_spec(tmp_path, batch_size=200, epochs=1, workers=1), open_pool=inline)
    assert four.model_file is not None
    assert one.model_file is not None
    ours, theirs = load_file(four.model_file), load_file(one.model_file)
    for name in theirs:
        assert float((ours[name] - theirs[name]).norm() / theirs[name].norm()) <= 1e-6


@pytest.mark.parametrize("quorum", ["full", {"static": {"k": 3}}, "dynamic", "dbw", "rate", "adasync"])
def test_a_stormy_run_gives_the_bits_of_its_replay(tmp_path: Path, quorum: Any) -> None:
    outcome = start(digits_spec(tmp_path, quorum=quorum), open_pool=virtual(STORM))
    again = replay(outcome.folder)
    assert outcome.outcome == "done"
    assert again.same
    assert again.weights_sha256 == outcome.weights_sha256 != ""
    assert again.decisions > 0


def test_equal_specs_and_seeds_give_equal_runs(tmp_path: Path) -> None:
    one, other = (
        start(digits_spec(tmp_path, quorum="dynamic"), open_pool=virtual(STORM), name=name) for name in ("one", "other")
    )
    assert one.weights_sha256 == other.weights_sha256
    assert list(decisions(one.folder)) == list(decisions(other.folder))


def test_a_run_leaves_its_model_its_journal_and_nothing_in_shared_memory(tmp_path: Path) -> None:
    outcome = start(digits_spec(tmp_path), open_pool=inline, name="kept")
    model = Digits().model()
    assert outcome.model_file is not None
    load_model(model, outcome.model_file)
    x, y = Digits().data(Split.TEST).tensors  # type: ignore[attr-defined]
    assert float((model(x).argmax(1) == y).double().mean()) == pytest.approx(outcome.metrics["test_accuracy"])
    assert not shared_memory_of(outcome.folder).exists()
    *_, last = JournalReader(outcome.folder / "journal").records()
    assert isinstance(last, Ended)
    assert last.outcome == "done"


def test_a_run_that_was_stopped_goes_on_and_ends_as_its_replay(tmp_path: Path) -> None:
    stop = StopAfter(40)
    stopped = start(digits_spec(tmp_path), open_pool=inline, observers=[stop], stop=stop)
    assert stopped.outcome == "interrupted"
    assert not stopped.weights_sha256
    done = resume(stopped.folder, open_pool=inline)
    assert done.outcome == "done"
    assert done.rounds > stopped.rounds > 0
    assert replay(done.folder).weights_sha256 == done.weights_sha256
    assert sum(isinstance(record, Resumed) for record in JournalReader(done.folder / "journal").records()) == 1


def test_persisted_values_that_are_damaged_are_made_again(tmp_path: Path) -> None:
    stop = StopAfter(40)
    stopped = start(digits_spec(tmp_path), open_pool=inline, observers=[stop], stop=stop)
    persisted = list((stopped.folder / "values").iterdir())
    assert persisted
    for file in persisted:
        file.write_bytes(file.read_bytes()[:-1])
    done = resume(stopped.folder, open_pool=inline)
    assert done.outcome == "done"
    assert replay(done.folder).weights_sha256 == done.weights_sha256


def test_resuming_a_run_that_is_done_says_the_same_again(tmp_path: Path) -> None:
    done = start(digits_spec(tmp_path), open_pool=inline)
    records = len(list(JournalReader(done.folder / "journal").records()))
    assert resume(done.folder, open_pool=inline) == done
    assert len(list(JournalReader(done.folder / "journal").records())) == records


def test_a_name_that_is_taken_is_refused_and_what_is_there_stays(tmp_path: Path) -> None:
    start(digits_spec(tmp_path, epochs=0.1), open_pool=inline, name="mine")
    before = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    with pytest.raises(RunExists, match="ripieno resume mine"):
        start(digits_spec(tmp_path), open_pool=inline, name="mine")
    assert {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()} == before


def test_a_task_that_raises_fails_the_run_with_its_own_traceback_first(tmp_path: Path) -> None:
    spec = digits_spec(tmp_path).model_copy(update={"task": "tests.unit.engine.test_run:Broken"})
    outcome = start(spec, open_pool=inline)
    assert outcome.outcome == "failed"
    assert outcome.reason.startswith("Traceback")
    assert "the user's own mistake" in outcome.reason
    assert resume(outcome.folder, open_pool=inline).outcome == "failed"


class Broken(Digits):
    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        raise RuntimeError("the user's own mistake")


def test_a_journal_that_may_forget_is_copied_and_resumed_all_the_same(tmp_path: Path) -> None:
    stop = StopAfter(600)
    storage = tmp_path / "elsewhere"
    spec = digits_spec(tmp_path / "runs", epochs=20, quorum={"static": {"k": 2}}).model_copy(
        update={"keep_journal": "since_snapshot", "storage": str(storage)}
    )
    stopped = start(spec, open_pool=virtual(), observers=[stop], stop=stop)
    with pytest.raises(JournalDamaged, match="forgotten"):
        list(JournalReader(stopped.folder / "journal").records())
    done = resume(stopped.folder, open_pool=virtual())
    assert done.outcome == "done"
    assert done.metrics["test_accuracy"] > 0.8
    assert (storage / done.run / "journal" / "manifest.json").exists()
    assert list((storage / done.run / "values").iterdir())


def test_a_run_that_lost_its_disk_goes_on_from_its_copy(tmp_path: Path) -> None:
    storage, state = tmp_path / "elsewhere", tmp_path / "runs"
    spec = digits_spec(state).model_copy(update={"storage": str(storage)})
    stop = StopAfter(40)
    stopped = start(spec, open_pool=inline, observers=[stop], stop=stop)
    with pytest.raises(RunExists):
        fetch(str(storage), stopped.run, state)
    rmtree(state)
    assert fetch(str(storage), stopped.run, state) == ()
    done = resume(stopped.folder, open_pool=inline)
    assert done.outcome == "done"
    assert replay(done.folder).weights_sha256 == done.weights_sha256
    with pytest.raises(JournalDamaged):
        fetch(str(storage), "never", state)


def test_a_run_whose_name_is_taken_in_its_storage_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    storage = {"storage": str(tmp_path / "elsewhere")}
    start(digits_spec(tmp_path / "lost").model_copy(update=storage), open_pool=inline, name="mine")
    with pytest.raises(RunStored, match="ripieno restore mine --storage"):
        start(digits_spec(tmp_path / "runs").model_copy(update=storage), open_pool=inline, name="mine")
    assert not (tmp_path / "runs" / "mine").exists()


def test_an_engine_whose_copy_is_taken_over_by_another_ends_with_that(tmp_path: Path) -> None:
    storage = tmp_path / "elsewhere"
    stop = StopAfter(40)
    spec = digits_spec(tmp_path / "runs").model_copy(update={"storage": str(storage)})
    stopped = start(spec, open_pool=inline, observers=[stop], stop=stop)
    copytree(tmp_path / "runs", tmp_path / "twin")
    resume(tmp_path / "twin" / stopped.run, open_pool=inline)
    with pytest.raises(CopyConflict):
        resume(stopped.folder, open_pool=virtual())


def test_how_an_earlier_engine_ended_is_not_how_the_run_did(tmp_path: Path) -> None:
    """Killed between the journal's last record and the file."""
    stop = StopAfter(40)
    stopped = start(digits_spec(tmp_path), open_pool=inline, observers=[stop], stop=stop)
    before = (stopped.folder / "outcome.json").read_bytes()
    done = resume(stopped.folder, open_pool=inline)
    (stopped.folder / "outcome.json").write_bytes(before)
    again = resume(stopped.folder, open_pool=inline)
    assert (again.outcome, again.weights_sha256) == ("done", done.weights_sha256)
    assert resume(stopped.folder, open_pool=inline) == again


def test_a_restore_that_broke_off_leaves_nothing_and_can_be_done_again(tmp_path: Path) -> None:
    storage, state = tmp_path / "elsewhere", tmp_path / "runs"
    spec = digits_spec(state, epochs=0.5).model_copy(update={"storage": str(storage)})
    stop = StopAfter(10)
    stopped = start(spec, open_pool=inline, observers=[stop], stop=stop)
    rmtree(state)
    *_, last = sorted((storage / stopped.run / "journal").glob("s*"))  # segments, snapshots
    data = last.read_bytes()
    last.unlink()
    last.mkdir()  # cannot be read
    with pytest.raises(OSError, match=last.name):
        fetch(str(storage), stopped.run, state)
    assert list(state.iterdir()) == []
    last.rmdir()
    last.write_bytes(data)
    assert fetch(str(storage), stopped.run, state) == ()
    assert [path.name for path in state.iterdir()] == [stopped.run]
    assert resume(stopped.folder, open_pool=inline).outcome == "done"


def test_the_decisions_say_how_many_and_why(tmp_path: Path) -> None:
    outcome = start(digits_spec(tmp_path, quorum="dynamic"), open_pool=virtual())
    decided = [record for record in decisions(outcome.folder) if isinstance(record, Decided)]
    assert decided[-1].decision.wait_for <= 3  # the fourth is five times slower
    assert all(record.decision.why for record in decided)
    assert outcome.time_saved is not None
    assert outcome.time_saved.full_s > 2 * outcome.time_saved.actual_s


def test_context_is_what_the_workers_have() -> None:
    """Guards the loop above: the permutation that it uses is the one that gradients use."""
    context = Context(Digits(), seed=3)
    assert torch.equal(context.order(1), permutation(1200, 3, 1))


def test_a_replay_by_code_that_decides_otherwise_says_where_it_parts_and_stops(tmp_path: Path) -> None:
    outcome = start(digits_spec(tmp_path, epochs=1), open_pool=inline)
    other = Comparison(core_of(digits_spec(tmp_path, epochs=1, quorum={"static": {"k": 1}})))
    other.run(JournalReader(outcome.folder / "journal").records())
    assert len(other.differing) == 1
    assert other.differing[0].startswith("wake "), other.differing

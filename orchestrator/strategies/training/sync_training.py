"""Data-parallel SGD that waits for k of n: gradients of the newest weights, then one step of the optimizer.

Push-and-wait: a worker that is late finishes its gradient of old weights (dropped, but timed) and then gets the newest.
With Late.INTERRUPT it is stopped instead, at its next micro-batch, and its time is a lower bound of what it would take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, sqrt

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import Cause, Failure, Json, Model, Ref, Row, Told, Work
from orchestrator.strategies.blocks import Blocks
from orchestrator.strategies.evaluation import Evaluation
from orchestrator.strategies.question import Question
from orchestrator.strategies.training import works
from orchestrator.strategies.training.best import NONE
from orchestrator.strategies.training.learning_rate import exponent, tested
from orchestrator.strategies.training.settings import SyncTrainingSettings
from orchestrator.strategies.training.signals import signals_of
from orchestrator.strategies.training.state import Gradient, Phase, State

WORKERS_FAILED = 3  # at one block of data, then the run ends: no worker can do better
FAILURES = 8  # of one block of data, whoever failed, then the run ends
LOSSES = 8  # of workers that were at one block of data, then the run ends: the block may be what ends them
LOST = (Cause.LOST_WORKER, Cause.LOST_NODE)
TRIES_AGAIN = (*LOST, Cause.PREEMPTED, Cause.TIMEOUT, Cause.BAD_REPLY)


class SyncTraining:
    """The strategy of `train`. One round is one step: k gradients (QUORUM), then their aggregate (REQUIRED).

    With local steps an answer is the way that a worker's own steps went, and the outer optimizer steps along the mean.
    Holds: a worker is asked at most once for each version of the weights, so no worker's data weigh double.
    Exact: the aggregate sums in order of work id, whatever the order of arrival.
    """

    def __init__(self, settings: SyncTrainingSettings) -> None:
        self.settings = settings
        self._state = State()
        self._published = False  # new weights since the last ask: look at all idle workers, not only the fresh ones

    def ask(self, idle: Idle) -> Sequence[Work]:
        state = self._state
        asked: list[Work] = []
        if state.phase is Phase.GRADIENTS:
            candidates: Iterable[str] = idle if self._published else idle.fresh
            trusted_first = sorted(candidates, key=state.suspects.__contains__)  # a block that failed goes to them
            asked.extend(self._gradient(worker) for worker in trusted_first if self._may_ask(worker, idle))
            self._published = False
        elif not state.asked_aside:
            asked.extend(self._work(question) for question in self._aside())
        if state.evaluation is not None:
            for start, count in state.evaluation.parts_to_ask():
                asked.append(self._work(works.evaluation_part(state.evaluation, start, count, state.phase)))
        return asked

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        rows: list[Row] = []
        counted: list[Told] = []
        for told in results:
            match told.work.kind:
                case "gradient" | "local_steps" if told.result.failure is None:
                    counted.append(told)
                case "gradient" | "local_steps":
                    assert told.result.failure is not None
                    self._gradient_failed(told, told.result.failure)
                case "evaluate":
                    rows.extend(self._evaluated(told))
                case "aggregate":
                    rows.append(self._stepped(told))
                case "range_test":
                    self._tested(told)
                case _:
                    self._initialised(told)
        if counted:
            self._quorum_met(counted)
        return rows

    def may_ask(self, worker: str) -> bool:
        return self._state.phase is Phase.GRADIENTS

    @property
    def finished(self) -> bool:
        return self._state.phase is Phase.DONE

    @property
    def signals(self) -> Mapping[str, float]:
        return self._state.signals

    @property
    def model(self) -> Model | None:
        """Where runs stop early, the best version; else the newest, averaged if there is an average."""
        weights = (self._state.best.weights if self.settings.stopping else NONE) or self._state.current
        return Model(weights, self.settings.model) if weights else None

    @property
    def checkpoints(self) -> Mapping[str, Model]:
        """Versions that are to lie on disk now, by name."""
        state = self._state
        kept = {f"step-{step:08}": ref for step, ref in state.checkpoints.items()}
        if state.best.weights:
            kept["best"] = state.best.weights
        return {name: Model(ref, self.settings.model) for name, ref in kept.items()}

    @property
    def order(self) -> str:
        """Hash of the blocks used so far, in order."""
        return self._state.blocks.order

    def held(self) -> Iterable[Ref]:
        return self._state.refs()

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State, strict=False)
        self._published = False

    # -- asking -----------------------------------------------------------------------------------------------------

    def _work(self, question: Question) -> Work:
        """Round 0 makes the first weights, round n is step n."""
        state = self._state
        round_ = 0 if state.phase in (Phase.INIT, Phase.RANGE) else state.step + 1
        work = question.numbered(state.next_id, round_, self.settings.model)
        state.next_id += 1
        return work

    def _aside(self) -> Sequence[Question]:
        """The work of this phase that no quorum counts."""
        state, settings = self._state, self.settings
        state.asked_aside = True
        if state.phase is Phase.INIT:
            return [works.init(settings)]
        if state.phase is Phase.RANGE:
            return works.range_tests(settings, state)
        if state.phase is Phase.AGGREGATE:
            return [works.aggregate(settings, state, lawa=self._lawa_due(step=state.step + 1))]
        return []

    def _may_ask(self, worker: str, idle: Idle) -> bool:
        if worker in self._state.asked or worker not in idle:
            return False
        self._state.asked[worker] = None
        return True

    def _gradient(self, worker: str) -> Work:
        number = self._state.blocks.take(self._state.next_id)
        return self._work(works.gradient(self.settings, self._state, worker, number))

    def _lawa_due(self, step: int) -> bool:
        lawa, state = self.settings.lawa, self._state
        return lawa is not None and state.due(lawa.every, state.averages, step)

    # -- being told -------------------------------------------------------------------------------------------------

    def _initialised(self, told: Told) -> None:
        state, settings = self._state, self.settings
        state.weights, state.optimizer = told.result.outputs["weights"], told.result.outputs["optimizer"]
        state.samples = {
            split: int(told.result.metrics[f"{split}_samples"]) for split in ("train", "validation", "test")
        }
        if settings.best is not None and not state.samples["validation"]:
            raise RunFailed(
                "the best version is chosen on validation data, and the task has none: leave out "
                "early_stopping and checkpoints.best, or let Task.data return some"
            )
        state.blocks = Blocks(per_epoch=ceil(state.samples["train"] / settings.block_size))
        state.exponent = exponent(settings.learning_rate.rule, {})
        if settings.learning_rate.rule == "knee" and settings.workers > 1:
            state.phase, state.asked_aside = Phase.RANGE, False
        else:
            self._publish()

    def _tested(self, told: Told) -> None:
        state, settings = self._state, self.settings
        k = int(str(told.work.params["batch_size"])) // settings.batch_size
        state.knees[k] = told.result.metrics["knee"]
        if len(state.knees) == len(tested(settings.workers)):
            state.exponent = exponent(settings.learning_rate.rule, dict(sorted(state.knees.items())))
            self._publish()

    def _publish(self) -> None:
        """New weights are there: everybody idle may be asked for their gradient."""
        state = self._state
        state.phase, state.asked_aside = Phase.GRADIENTS, False
        state.asked.clear()
        self._published = True

    def _gradient_failed(self, told: Told, failure: Failure) -> None:
        state = self._state
        if told.work.id not in state.blocks.out:
            return  # its round is over: the block has come back already
        block = state.blocks.give_back(told.work.id)
        if failure.cause is not Cause.PREEMPTED:
            self._blame(block, told.work.place.worker, failure)
        if failure.cause in TRIES_AGAIN:
            state.asked.pop(told.work.place.worker, None)

    def _blame(self, block: int, worker: str, failure: Failure) -> None:
        """Counts a failure against the worker and its block of data. Raises RunFailed when it must be the block."""
        state = self._state
        if failure.cause in LOST:
            state.losses[block] = state.losses.get(block, 0) + 1
            happened = f"ended its worker {LOSSES} times" if state.losses[block] >= LOSSES else ""
        else:
            state.suspects[worker] = None
            failed = state.failures.setdefault(block, [])
            failed.append(worker)
            enough = len(set(failed)) >= WORKERS_FAILED or len(failed) >= FAILURES
            happened = f"failed {len(failed)} times" if enough else ""
        if happened:
            epoch, number = divmod(block, state.blocks.per_epoch)
            reason = f"block {number} of epoch {epoch} {happened}: look at its samples"
            raise RunFailed(f"{reason} ({failure.cause}: {failure.message})", traceback=failure.traceback)

    def _quorum_met(self, counted: Sequence[Told]) -> None:
        state = self._state
        for told in sorted(counted, key=lambda told: told.work.id):
            outputs, metrics = told.result.outputs, told.result.metrics
            gradient = Gradient(
                told.work.id,
                told.work.place.worker,
                outputs["gradient"],
                metrics["samples"],
                metrics["loss"],
                metrics["norm2"],
                metrics.get("reach", 0.0),
                outputs.get("inner", NONE),
                metrics.get("loss_scale", state.scale.scale),
            )
            state.gradients.append(gradient)
            state.suspects.pop(gradient.worker, None)
            if gradient.inner:
                state.inner[gradient.worker] = gradient.inner
        state.blocks.use(gradient.work_id for gradient in state.gradients)
        state.phase = Phase.AGGREGATE

    def _stepped(self, told: Told) -> Row:
        state, settings = self._state, self.settings
        outputs, metrics = told.result.outputs, told.result.metrics
        state.signals = signals_of(state, settings, metrics)
        if settings.gradient_statistics:
            state.previous_weights, state.previous_mean = state.weights, outputs["mean"]
        state.weights, state.optimizer = outputs["weights"], outputs["optimizer"]
        state.step += 1
        state.scale.stepped(min(gradient.scale for gradient in state.gradients))
        if "average" in outputs:
            self._averaged(outputs["average"])
        row = Row(state.step, self._figures(metrics))
        state.gradients = []
        self._publish()
        self._checkpoint()
        self._evaluate_or_end()
        return row

    def _averaged(self, average: Ref) -> None:
        state, lawa = self._state, self.settings.lawa
        state.average = average
        if lawa is not None:
            state.averages += 1
            state.kept = [*state.kept, state.weights][-(lawa.checkpoints - 1) :]

    def _figures(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        state = self._state
        scaled = self.settings.backward.get("precision") == "float16"
        return {
            "epoch": state.blocks.used / state.blocks.per_epoch,
            "loss": state.signals["loss"],
            "waited_for": float(len(state.gradients)),
            "samples": sum(gradient.samples for gradient in state.gradients),
            "learning_rate": metrics["learning_rate"],
            "gradient_norm": sqrt(metrics["norm2"]),
            **({"loss_scale": state.scale.scale} if scaled else {}),
        }

    def _checkpoint(self) -> None:
        state, checkpoints = self._state, self.settings.checkpoints
        if checkpoints is None or checkpoints.every is None:
            return
        if state.due(checkpoints.every, state.checkpointed, state.step):
            state.checkpointed += 1
            state.checkpoints[state.step] = state.current
            for step in list(state.checkpoints)[: -checkpoints.keep]:
                del state.checkpoints[step]

    # -- evaluation and the end -------------------------------------------------------------------------------------

    def _evaluate_or_end(self) -> None:
        """The model is evaluated on test data, if there are any; some versions before it on validation data."""
        state, settings = self._state, self.settings
        if self._patience_ended or state.blocks.all_used(below=state.blocks.in_epochs(settings.epochs)):
            state.phase, state.asked_aside = Phase.TEST, True
            if settings.best is not None and not self._patience_ended and not self._known:
                self._begin("validation", state.current)  # the last version may be the best
            else:
                self._begin("test", self._final)
        elif state.due(settings.evaluate_every, state.evaluations, state.step):
            state.evaluations += 1
            if state.evaluation is None and not self._known:  # else one is still under way, and this one is left out
                self._begin("validation", state.current)

    @property
    def _patience_ended(self) -> bool:
        stopping = self.settings.stopping
        return stopping is not None and self._state.best.waited >= stopping.patience

    @property
    def _known(self) -> bool:
        """The model has been judged as it is: LAWA's stays the same between its intervals."""
        return self._state.current == self._state.best.judged

    @property
    def _final(self) -> Ref:
        assert self.model is not None
        return self.model.weights

    def _begin(self, split: str, weights: Ref) -> None:
        """An evaluation. At the end all its parts are asked at once, and without samples there is none."""
        state, together = self._state, self._state.phase is Phase.TEST
        samples, now = state.samples[split], state.evaluation
        if now is not None and (now.split, now.weights) == (split, weights):
            now.together = together
        else:
            state.evaluation = Evaluation(split, state.step, weights, samples, together) if samples else None
        if together and state.evaluation is None:
            self._ended(split)

    def _evaluated(self, told: Told) -> Sequence[Row]:
        state, settings, evaluation = self._state, self.settings, self._state.evaluation
        rows = evaluation.told(told) if evaluation is not None else ()
        if evaluation is None or not rows:
            return rows
        state.evaluation = None
        if evaluation.split == "validation" and settings.best is not None:
            metric, mode = settings.best
            value = self._judged(metric, rows[0].metrics)
            min_delta = settings.stopping.min_delta if settings.stopping else 0.0
            state.best.saw(value, evaluation.step, evaluation.weights, mode, min_delta)
        if state.phase is Phase.TEST:
            self._ended(evaluation.split)
        return rows

    def _judged(self, metric: str, metrics: Mapping[str, float]) -> float:
        if f"validation_{metric}" not in metrics:
            known = ", ".join(sorted(name.removeprefix("validation_") for name in metrics))
            raise RunFailed(f"the best version is chosen by {metric!r}, but the task's metrics are {known}")
        return metrics[f"validation_{metric}"]

    def _ended(self, split: str) -> None:
        """The last evaluation on this split is over, if there was one."""
        if split == "validation":
            self._begin("test", self._final)
        else:
            self._state.phase = Phase.DONE

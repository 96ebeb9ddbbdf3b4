"""Doing a piece of work in this process: inputs from values, the function of `trainers`, outputs to values."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType

import torch

from cluster.shared_memory import SharedMemoryFull
from orchestrator.errors import ValueConflict, ValueMissing
from orchestrator.pools.execute import Execute, WorkFailed
from orchestrator.protocols import Values
from orchestrator.records import Cause, Failure, Ref, Work
from trainers import Context, run_kind
from trainers.errors import Interrupted, NonFinite, ValueDamaged, WeightsMismatch

OURS = ("orchestrator.", "trainers.", "cluster.")
TOLD = 1 << 14
"""Characters of a message, and of a traceback: a result that carries them has to get through."""


def executor(values: Values, context: Context) -> Execute:
    """Does work with this context, one piece at a time; whatever goes wrong becomes a WorkFailed."""
    context = replace(context, room=values.room)

    def execute(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        try:
            inputs = {name: values.get(ref) for name, ref in work.inputs.items()}
            outputs, metrics = run_kind(work.kind, inputs, work.params, context.for_work(work.id))
            refs = {name: Ref(f"{work.id}.{name}") for name in outputs}
            for name, value in outputs.items():
                values.put(refs[name], value)
            return refs, metrics
        except Exception as error:
            raise WorkFailed(failure_of(error)) from error

    return execute


def failure_of(error: Exception) -> Failure:
    """What an exception from a piece of work means; the user's code is to blame for what nobody here raises."""
    cause, message, traceback_ = _meaning(error)
    if len(message) > TOLD:
        message = f"{message[:TOLD]}… ({len(message):,} characters)"
    return Failure(cause, _sendable(message), _sendable(traceback_[-TOLD:]))


def _sendable(text: str) -> str:
    """As it is but for what no encoding has, such as a file's name that is not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _meaning(error: Exception) -> Failure:
    message = f"{type(error).__name__}: {error}".rstrip(": ")
    match error:
        case NonFinite():
            return Failure(Cause.NON_FINITE, str(error))
        case Interrupted():
            return Failure(Cause.CANCELLED, str(error))
        case MemoryError() | torch.OutOfMemoryError() | SharedMemoryFull():
            return Failure(Cause.OUT_OF_MEMORY, message)
        case ValueMissing() | ValueConflict() | ValueDamaged() | WeightsMismatch():
            return Failure(Cause.BAD_REPLY, str(error))
        case _:
            return Failure(Cause.USER_ERROR, message, _users_traceback(error))


def _users_traceback(error: Exception) -> str:
    """From where our code calls the user's on; all of it if it never does."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(OURS):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))

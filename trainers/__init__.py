"""What runs on a worker, in plain PyTorch: a user's Task and the kinds of work that train it."""

from trainers.building import build_model
from trainers.context import Context
from trainers.determinism import machine, make_deterministic
from trainers.errors import TrainersError
from trainers.flat import unflatten
from trainers.kinds import KINDS, run_kind
from trainers.loading import load_task, require_model_arguments
from trainers.memory import keep_freed_memory
from trainers.optimizers import check_optimizer
from trainers.parallel import limit_cores
from trainers.randomness import claim_generators
from trainers.schedules import check_schedule
from trainers.task import Split, Task
from trainers.tensors import Tensors, decode, encode, fingerprint

__all__ = [
    "KINDS",
    "Context",
    "Split",
    "Task",
    "Tensors",
    "TrainersError",
    "build_model",
    "check_optimizer",
    "check_schedule",
    "claim_generators",
    "decode",
    "encode",
    "fingerprint",
    "keep_freed_memory",
    "limit_cores",
    "load_task",
    "machine",
    "make_deterministic",
    "require_model_arguments",
    "run_kind",
    "unflatten",
]

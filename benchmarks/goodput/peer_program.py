"""Run in the peer's environment: Ray Train, restarted from its last checkpoint after every failure.

python peer_program.py FOLDER CHECKPOINT_EVERY_S
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"
os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.5"  # by default 2: failures are seen, checkpoints taken, sooner

import ray
import torch
from problem import BATCH, LEARNING_RATE, WORKERS, announce, load, model, normalised
from ray import train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, prepare_model

STATE = "state.pt"


def loop(settings: dict[str, Any]) -> None:
    """Each rank writes a line `t step loss` a step; a first line `t start step` a life; rank 0 `t checkpoint step`."""
    torch.set_num_threads(1)
    folder, every_s = Path(settings["folder"]), settings["checkpoint_every_s"]
    rank = train.get_context().get_world_rank()
    pixels, labels = load(folder)
    torch.manual_seed(0)
    plain = model()
    optimizer = torch.optim.SGD(plain.parameters(), lr=LEARNING_RATE)
    step = 0
    if checkpoint := train.get_checkpoint():
        with checkpoint.as_directory() as place:
            state = torch.load(Path(place) / STATE, weights_only=True)
        plain.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    net = prepare_model(plain)
    announce(folder)
    blocks = len(labels) // (BATCH * WORKERS)
    permutation, epoch = torch.empty(0), -1
    with (folder / f"rank-{rank}.log").open("a", buffering=1) as log:
        log.write(f"{time.time()} start {step}\n")
        due_s = time.monotonic() + every_s
        while True:
            if step // blocks != epoch:
                epoch = step // blocks
                permutation = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
            first = (step % blocks * WORKERS + rank) * BATCH
            indices = permutation[first : first + BATCH]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(normalised(pixels[indices])), labels[indices])
            loss.backward()
            optimizer.step()
            step += 1
            log.write(f"{time.time()} {step} {loss.item()}\n")
            # Both ranks must report together: rank 0 decides, and says so every few steps.
            if step % settings["ask_every"] == 0:
                due = torch.tensor([float(rank == 0 and time.monotonic() >= due_s)])
                torch.distributed.broadcast(due, src=0)
                if due.item():
                    report(rank, step, plain, optimizer)
                    log.write(f"{time.time()} checkpoint {step}\n")
                    due_s = time.monotonic() + every_s


def report(rank: int, step: int, plain: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    if rank != 0:
        train.report({"step": step})
        return
    with tempfile.TemporaryDirectory() as place:
        state = {"model": plain.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        torch.save(state, Path(place) / STATE)
        train.report({"step": step}, checkpoint=Checkpoint.from_directory(place))


if __name__ == "__main__":
    folder, every_s = Path(sys.argv[1]), float(sys.argv[2])
    environment = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}}
    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=environment,
        _temp_dir=str(folder / "ray"),
    )
    TorchTrainer(
        loop,
        train_loop_config={"folder": str(folder), "checkpoint_every_s": every_s, "ask_every": 5},
        scaling_config=ScalingConfig(num_workers=WORKERS, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name="peer",
            storage_path=str(folder / "store"),
            failure_config=FailureConfig(max_failures=-1),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    ).fit()

"""One process of DDP: `python -m benchmarks.step_overhead.peer RANK PROCESSES WIDTH STORE`, told what to do on stdin.

Each line "compute N" or "ddp N" is a window of N steps, after WARM_UP others; rank 0 answers with its seconds.
"weights FILE" writes the model. A window begins and ends with a barrier, so the slowest process counts.
"""

from __future__ import annotations

import sys
import time
from itertools import count

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn, optim
from torch.nn.parallel import DistributedDataParallel

from benchmarks.step_overhead.task import BATCH_SIZE, OPTIMIZER, SEED, WARM_UP, Layers
from trainers import Context, Split, keep_freed_memory, make_deterministic
from trainers.blocks import block_of
from trainers.building import build_model
from trainers.randomness import seeded


class Peer:
    """The same data in the same order as Ripieno's: step s of rank r is block s·n + r of the epoch."""

    def __init__(self, rank: int, processes: int, width: int) -> None:
        self._rank, self._processes = rank, processes
        self._context = Context(Layers(), SEED)
        with seeded(SEED, torch.device("cpu")):
            self._plain = build_model(self._context.task, {"width": width})
        with seeded(SEED, torch.device("cpu")):
            model = build_model(self._context.task, {"width": width})
        self._ddp = DistributedDataParallel(model, gradient_as_bucket_view=True)
        self._optimizer = optim.SGD(model.parameters(), **OPTIMIZER)
        self._blocks = count(rank, processes)

    def compute(self, steps: int) -> None:
        """Forward and backward and nothing else, with the other processes at it too."""
        for step in range(steps):
            self._plain.zero_grad()
            self._backward(self._plain, step * self._processes + self._rank)

    def ddp(self, steps: int) -> None:
        for _ in range(steps):
            self._optimizer.zero_grad()
            self._backward(self._ddp, next(self._blocks))
            self._optimizer.step()

    def save(self, file: str) -> None:
        save_file(self._ddp.module.state_dict(), file)

    def _backward(self, module: nn.Module, block: int) -> None:
        indices = block_of(self._context.order(0), block, BATCH_SIZE)
        loss = self._context.task.loss(module, self._context.batch(Split.TRAIN, indices))
        torch.autograd.backward(loss)
        loss.item()


def main(rank: int, processes: int, width: int, store: str) -> None:
    keep_freed_memory()
    make_deterministic(threads=1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=processes)
    peer = Peer(rank, processes, width)
    windows = {"compute": peer.compute, "ddp": peer.ddp}
    taken_s = 0.0
    for line in sys.stdin:
        what, argument = line.split()
        if what == "weights":
            if rank == 0:
                peer.save(argument)
        else:
            windows[what](WARM_UP)
            dist.barrier()
            started_s = time.perf_counter()
            windows[what](int(argument))
            dist.barrier()
            taken_s = time.perf_counter() - started_s
        if rank == 0:
            print(taken_s, flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

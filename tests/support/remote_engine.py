"""An engine to be ended from outside: python -m tests.support.remote_engine FOLDER ADDRESS|local.

Says the workers' process ids when both are at work that never ends, and closes its pool when its standard input does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cluster.launchers import RayLauncher
from tests.support.remote import Workplace
from tests.support.remote_worker import until


def main(folder: Path, address: str) -> None:
    names = ["worker-0", "worker-1"]
    launcher = RayLauncher(None if address == "local" else address)
    place = Workplace(folder / "shared", names, launcher=launcher)
    for number, name in enumerate(names):
        place.ask(number, name, "pid")
    pids = [int(result.metrics["pid"]) for result in place.results(0, 1)]
    for number, name in enumerate(names, start=len(names)):
        place.ask(number, name, "wait", file=str(folder / name))
        until((folder / name).with_suffix(".begun").exists)
    print(json.dumps({"pids": pids}), flush=True)
    sys.stdin.read()
    place.pool.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

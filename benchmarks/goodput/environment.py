"""The peer's own environment under benchmarks/.envs, made on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("ray[train]==2.60.0", "torch==2.13.0")
FOLDER = Path(__file__).parents[1] / ".envs" / "ray-train"


def python_of_peer() -> Path:
    """Its interpreter. Cost: minutes and 2 GB the first time, then nothing."""
    python, complete = FOLDER / "bin" / "python", FOLDER / ".complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        complete.touch()
    return python

"""Which commit a folder's code is at."""

import subprocess
from pathlib import Path


def commit_of(folder: Path) -> str:
    """`<40 hex digits>`, with `-dirty` where tracked files differ from it; "" outside of git, or without git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()

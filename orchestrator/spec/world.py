"""What a spec names outside itself: its task, its optimizer, its folders. Looks, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from orchestrator.spec.models import TrainSpec
from orchestrator.spec.problems import Complaint, Keys, did_you_mean, dotted

TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "file", "databricks")
STORAGE_SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "hdfs")


def absences(spec: TrainSpec) -> Iterator[Complaint]:
    """What is not there, or not as the spec says. Cost: imports torch and the user's module."""
    if why := _folder(Path(spec.state)):
        yield Complaint((("state",),), f"state: {spec.state} {why}")
    if spec.tracking.uri is not None:
        yield from _scheme(("tracking", "uri"), spec.tracking.uri, TRACKING_SCHEMES)
    if spec.storage is not None:
        yield from _scheme(("storage",), spec.storage, STORAGE_SCHEMES)


def _scheme(keys: Keys, uri: str, known: tuple[str, ...]) -> Iterator[Complaint]:
    """scheme or scheme+driver before ://; without one it is a path."""
    scheme = uri.partition("://")[0].partition("+")[0] if "://" in uri else "file"
    if scheme not in known:
        near = did_you_mean(scheme, known) or "."
        message = f"{dotted(keys)}: {uri!r} begins with no known scheme{near} Allowed: {', '.join(known)}."
        yield Complaint((keys,), message)


def _folder(folder: Path) -> str:
    """Why it can be neither made nor written to, to follow its name; "" if it can. Tries by a file without a name."""
    try:
        above = next(path for path in (folder, *folder.absolute().parents) if _exists(path))
        if not above.is_dir():
            return f"is {'' if above == folder else f'below {above}, '}a regular file. Give a folder that can be made."
        with tempfile.TemporaryFile(dir=above):
            return ""
    except (OSError, ValueError) as error:
        return f"cannot be written ({getattr(error, 'strerror', None) or error}). Give a folder on a writable disk."


def _exists(path: Path) -> bool:
    """As Path.exists, but a name that can never be one is an error."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True

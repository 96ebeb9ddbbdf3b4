"""Named immutable bytes in the shared memory of one host: a folder of files that are written once and mapped to read.

Fresh pages of shared memory cost four times what copying into them does. So a removed file is kept as a spare until
the next `remove`, and the next value of its size is written over it, by preference by a process that has it mapped.
Whoever reads a file holds a shared flock on it for as long as a view lives (the kernel lets go with the last one, or
with the process), and a file is written over only if an exclusive one can be had: a view never changes.
"""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TypeAlias, TypeVar
from weakref import finalize

from cluster.mappings import Mappings

Bytes: TypeAlias = bytes | bytearray | memoryview
T = TypeVar("T")

NAME_BYTES = 255

_OWNER = ".owner"  # flocked by the process that created the folder, for as long as it lives
_SPARE = ".spare"  # <size in bytes>/<file>: removed, and not yet written over
_SMALLEST_SPARE_BYTES = 1 << 16

_process = secrets.token_hex(4)  # process ids of two containers may be alike
_numbers = count()


class OtherBytes(Exception):
    """A name was written twice, with other bytes. path: of the file, which holds the first ones still."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is there already with other bytes; a name is written once"


class SharedMemoryFull(Exception):
    """The file system of the folder has less room than is needed."""

    def __init__(self, path: str, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(path, needed_bytes, free_bytes)
        self.path, self.needed_bytes, self.free_bytes = path, needed_bytes, free_bytes

    def __str__(self) -> str:
        return (
            f"{self.path} needs {self.needed_bytes / 1e6:,.0f} MB and its file system has "
            f"{self.free_bytes / 1e6:,.0f} MB free. A container gets 64 MB of /dev/shm unless told "
            "otherwise: start it with --shm-size (Docker) or an emptyDir of medium Memory (Kubernetes), or make "
            "the model or the number of workers smaller."
        )


class Draft:
    """Bytes that are to become a value: filled in, published once, and not touched any more.

    buffer: writable, at first with whatever was there. One that is dropped leaves nothing behind.
    """

    def __init__(self, buffer: memoryview, aside: str | None) -> None:
        """aside: the file that the buffer is mapped from; None: it is this process's own memory."""
        self.buffer, self.aside = buffer, aside
        if aside is not None:
            finalize(self, _unlink, aside).atexit = False


class SharedFolder:
    """One folder of values, open to the processes of one user on one host.

    Names that begin with "." are no values: whoever shares the folder may keep a socket or a token under one.

    create: makes the folder (mode 0700) and owns it: `close` removes it, and after this process's death `reap` may.
        Without it the folder must be there, and `close` leaves it alone.
    writer: names this process in what it has not finished, for `abandon`: letters and digits; "": any name will do.
    Threads: any may call anything. Processes: any number.

    Raises:
        FileExistsError: create, and a living process owns a folder of this name (a dead one's is replaced).
        FileNotFoundError: not create, and there is none. PermissionError: it is another user's.
    """

    def __init__(self, path: Path, create: bool, writer: str = "") -> None:
        self.path = path
        self._writer = writer or f"{os.getpid()}-{_process}"
        self._root = str(path)  # the way to a value is short, and pathlib would be a third of it
        self._owner = _create(path) if create else None
        if path.stat().st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "the shared folder belongs to another user", str(path))
        self._to_read, self._to_write = Mappings(writable=False), Mappings(writable=True)

    def write(self, name: str, parts: Sequence[Bytes]) -> None:
        """Stores the parts, one after another, under a name; they are there whole or not at all.

        The first to write a name wins; the same bytes again are no news.

        Args:
            name: see `can_name`.
            parts: contiguous.
        Raises:
            OtherBytes: the name is there with other bytes. SharedMemoryFull: no room.
        Cost: 45 µs for 0.4 MB, 0.3 ms for 4 MB and 5.3 ms for 40 MB over a spare; 2 to 4 times that in fresh memory.
        """
        path = self._file(name)
        views = [view.cast("B") for part in parts if (view := memoryview(part)).nbytes]
        if os.path.exists(path):
            return self._require_same(path, views)
        aside = self._aside()
        size_bytes = sum(len(view) for view in views)
        try:
            self._with_room(aside, size_bytes, lambda: self._fill(aside, size_bytes, views))
            self._name(aside, path, views)
        finally:
            _unlink(aside)
        return None

    def draft(self, size_bytes: int) -> Draft:
        """Room for a value of so many bytes: what is computed into it need not be copied.

        Raises:
            SharedMemoryFull: no room.
        Cost: 20 µs over a spare that this process has mapped before, else what fresh pages cost as they are touched.
        """
        if size_bytes < _SMALLEST_SPARE_BYTES:
            return Draft(memoryview(bytearray(size_bytes)), None)
        aside = self._aside()
        descriptor = self._with_room(aside, size_bytes, lambda: self._allocated(aside, size_bytes))
        try:
            return Draft(self._to_write.view(aside, descriptor), aside)
        finally:
            os.close(descriptor)

    def publish(self, name: str, draft: Draft) -> None:
        """Gives a draft, of this folder, its name. As `write` in all else."""
        if draft.aside is None:
            return self.write(name, [draft.buffer])
        try:
            return self._name(draft.aside, self._file(name), [draft.buffer])
        finally:
            os.unlink(draft.aside)

    def read(self, name: str) -> memoryview:
        """A read-only view of the bytes, not copied but for short ones; it stays good when the name is removed.

        Raises:
            KeyError: there is no such name.
        Cost: 10 µs; the first time that this process meets the file also 0.1 µs a KB, as its pages are touched.
        """
        try:
            return self._view(self._file(name))
        except (FileNotFoundError, BlockingIOError):
            raise KeyError(name) from None

    def __contains__(self, name: str) -> bool:
        return os.path.exists(self._file(name))

    def names(self) -> list[str]:
        """All names, sorted."""
        with os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))

    def size_bytes(self, name: str) -> int:
        """How many bytes a name holds. Raises KeyError."""
        try:
            return os.stat(self._file(name)).st_size
        except FileNotFoundError:
            raise KeyError(name) from None

    def remove(self, names: Iterable[str]) -> None:
        """Forgets names; those that are not there are passed over. Memory that a reader has mapped is freed after it.

        The files become spares, and the spares that nobody wanted since the last call are freed.
        """
        self._free_spares()
        for name in names:
            path = self._file(name)
            with suppress(FileNotFoundError):
                size_bytes = os.stat(path).st_size
                if size_bytes < _SMALLEST_SPARE_BYTES:
                    os.unlink(path)
                else:
                    self._lay_by(path, size_bytes)

    def abandon(self, writer: str) -> None:
        """Frees what a process was writing that has ended, or whose work is not wanted any more."""
        for entry in _entries(self._root):
            if entry.name.startswith(f".{writer}-"):
                _unlink(entry.path)

    def require_room(self, needed_bytes: int) -> None:
        """Raises SharedMemoryFull unless so many bytes could be written now."""
        full = self._full(needed_bytes)
        if full.free_bytes < needed_bytes:
            raise full

    def close(self) -> None:
        """Removes the folder if this object created it; views that were read stay good."""
        if self._owner is not None:
            _remove(self.path)
            os.close(self._owner)
            self._owner = None

    def _full(self, needed_bytes: int) -> SharedMemoryFull:
        stat = os.statvfs(self.path)
        return SharedMemoryFull(self._root, needed_bytes, stat.f_bavail * stat.f_frsize)

    def _file(self, name: str) -> str:
        if not can_name(name):
            raise ValueError(
                f"{name[:300]!r} cannot be a file's name: it is empty, begins with '.', has a '/' or a null in it, or "
                f"more than {NAME_BYTES} bytes"
            )
        return f"{self._root}/{name}"

    def _aside(self) -> str:
        return f"{self._root}/.{self._writer}-{next(_numbers)}"

    def _spares(self, size_bytes: int) -> str:
        return f"{self._root}/{_SPARE}/{size_bytes}"

    def _lay_by(self, path: str, size_bytes: int) -> None:
        """Makes a file a spare. Raises FileNotFoundError: another process was quicker."""
        spare = f"{self._spares(size_bytes)}/{_unused()}"
        try:
            os.rename(path, spare)
        except FileNotFoundError:  # the first of this size, as a rule
            with suppress(FileExistsError):
                os.mkdir(self._spares(size_bytes))
            os.rename(path, spare)

    def _name(self, aside: str, path: str, views: Sequence[memoryview]) -> None:
        """views: of its bytes. Raises OtherBytes."""
        try:
            os.link(aside, path)  # fails, as a rename would not, if another process was first
        except FileExistsError:
            self._require_same(path, views)

    def _with_room(self, aside: str, size_bytes: int, make: Callable[[], T]) -> T:
        """What `make` returns; where memory is too short for it, spares are given up. Raises SharedMemoryFull."""
        try:
            return make()
        except OSError as error:
            _unlink(aside)
            if error.errno != errno.ENOSPC:
                raise
        self._free_spares()
        try:
            return make()
        except OSError as error:
            _unlink(aside)
            if error.errno != errno.ENOSPC:
                raise
            raise self._full(size_bytes) from None

    def _fill(self, aside: str, size_bytes: int, views: Sequence[memoryview]) -> None:
        """Writes a file at `aside`: over a spare, or a new one."""
        spare = self._take_spare(aside, size_bytes)
        _write_all(_new(aside) if spare is None else spare, views)

    def _allocated(self, aside: str, size_bytes: int) -> int:
        """Opens a file of this size at `aside`: a spare, or a new one."""
        spare = self._take_spare(aside, size_bytes)
        if spare is not None:
            return spare
        descriptor = _new(aside)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)  # else a full disk would be a SIGBUS at the first touch
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _take_spare(self, aside: str, size_bytes: int) -> int | None:
        """Moves a spare of this size that nobody reads to `aside`, where nobody looks, and opens it."""
        spares = list(_entries(self._spares(size_bytes)))
        for spare in sorted(spares, key=lambda spare: spare.inode() not in self._to_write):
            with suppress(FileNotFoundError):  # another process was quicker
                os.rename(spare.path, aside)
                descriptor = os.open(aside, os.O_RDWR)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                    return descriptor
                except BlockingIOError:  # somebody reads it: the memory is freed after them
                    os.close(descriptor)
                    os.unlink(aside)
        return None

    def _free_spares(self) -> None:
        for size in _entries(f"{self._root}/{_SPARE}"):
            for spare in _entries(size.path):
                _unlink(spare.path)  # if it was not taken meanwhile

    def _view(self, path: str) -> memoryview:
        """The file's bytes under a shared lock. Raises FileNotFoundError or BlockingIOError if it is gone or going."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            stat = os.fstat(descriptor)
            if os.stat(path).st_ino != stat.st_ino:  # written over between open and flock, for another name
                raise FileNotFoundError(path)
            if stat.st_size < _SMALLEST_SPARE_BYTES:
                return memoryview(os.read(descriptor, stat.st_size))
            return self._to_read.view(path, descriptor)
        finally:
            os.close(descriptor)

    def _require_same(self, path: str, views: Sequence[memoryview]) -> None:
        try:
            there = self._view(path)
        except (FileNotFoundError, BlockingIOError):
            return  # it was there, so it was first, and is removed by now
        start = 0
        for view in views:
            if there[start : start + len(view)] != view:
                raise OtherBytes(path)
            start += len(view)
        if start != len(there):
            raise OtherBytes(path)


def can_name(name: str) -> bool:
    """Whether a value can be called so: no "/", not empty, not beginning with "."; at most NAME_BYTES."""
    return bool(name) and name[0] != "." and "/" not in name and "\0" not in name and len(name.encode()) <= NAME_BYTES


def reap(parent: Path, prefix: str) -> list[Path]:
    """Removes from `parent` the folders that begin with `prefix` and whose owner is gone; returns what was removed.

    Safe at any time and from any process: an owner that lives holds a lock, whatever container it lives in.
    """
    return [path for path in sorted(parent.iterdir()) if path.name.startswith((prefix, f".{prefix}")) and _reap(path)]


def _unused() -> str:
    """A name that nothing in any folder has, of whatever process and object."""
    return f"{os.getpid()}-{_process}-{next(_numbers)}"


def _create(path: Path) -> int:
    """Makes the folder, complete with its owner's lock at the instant it appears; returns the lock's descriptor."""
    _reap(path)
    building = path.with_name(f".{path.name}-{_unused()}")
    building.mkdir(mode=0o700)
    owner = os.open(building / _OWNER, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(owner, fcntl.LOCK_EX)
    os.write(owner, f"{os.getpid()}\n".encode())
    try:
        (building / _SPARE).mkdir()
        building.rename(path)
    except FileNotFoundError:  # `reap` had the lock first
        os.close(owner)
        return _create(path)
    except OSError:
        shutil.rmtree(building)
        os.close(owner)
        raise FileExistsError(errno.EEXIST, "the shared folder is in use by another process", str(path)) from None
    return owner


def _reap(path: Path) -> bool:
    try:
        owner = os.open(path / _OWNER, os.O_RDWR)
    except OSError:  # not such a folder, being made this instant, or another user's
        return False
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(owner).st_ino != (path / _OWNER).stat().st_ino:  # another was quicker, and a new one may be there
            return False
        _remove(path)
        return True
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(owner)


def _remove(path: Path) -> None:
    """By who holds the owner's lock. It is gone at once for all who would still write into it, and the lock's file goes
    last: what is left by one who is killed at this can be reaped."""
    aside = path if path.name.startswith(".") else path.with_name(f".{path.name}-{_unused()}")
    try:
        path.rename(aside)
        for entry in list(_entries(aside)):
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _OWNER:
                Path(entry).unlink()
        (aside / _OWNER).unlink()
        aside.rmdir()
    except BaseException:  # a signal wants this process to end
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _new(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _write_all(descriptor: int, views: Sequence[memoryview]) -> None:
    """By write, not through a mapping: twice as fast here, and a full disk is an error, not a SIGBUS. Closes."""
    try:
        for view in views:
            while view:
                view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from entries

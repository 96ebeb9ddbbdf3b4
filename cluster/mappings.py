"""Files mapped into memory, whose pages stay mapped for whoever reads or writes the file next.

To map a file that lies in memory costs as much as to copy it: every page is entered into the process's tables at its
first touch. The memory of values is written over again and again, so each process meets the same few files.
"""

import mmap
import os
from threading import Lock
from weakref import finalize

import numpy

KEPT = 64
"""Files that one process keeps mapped to read, and as many to write; each costs it two descriptors."""


class _Mapped:
    """A mapping and, to see whether its file still has a name, a descriptor, closed with this object."""

    def __init__(self, memory: mmap.mmap, descriptor: int) -> None:
        self.memory, self._descriptor = memory, descriptor
        finalize(self, os.close, descriptor).atexit = False

    @property
    def removed(self) -> bool:
        return os.fstat(self._descriptor).st_nlink == 0


class Mappings:
    """The mappings of one process, all to read or all to write. Threads: any may call anything.

    Memory of files that were removed goes when another file is mapped, or with the last view of it.
    """

    def __init__(self, writable: bool) -> None:
        self._protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self._access = os.O_RDWR if writable else os.O_RDONLY
        self._lock = Lock()
        self._mapped: dict[int, _Mapped] = {}  # by inode, which is no other file's for as long as this is open

    def view(self, path: str, descriptor: int) -> memoryview:
        """The bytes of the file at `path`, at least one.

        descriptor: of this very file, the caller's to close; its lock lasts as long as the view or anything made of it.
        Raises:
            FileNotFoundError: another file is there by now, or none.
        """
        memory = self._kept(path, os.fstat(descriptor).st_ino)
        if memory is None:
            return memoryview(mmap.mmap(descriptor, 0, prot=self._protection))  # which duplicates the descriptor
        array = numpy.frombuffer(memory, dtype=numpy.uint8)
        finalize(array, os.close, os.dup(descriptor)).atexit = False
        return memoryview(array)  # type: ignore[arg-type]  # numpy declares no buffers before Python 3.12

    def __contains__(self, inode: object) -> bool:
        return inode in self._mapped

    def _kept(self, path: str, inode: int) -> mmap.mmap | None:
        """None: there is no room for one more."""
        with self._lock:
            if inode not in self._mapped:
                for gone in [known for known, mapped in self._mapped.items() if mapped.removed]:
                    del self._mapped[gone]
                if len(self._mapped) == KEPT:
                    return None
                other = os.open(path, self._access)  # the caller's would have the mapping hold on to its lock
                if os.fstat(other).st_ino != inode:
                    os.close(other)
                    raise FileNotFoundError(path)
                self._mapped[inode] = _Mapped(mmap.mmap(other, 0, prot=self._protection), other)
            return self._mapped[inode].memory

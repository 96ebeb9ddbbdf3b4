"""Values that outlive this machine's processes: a safetensors file each, in a folder or an object store."""

from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Protocol

from cluster.shared_memory import Bytes
from orchestrator.errors import ValueConflict, ValueMissing
from orchestrator.records import Ref

_SUFFIX = ".safetensors"


class Files(Protocol):
    """Where the files lie: an `orchestrator.storage.Storage`, or a dict for runs that nothing has to outlive."""

    def write(self, name: str, parts: Sequence[Bytes]) -> None: ...
    def read(self, name: str) -> memoryview: ...
    def names(self) -> set[str]: ...
    def remove(self, name: str) -> None: ...


class MemoryFiles(dict[str, bytes]):
    """Files in this process's memory."""

    def write(self, name: str, parts: Sequence[Bytes]) -> None:
        self[name] = b"".join(parts)

    def read(self, name: str) -> memoryview:
        return memoryview(self[name])

    def names(self) -> set[str]:
        return set(self)

    def remove(self, name: str) -> None:
        self.pop(name, None)


class Persisted:
    """The persisted values of one run, each written once, by one engine at a time.

    A file is called `<ref>.<checksum>.safetensors`: what an object store shows of a write that broke off fails it.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        names = (name.removesuffix(_SUFFIX) for name in files.names() if name.endswith(_SUFFIX))
        self._checksums: dict[str, str] = {
            ref: checksum for ref, _, checksum in (name.rpartition(".") for name in names)
        }
        self._damaged: set[str] = set()  # of them, as far as anybody has read

    def __contains__(self, ref: object) -> bool:
        return self.written(ref) and ref not in self._damaged

    def written(self, ref: object) -> bool:
        """Whether there is a file of it, however it reads."""
        return ref in self._checksums

    def write(self, ref: Ref, data: memoryview) -> None:
        """Raises OSError. Cost: 5 ms for 4 MB, 0.13 s for 40 MB on a local disk, syncs included."""
        checksum = _checksum([data])
        if self._checksums.get(ref, checksum) != checksum:
            self._files.remove(_name(ref, self._checksums.pop(ref)))  # first, so that there are never two
        self._files.write(_name(ref, checksum), [data])
        self._checksums[ref] = checksum
        self._damaged.discard(ref)

    def read(self, ref: Ref) -> memoryview:
        """Raises ValueMissing: not there, or not as it was written; then it counts as not there from now on."""
        try:
            data = self._files.read(_name(ref, self._checksums[ref]))
        except KeyError:
            raise ValueMissing(ref, "nobody holds it, and it was never persisted") from None
        except FileNotFoundError as error:
            self._damaged.add(ref)
            raise ValueMissing(ref, f"its persisted copy was deleted ({error})") from None
        if _checksum([data]) != self._checksums[ref]:
            self._damaged.add(ref)
            raise ValueMissing(ref, f"its persisted copy {_name(ref, self._checksums[ref])} fails its checksum")
        return data

    def require_same(self, ref: Ref, parts: Sequence[Bytes]) -> None:
        """Raises ValueConflict unless these are the bytes of the persisted value."""
        if _checksum(parts) != self._checksums[ref]:
            raise ValueConflict(ref)

    def retain(self, keep: Collection[Ref]) -> None:
        """Deletes all others."""
        for ref in self._checksums.keys() - set(keep):
            self._files.remove(_name(ref, self._checksums.pop(ref)))


def _name(ref: str, checksum: str) -> str:
    return f"{ref}.{checksum}{_SUFFIX}"


def _checksum(parts: Sequence[Bytes]) -> str:
    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:32]

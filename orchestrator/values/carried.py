"""Values whose bytes a carrier holds while they are in use, and storage keeps where they must survive."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from torch import Tensor

from cluster.shared_memory import Bytes, Draft, OtherBytes
from orchestrator.errors import ValueConflict
from orchestrator.records import Ref
from orchestrator.values.persisted import MemoryFiles, Persisted
from trainers.tensors import Tensors, decode, encode, header


class Carrier(Protocol):
    """Named immutable bytes within a host; see `cluster.shared_memory.SharedFolder`, which is one."""

    def write(self, name: str, parts: Sequence[Bytes]) -> None:
        """The first wins. Raises OtherBytes."""

    def draft(self, size_bytes: int) -> Draft: ...
    def publish(self, name: str, draft: Draft) -> None:
        """The first wins. Raises OtherBytes."""

    def read(self, name: str) -> memoryview:
        """Read-only, good for as long as it is referred to. Raises KeyError."""

    def __contains__(self, name: str) -> bool: ...
    def names(self) -> list[str]: ...
    def remove(self, names: Iterable[str]) -> None: ...


class Room(dict[str, Tensor]):
    """Tensors that lie where a value of them will lie."""

    def __init__(self, tensors: Tensors, draft: Draft) -> None:
        super().__init__(tensors)
        self.draft = draft


class CarriedValues:
    """`Values` over any carrier. Persisted values are found again after `release`, and by the next engine.

    persisted: what survives this object. None: nothing does but in this process's memory; for a worker, which never
        persists, and for tests. kept: the same, for what `retain` passes over.

    Tensors that `get` returns share the carrier's memory, which may be mapped read-only: writing to one is a mistake
    that can end the process.
    """

    def __init__(self, carrier: Carrier, persisted: Persisted | None = None, kept: Persisted | None = None) -> None:
        self._carrier, self._persisted = carrier, persisted or Persisted(MemoryFiles())
        self._kept = kept or Persisted(MemoryFiles())

    def put(self, ref: Ref, value: Tensors) -> None:
        """The first wins; the same bytes again are no news. Raises ValueConflict."""
        if ref in self._persisted and ref not in self._carrier:
            self._persisted.require_same(ref, encode(value))
        try:
            if isinstance(value, Room):
                self._carrier.publish(ref, value.draft)
            else:
                self._carrier.write(ref, encode(value))
        except OtherBytes:
            raise ValueConflict(ref) from None

    def room(self, like: Tensors) -> Tensors:
        """See `Values`. Raises what the carrier does where memory is short."""
        start, _ = header(like)
        draft = self._carrier.draft(len(start) + sum(tensor.nbytes for tensor in like.values()))
        draft.buffer[: len(start)] = start
        return Room(decode(draft.buffer), draft)

    def get(self, ref: Ref) -> Tensors:
        """Not to be written to. Raises ValueMissing."""
        return decode(self._bytes(ref))

    def persist(self, refs: Collection[Ref]) -> None:
        """On return they survive this machine's processes; what is persisted already costs nothing.

        Raises ValueMissing, OSError; those written so far stay persisted.
        """
        for ref in refs:
            if ref not in self._persisted and ref not in self._kept:
                self._persisted.write(ref, self._bytes(ref))

    def keep(self, refs: Collection[Ref]) -> None:
        """Persists them for good; what was kept under such a name, and never journalled, is written over.

        Raises ValueMissing, OSError.
        """
        for ref in refs:
            self._kept.write(ref, self._bytes(ref))

    def release(self, refs: Collection[Ref]) -> None:
        """Lets go of these in memory; persisted copies stay."""
        self._carrier.remove(refs)

    def retain(self, keep: Collection[Ref]) -> None:
        """Deletes all others from storage."""
        self._persisted.retain(keep)

    def __contains__(self, ref: object) -> bool:
        return isinstance(ref, str) and (ref in self._carrier or ref in self._persisted or ref in self._kept)

    def _bytes(self, ref: Ref) -> memoryview:
        """From the carrier, else from storage, from where they go back to the carrier for all who read them next."""
        try:
            return self._carrier.read(ref)
        except KeyError:
            data = (self._kept if self._kept.written(ref) else self._persisted).read(ref)
            self._carrier.write(ref, [data])
            return data

"""Values in this process's memory, for tests, virtual runs and replays."""

from collections.abc import Iterable, Sequence

from cluster.shared_memory import Bytes, Draft, OtherBytes
from orchestrator.values.carried import CarriedValues
from orchestrator.values.persisted import Persisted


class MemoryValues(CarriedValues):
    """Values in a dict, encoded, so that nobody can change one after it was put."""

    def __init__(self, persisted: Persisted | None = None, kept: Persisted | None = None) -> None:
        super().__init__(_MemoryCarrier(), persisted, kept)


class _MemoryCarrier:
    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def write(self, name: str, parts: Sequence[Bytes]) -> None:
        data = b"".join(parts)
        if self._values.setdefault(name, data) != data:
            raise OtherBytes(name)

    def draft(self, size_bytes: int) -> Draft:
        return Draft(memoryview(bytearray(size_bytes)), None)

    def publish(self, name: str, draft: Draft) -> None:
        self.write(name, [draft.buffer])

    def read(self, name: str) -> memoryview:
        return memoryview(self._values[name])

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> list[str]:
        return list(self._values)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._values.pop(name, None)

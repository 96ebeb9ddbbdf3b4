"""A persisted value that cannot be read is not there, and says why however often it is asked for."""

import pytest

from orchestrator.errors import ValueMissing
from orchestrator.records import Ref
from orchestrator.values.memory import MemoryValues
from orchestrator.values.persisted import MemoryFiles, Persisted

REF = Ref("1.weights")


@pytest.mark.parametrize("where", ["persisted", "kept"])
def test_a_damaged_file_is_named_each_time_until_it_is_written_again(where: str) -> None:
    files = MemoryFiles()
    stores = {name: Persisted(files if name == where else MemoryFiles()) for name in ("persisted", "kept")}
    values = MemoryValues(**stores)
    store, data = stores[where], memoryview(b"whole")
    store.write(REF, data)
    (name,) = files
    files[name] = b"half"
    for _ in range(2):
        with pytest.raises(ValueMissing, match="fails its checksum"):
            values.get(REF)
        assert REF not in values
    store.write(REF, data)
    assert REF in values
    assert bytes(store.read(REF)) == b"whole"

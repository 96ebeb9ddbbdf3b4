"""What journals and values complain of, as it reaches a driver in another process."""

import pickle

import pytest

from orchestrator.errors import (
    CopyConflict,
    JournalDamaged,
    JournalHeld,
    JournalLost,
    RipienoError,
    StorageInvalid,
    ValueConflict,
    ValueMissing,
)


@pytest.mark.parametrize(
    "error",
    [
        JournalHeld("journal", 7, "host"),
        JournalDamaged("segment-000001.log", 12, "a record fails its checksum"),
        JournalLost("journal", 7, "host"),
        StorageInvalid("sss://b", "unrecognized"),
        CopyConflict("segment-000001.log.gz"),
        ValueConflict("1.weights"),
        ValueMissing("1.weights", "nobody holds it"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_pickling_and_says_what_it_knows(error: RipienoError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert all(str(field) in str(error) for field in error.args)

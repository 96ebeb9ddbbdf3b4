"""The generated modules are what the .proto files make, and a stale one is told."""

from pathlib import Path

import pytest

from protos import generate


def test_the_committed_modules_are_current() -> None:
    assert generate.outdated() == []


def test_a_stale_module_is_named_and_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = Path("protos/ripieno_pb2.py")
    monkeypatch.setattr(generate, "outdated", lambda: [stale])
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    assert generate.main() == 1
    assert f"{stale}: not what the .proto files make. Run `make protos`" in capsys.readouterr().err

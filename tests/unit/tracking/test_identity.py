"""A run is known in MLflow by what its folder says."""

from pathlib import Path

import pytest

from orchestrator.tracking.identity import FILE, load_identity, save_identity

URI = "postgresql://me:secret@db/mlflow"


def test_it_is_kept_by_tracking_uri(tmp_path: Path) -> None:
    save_identity(tmp_path, URI, "abc")
    assert load_identity(tmp_path, URI) == "abc"
    assert load_identity(tmp_path, "http://elsewhere") == ""


@pytest.mark.parametrize("content", [None, "", "{", '{"run_id"', "{}"])
def test_no_file_or_a_broken_one_is_no_identity(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    assert load_identity(tmp_path, URI) == ""


def test_no_password_is_written(tmp_path: Path) -> None:
    save_identity(tmp_path, URI, "abc")
    assert "secret" not in (tmp_path / FILE).read_text()

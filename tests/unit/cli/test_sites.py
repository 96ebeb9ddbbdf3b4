"""`ripieno certs` and `ripieno site`: what is made, what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

from cluster.certificates import load_server, load_site
from tests.unit.cli.test_commands import ripieno


def test_certificates_are_made_once_and_added_to(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    code, out, _ = ripieno("certs", "init", str(folder), "--host", "localhost", "--site", "north", "--site", "south")
    assert code == 0
    assert f"{folder}/server made: for the server, and for nobody else" in out
    assert f"{folder}/site-north made: for that site, and for nobody else" in out
    assert f"keep {folder}/ca-key.pem to yourself: whoever has it can be any site" in out
    code, out, _ = ripieno("certs", "init", str(folder), "--site", "west", "--days", "30")
    assert code == 0
    assert f"{folder}/server is there already and is left as it is" in out
    assert load_server(folder / "server", "localhost").name == "localhost"
    valid_until = [load_site(folder / f"site-{site}").valid_until for site in ("north", "south", "west")]
    assert valid_until[2] < min(valid_until[:2])


def test_what_cannot_be_certified_is_refused_with_exit_code_2(tmp_path: Path) -> None:
    code, _, err = ripieno("certs", "init", str(tmp_path / "new"), "--host", "localhost", "--site", "North")
    assert code == 2
    assert "'North' cannot name a site" in err
    assert "Nothing was made." in err
    assert list(tmp_path.iterdir()) == []
    code, _, _ = ripieno("certs", "init", str(tmp_path / "new"), "--host", "h", "--site", "a", "--days", "99999999")
    assert code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_one_is_refused_with_exit_code_2(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("mine")
    code, _, err = ripieno("certs", "init", str(file), "--host", "localhost", "--site", "north")
    assert code == 2
    assert "file: cannot be written (File exists); name a folder. Nothing was made." in err
    assert file.read_text() == "mine"


def test_a_site_that_cannot_join_is_told_why_with_exit_code_2(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    ripieno("certs", "init", str(folder), "--host", "localhost", "--site", "north")
    arguments = ["site", "join", "localhost:1", "--data", str(tmp_path), "--certificates"]
    code, _, err = ripieno(*arguments, str(folder / "server"))
    assert code == 2
    assert "cert.pem: is no site's" in err
    code, _, err = ripieno(*arguments, str(folder / "site-north"), "--patience", "0.1")
    assert code == 1
    assert "no server at localhost:1 let this site in for 0.1 s" in err

"""An authority's folder, and what is read back from it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from cluster.certificates import CertificateInvalid, init, load_server, load_site
from cluster.certificates.names import NAME, host_problem, name_problem, site_uri, sites_of


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    folder = tmp_path / "authority"
    init(folder, ["127.0.0.1", "engine.example"], ["north", "south"])
    return folder


def test_each_end_has_a_folder_and_all_files_are_for_their_owner_alone(authority: Path) -> None:
    ends = [
        f"{end}/{file}" for end in ("server", "site-north", "site-south") for file in ("ca.pem", "cert.pem", "key.pem")
    ]
    assert sorted(files(authority)) == sorted(["ca.pem", "ca-key.pem", *ends])
    for path in (authority, *authority.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert path.stat().st_uid == os.geteuid()


def test_the_authoritys_key_is_handed_to_nobody(authority: Path) -> None:
    key = (authority / "ca-key.pem").read_bytes()
    assert [name for name, data in files(authority).items() if key in data] == ["ca-key.pem"]


def test_further_sites_are_added_and_nothing_is_written_over(authority: Path) -> None:
    before = files(authority)
    made = init(authority, [], ["south", "west"])
    assert [path.name for path in made.new] == ["site-west"]
    assert {path.name for path in made.kept} == {"server", "site-south"}
    after = files(authority)
    assert {name: after[name] for name in before} == before
    assert load_site(authority / "site-west").name == "west"


def test_what_was_made_can_be_loaded_from_wherever_it_was_carried(authority: Path, tmp_path: Path) -> None:
    carried = Path(shutil.copytree(authority / "site-north", tmp_path / "elsewhere"))
    assert load_site(carried).name == "north"
    assert load_server(authority / "server", "127.0.0.1").name == "127.0.0.1"
    for host in ("engine.example", "0.0.0.0", "::", ""):
        load_server(authority / "server", host)


def test_a_server_has_its_names_and_its_addresses_as_such(authority: Path) -> None:
    certificate = x509.load_pem_x509_certificate((authority / "server" / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["engine.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_an_expired_certificate_is_told_with_its_day_and_what_to_do(tmp_path: Path) -> None:
    init(tmp_path / "a", ["localhost"], ["north"], days=-3)
    loads: list[Callable[[], object]] = [
        lambda: load_site(tmp_path / "a" / "site-north"),
        lambda: load_server(tmp_path / "a" / "server", ""),
    ]
    for load in loads:
        with pytest.raises(CertificateInvalid, match=r"cert.pem: expired on 20\d\d-\d\d-\d\d; remove it and its key"):
            load()


def test_whatever_does_not_go_together_is_told(authority: Path, tmp_path: Path) -> None:
    site = authority / "site-north"
    other = tmp_path / "other"
    init(other, ["localhost"], ["north"])
    cases: dict[str, Callable[[], object]] = {
        "is no site's": lambda: load_site(authority / "server"),
        "is no server's": lambda: load_server(site, "127.0.0.1"),
        "is made out to 127.0.0.1, engine.example and not to 10.0.0.1": lambda: load_server(
            authority / "server", "10.0.0.1"
        ),
        "was not made by the authority of ca.pem": lambda: _mixed(tmp_path / "m1", site, other, "ca.pem"),
        "is not the key of cert.pem": lambda: _mixed(tmp_path / "m2", site, authority / "site-south", "key.pem"),
        "holds no certificate": lambda: _spoilt(tmp_path / "m3", site, "cert.pem"),
        "holds no private key": lambda: _spoilt(tmp_path / "m4", site, "key.pem"),
        "cannot be read": lambda: load_site(tmp_path / "nowhere"),
    }
    for reason, load in cases.items():
        with pytest.raises(CertificateInvalid, match=reason):
            load()


def _mixed(folder: Path, site: Path, other: Path, file: str) -> None:
    shutil.copytree(site, folder)
    shutil.copy(other / file, folder / file)
    load_site(folder)


def _spoilt(folder: Path, site: Path, file: str) -> None:
    shutil.copytree(site, folder)
    (folder / file).write_bytes(b"nothing")
    load_site(folder)


@pytest.mark.parametrize(
    ("hosts", "sites", "reason"),
    [
        (["localhost"], ["North"], "'North' cannot name a site"),
        (["localhost"], ["../north"], "cannot name a site"),
        (["localhost:7000"], [], "'localhost:7000' cannot name a host; give a name or an address, without a port"),
        ([], ["north"], "server: is not there, and no host is named"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_is_made(
    tmp_path: Path, hosts: list[str], sites: list[str], reason: str
) -> None:
    with pytest.raises(CertificateInvalid, match=reason):
        init(tmp_path / "authority", hosts, sites)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_there_is_not_made_out_to_other_hosts(authority: Path) -> None:
    before = files(authority)
    with pytest.raises(CertificateInvalid, match=r"is made out to .* and not to 10.0.0.1; to have it made anew"):
        init(authority, ["127.0.0.1", "10.0.0.1"], ["west"])
    assert files(authority) == before


def test_an_authority_without_its_key_adds_nobody(authority: Path) -> None:
    (authority / "ca-key.pem").unlink()
    with pytest.raises(CertificateInvalid, match=r"ca-key.pem: cannot be read"):
        init(authority, [], ["west"])


@given(st.from_regex(NAME, fullmatch=True))
def test_a_sites_name_survives_its_certificate_and_names_one_folder(name: str) -> None:
    assert name_problem(name) == ""
    assert sites_of(["spiffe://other", site_uri(name)]) == (name,)
    assert Path(f"site-{name}").name == f"site-{name}"


@given(st.text(max_size=80))
def test_what_is_no_name_says_what_is_allowed(text: str) -> None:
    assert (name_problem(text) == "") == bool(NAME.fullmatch(text))


@given(st.one_of(st.ip_addresses().map(str), st.just("localhost"), st.just("a.b-c.example")))
def test_addresses_and_names_can_be_hosts_and_none_with_a_port(host: str) -> None:
    assert host_problem(host) == ""
    assert host_problem(f"[{host}]:7000") != ""

"""What is wrong with serving sites, told in these very words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.certificates import init
from orchestrator.spec.contradictions import contradictions
from orchestrator.spec.serve_world import serve_world
from orchestrator.spec.shape import shape
from orchestrator.spec.source import Source, overridden

GOOD: dict[str, Any] = {
    "task": "package.module:Class",
    "federate": {"workers": 2, "clients": "sites"},
    "serve": {"sites": ["north", "south"], "address": "127.0.0.1:7000"},
}


def complaints(given: dict[str, Any], *overrides: str) -> list[str]:
    spec, problems = shape(overridden(Source(given), overrides))
    assert problems == ()
    return [found.message for found in contradictions(spec)]


def test_good_ones_pass() -> None:
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "federate.clients=2",
            "serve is given, but nobody asks sites for anything. Use federate: {clients: sites, …}, or ",
        ),
        (
            "serve=",
            "federate.clients are sites, but nothing says which. Give serve: {sites: [NAME, …]} and --serve HOST:PORT.",
        ),
        ("serve.address=''", "serve.address is missing. Say where sites dial in: ripieno run SPEC --serve HOST:PORT."),
        ("federate.workers=3", "federate.workers is 3 but serve.sites names 2. Use workers <= 2, or name the others."),
        ("serve.sites=[a, b, a]", "serve.sites names a more than once."),
    ],
)
def test_what_cannot_stand_together_is_told(override: str, sentence: str) -> None:
    found = complaints(GOOD, override)
    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_a_later_stage_is_told_where_it_stands() -> None:
    stage = {"federate": {"workers": 3, "clients": "sites"}}
    chain = {"task": "package.module:Class", "train": {"workers": 1}, "then": [stage]}
    found = complaints(chain)
    assert [text.partition(" are sites")[0] for text in found] == ["then.0.federate.clients"]
    found = complaints({**chain, "serve": GOOD["serve"]})
    assert [text.partition(" is 3")[0] for text in found] == ["then.0.federate.workers"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("serve.address=7000", "serve.address: '7000' is no HOST:PORT: write it like engine.example:7000"),
        ("serve.address='[::1'", "serve.address: '[::1' is no HOST:PORT: "),
        ("serve.address='::1:7000'", "serve.address: '::1:7000' is no HOST:PORT: write an IPv6 address in brackets"),
        ("serve.address='127.0.0.1:70000'", "serve.address: '127.0.0.1:70000' is no HOST:PORT: '70000' is no port"),
        ("serve.address='10.0.0.1:7000'", "serve.certificates will not do: "),
        ("serve.certificates=/nowhere", "serve.certificates will not do: /nowhere/server/ca.pem: cannot be read"),
        ("serve.sites=[North]", "serve.sites: 'North' cannot name a site; allowed are 1 to 63 of a-z, 0-9 and '-'"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, override: str, sentence: str) -> None:
    init(tmp_path, ["127.0.0.1"], ["north", "south"])
    given = GOOD | {"serve": {**GOOD["serve"], "certificates": str(tmp_path)}}
    quoted = override.replace("serve.address=7000", "serve.address='7000'")
    spec, problems = shape(overridden(Source(given), [quoted]))
    assert problems == ()
    (found,) = serve_world(spec)
    assert found.message.startswith(sentence)


def test_certificates_that_will_do_are_no_problem(tmp_path: Path) -> None:
    init(tmp_path, ["127.0.0.1"], ["north", "south"])
    for address in ("127.0.0.1:7000", "0.0.0.0:0", "[::]:7000"):
        given = GOOD | {"serve": {"sites": ["north", "south"], "address": address, "certificates": str(tmp_path)}}
        spec, _ = shape(Source(given))
        assert list(serve_world(spec)) == []

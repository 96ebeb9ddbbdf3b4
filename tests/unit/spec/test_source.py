"""Where each value of a spec stands, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec import SpecInvalid
from orchestrator.spec.source import MOST_VALUES, Source, overridden, read_file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str) -> Source:
    Path("train.yaml").write_text(text)
    return read_file(Path("train.yaml"))


def complaint(text: str) -> str:
    with pytest.raises(SpecInvalid) as refused:
        read(text)
    return str(refused.value)


@pytest.mark.usefixtures("here")
def test_every_value_has_its_line_and_what_is_missing_that_of_what_it_is_missing_from() -> None:
    source = read("task: x\ntrain:\n  workers: 2\n  optimizer:\n    name: sgd\n    betas:\n      - 0.1\n      - 0.2\n")
    assert source.place(("train", "workers")) == "train.yaml:3"
    assert source.place(("train", "optimizer", "betas", 1)) == "train.yaml:8"
    assert source.place(("train", "optimizer", "lr")) == "train.yaml:4"
    assert source.place(("seed",)) == "train.yaml:1"


@pytest.mark.usefixtures("here")
def test_an_override_is_where_its_value_stands() -> None:
    source = overridden(read("task: x\ntrain:\n  workers: 2\n"), ["train.workers=3", "tracking={uri: y}"])
    assert source.data == {"task": "x", "train": {"workers": 3}, "tracking": {"uri": "y"}}
    assert source.place(("train", "workers")) == "--set train.workers=3"
    assert source.place(("tracking", "uri")) == "--set tracking={uri: y}"
    assert source.place(("train",)) == "train.yaml:2"


def test_the_last_override_wins_and_one_below_a_plain_value_replaces_it() -> None:
    source = overridden(Source({"then": [{"merge": {"workers": 1}}, 3]}), ["then.0.merge.workers=2"])
    assert source.data == {"then": [{"merge": {"workers": 2}}, 3]}
    assert overridden(source, ["then.2.merge.workers=3"]).data == {"then": {"2": {"merge": {"workers": 3}}}}
    source = overridden(Source({"train": {"quorum": "full"}}), ["train.quorum.static.k=2", "train.quorum.static.k=3"])
    assert source.data == {"train": {"quorum": {"static": {"k": 3}}}}


def test_an_override_leaves_the_spec_it_was_given_alone() -> None:
    given = {"train": {"workers": 2}}
    overridden(Source(given), ["train.workers=3"])
    assert given == {"train": {"workers": 2}}


@pytest.mark.usefixtures("here")
def test_plain_values_are_those_of_yaml_1_2() -> None:
    text = "a: 1e-3\nb: no\nc: 2020-01-01\nd: 010\ne: 1_000\nf: ~\ng: True\nh: 0x10\ni: .5\nj: 12:30\nk: -1.5E+3\n"
    assert read(text).data == {
        "a": 0.001, "b": "no", "c": "2020-01-01", "d": "010", "e": 1000, "f": None,
        "g": True, "h": 16, "i": 0.5, "j": "12:30", "k": -1500.0,
    }  # fmt: skip


@pytest.mark.usefixtures("here")
def test_aliases_and_merges_work() -> None:
    source = read("base: &base {workers: 2, epochs: 3}\ntrain: {<<: *base, epochs: 4}\n")
    assert source.data["train"] == {"workers": 2, "epochs": 4}
    assert source.problems == ()


@pytest.mark.usefixtures("here")
def test_a_key_given_twice_is_told_with_both_lines() -> None:
    (problem,) = read("task: x\nseed: 1\nseed: 2\n").problems
    assert str(problem) == "train.yaml:3 seed: given twice, before at train.yaml:2; keep one."


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "train.yaml:1 is empty. The shortest spec is "),
        ("# nothing\n", "train.yaml:1 is empty. The shortest spec is "),
        ("- task\n", "train.yaml:1 is ['task'], not a mapping. The shortest spec is "),
        ("task: x\ntrain: {workers: 2\n", "train.yaml:3 is not YAML: "),
        ("task: a: b\n", "train.yaml:1 is not YAML: mapping values are not allowed here."),
        ("task: x\n\tseed: 1\n", "train.yaml:2 is not YAML: found character '\\t' that cannot start any token."),
        ("a: 1\n---\nb: 2\n", "train.yaml:2 is not YAML: but found another document."),
        ("task: \x00", "train.yaml:1 is not YAML: special characters are not allowed."),
        ("a: !!python/name:os.system x\n", "train.yaml:1 is not YAML: could not determine a constructor"),
        ("a: &a [*a]\n", f"train.yaml:1 holds more than {MOST_VALUES:,} values, aliases spelled out."),
        ("a: " + "[" * 5000, "train.yaml:1 is nested too deeply."),
    ],
)
def test_what_is_no_spec_at_all_is_refused_with_its_line(text: str, sentence: str) -> None:
    assert complaint(text).startswith(sentence)


@pytest.mark.usefixtures("here")
def test_aliases_that_explode_are_refused_in_no_time() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "aliases spelled out" in complaint("\n".join(lines))


def test_a_file_that_is_not_there_suggests_one_that_is(here: Path) -> None:
    (here / "train.yaml").touch()
    with pytest.raises(SpecInvalid, match=r"^trian\.yml: no such file; did you mean 'train\.yaml'\?$"):
        read_file(Path("trian.yml"))


def test_a_folder_and_binary_data_are_refused(here: Path) -> None:
    with pytest.raises(SpecInvalid, match=r"cannot be read: Is a directory\.$"):
        read_file(here)
    (here / "model.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(SpecInvalid, match=r"not text in UTF-8 \(byte 3\)\.$"):
        read_file(here / "model.yaml")

"""What a run leaves is kept whole in its folder, and found again where the folder lies then."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.tracking.final import Child, Final, ModelFiles
from orchestrator.tracking.kept import FILE, load_final, save_final

texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False)
models = st.builds(
    ModelFiles,
    st.just(Path("model.safetensors")),
    st.just("a:B"),
    st.dictionaries(texts, st.integers(-(2**63), 2**63) | texts),
    st.just(Path("example.safetensors")),
)
children = st.builds(
    Child,
    texts,
    texts,
    st.dictionaries(texts, texts),
    st.lists(st.tuples(texts, numbers, st.integers(0, 1000))),
    numbers,
    numbers,
    st.none() | models,
)
finals = st.builds(
    Final,
    st.sampled_from(["done", "failed", "interrupted"]),
    st.dictionaries(texts, numbers),
    st.none() | models,
    st.none() | st.just(Path("results")),
    st.lists(children, max_size=3),
    st.none() | texts,
    st.dictionaries(texts, texts),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


def rooted(final: Final, folder: Path) -> Final:
    """With its relative paths in this folder."""

    def model(files: ModelFiles | None) -> ModelFiles | None:
        return files and ModelFiles(folder / files.weights, files.task, files.arguments, folder / files.example)

    here = [Child(c.key, c.name, c.params, c.metrics, c.started_s, c.ended_s, model(c.model)) for c in final.children]
    artifacts = folder / final.artifacts if final.artifacts else None
    return Final(final.outcome, final.metrics, model(final.model), artifacts, here, final.registered, final.tags)


@settings(max_examples=30, deadline=None)  # each is synced to the disk
@given(final=finals)
def test_it_comes_back_as_it_was_from_wherever_the_folder_lies(final: Final, folder: Path) -> None:
    save_final(folder, rooted(final, folder))
    assert load_final(folder) == rooted(final, folder)
    moved = folder.with_name("moved")
    moved.mkdir(exist_ok=True)
    (moved / FILE).write_bytes((folder / FILE).read_bytes())
    assert load_final(moved) == rooted(final, moved)


def test_files_of_a_run_beside_it_move_with_it(tmp_path: Path) -> None:
    chain = tmp_path / "runs" / "r-1"
    chain.mkdir(parents=True)
    model = ModelFiles(tmp_path / "runs" / "r-1.2-merge" / "model.safetensors", "a:B", {}, Path("/elsewhere"))
    save_final(chain, Final("done", model=model))
    moved = (tmp_path / "runs").rename(tmp_path / "other")
    kept = load_final(moved / "r-1")
    assert kept is not None
    assert kept.model is not None
    assert kept.model.weights.resolve() == (moved / "r-1.2-merge" / "model.safetensors").resolve()
    assert kept.model.example == Path("/elsewhere")


def test_files_elsewhere_stay_where_they_are(tmp_path: Path) -> None:
    save_final(tmp_path, Final("done", artifacts=Path("/elsewhere/results")))
    kept = load_final(tmp_path)
    assert kept is not None
    assert kept.artifacts == Path("/elsewhere/results")


@pytest.mark.parametrize("content", [None, b"", b"\x81", b"\xa4done"])
def test_no_file_or_a_broken_one_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    assert load_final(tmp_path) is None

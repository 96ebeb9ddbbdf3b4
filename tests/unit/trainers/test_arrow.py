"""Arrow and Parquet: any rows of any table equal pyarrow's, nothing damaged is trusted, each file is converted once."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.data import ArrowData
from trainers.data.arrow.converted import converted
from trainers.data.labels import labels_of
from trainers.data.partition import Dirichlet, partition
from trainers.errors import DataInvalid, LabelsMissing

HUGGING_FACE = Path(__file__).parent / "hugging_face"
NUMBERS = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.uint16(): st.integers(0, 2**16 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
}


def arrow_file(table: Any, file: Path, rows: int) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)


def arrow_stream(table: Any, file: Path, rows: int) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)


def compressed(table: Any, file: Path, rows: int) -> None:
    feather.write_feather(table, file, chunksize=rows, compression="lz4")


def parquet(table: Any, file: Path, rows: int) -> None:
    pq.write_table(table, file, row_group_size=rows)


WRITERS: dict[str, Callable[[Any, Path, int], None]] = {
    ".arrow": arrow_file,
    "-stream.arrow": arrow_stream,
    ".feather": compressed,
    ".parquet": parquet,
}


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Any:
    """Numbers, or lists of them to a depth of two, equally long or not; strings or bytes."""
    kind = draw(st.sampled_from(list(NUMBERS)))
    value: st.SearchStrategy[Any] = NUMBERS[kind]
    match draw(st.sampled_from(["scalar", "fixed", "matrix", "list", "ragged", "text", "bytes"])):
        case "scalar":
            pass
        case "fixed":
            size = draw(st.integers(1, 5))
            kind, value = pa.list_(kind, size), st.lists(value, min_size=size, max_size=size)
        case "matrix":
            outer, inner = draw(st.integers(1, 3)), draw(st.integers(1, 3))
            row = st.lists(value, min_size=inner, max_size=inner)
            kind, value = pa.list_(pa.list_(kind), outer), st.lists(row, min_size=outer, max_size=outer)
        case "list":
            size = draw(st.integers(1, 5))
            kind, value = pa.list_(kind), st.lists(value, min_size=size, max_size=size)
        case "ragged":
            kind, value = pa.large_list(pa.int32()), st.lists(st.integers(-9, 9), max_size=4)
        case "text":
            kind, value = pa.string(), st.text(max_size=5)
        case "bytes":
            kind, value = pa.large_binary(), st.binary(max_size=5)
    return pa.array(draw(st.lists(value, min_size=rows, max_size=rows)), kind)


@st.composite
def tables(draw: st.DrawFn) -> Any:
    rows = draw(st.integers(1, 30))
    return pa.table({f"c{number}": draw(columns(rows)) for number in range(draw(st.integers(1, 3)))})


def plain(values: Any) -> Any:
    return [value.tolist() if isinstance(value, Tensor) else value for value in values]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(table=tables(), suffix=st.sampled_from(list(WRITERS)), chunk=st.integers(1, 9), data=st.data())
def test_any_rows_of_any_table_equal_what_pyarrow_takes(
    tmp_path_factory: pytest.TempPathFactory, table: Any, suffix: str, chunk: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("table")
    cut = data.draw(st.integers(0, len(table)))  # of two files; a slice's arrays do not begin at 0
    parts = [part for part in (table.slice(0, cut), table.slice(cut)) if len(part)]
    for number, part in enumerate(parts):
        WRITERS[suffix](part, folder / f"part-{number}{suffix}", chunk)
    dataset = ArrowData(folder, transform=lambda *columns: columns, cache=folder / "cache")
    indices = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1, max_size=20))
    batch = dataset.batch_of(torch.tensor(indices))
    expected = table.take(pa.array(indices)).to_pydict()
    assert len(dataset) == len(table)
    assert dict(zip(dataset.columns, map(plain, batch), strict=True)) == expected
    one = dataset[indices[0]]
    assert plain(one) == [values[0] for values in expected.values()]


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    """1,000 rows of 784 bytes, two labels, in ten record batches."""
    values = np.random.default_rng(0).integers(0, 256, 784_000, dtype=np.uint8)
    table = pa.table({"pixels": pa.FixedSizeListArray.from_arrays(values, 784), "label": np.arange(1_000) % 2})
    arrow_file(table, tmp_path / "data.arrow", 100)
    return tmp_path / "data.arrow"


def test_columns_come_in_the_order_asked_for_and_pass_the_transform(pixels: Path) -> None:
    labels, images = ArrowData(pixels, ("label", "pixels"), lambda y, x: (y + 1, x / 255)).batch_of(torch.arange(3))
    assert labels.tolist() == [1, 2, 1]
    assert images.dtype == torch.float32
    assert images.shape == (3, 784)


def test_rows_that_are_not_there_raise_and_negative_ones_count_from_the_end(pixels: Path) -> None:
    dataset = ArrowData(pixels, ("label",))
    assert dataset[-1][0] == dataset[999][0]
    assert sum(1 for _ in dataset) == 1_000
    for index in (1_000, -1_001):
        with pytest.raises(IndexError, match="of 1,000"):
            dataset[index]


def test_a_fixed_shape_tensor_keeps_its_shape(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    arrow_file(pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(values)}), tmp_path / "x.arrow", 3)
    (batch,) = ArrowData(tmp_path / "x.arrow").batch_of(torch.tensor([3, 0]))
    assert torch.equal(batch, torch.from_numpy(values[[3, 0]]))


def test_its_labels_are_the_last_column_and_partition_by_class(pixels: Path) -> None:
    dataset = ArrowData(pixels, ("pixels", "label"))
    assert torch.equal(labels_of(dataset), torch.arange(1_000) % 2)
    assert sorted(torch.cat(partition(Dirichlet(clients=3, seed=0, alpha=0.5), dataset)).tolist()) == list(range(1_000))
    with pytest.raises(LabelsMissing, match="uint8 of shape"):
        labels_of(ArrowData(pixels, ("label", "pixels")))


def test_it_is_pickled_as_its_arguments(pixels: Path) -> None:
    encoded = pickle.dumps(ArrowData(pixels, ("pixels", "label")))
    assert len(encoded) < 1_000
    assert torch.equal(pickle.loads(encoded).batch_of(torch.tensor([7]))[0], ArrowData(pixels)[7][0][None])


def _hold(file: Path, ready: Any, release: Any) -> None:
    dataset = ArrowData(file)
    dataset.batch_of(torch.arange(len(dataset)))
    ready.release()
    release.wait()


def mapping(pid: int | str | None, file: Path) -> dict[str, int]:
    """What /proc says of a process's mapping of a file, kB."""
    lines = iter(Path(f"/proc/{pid}/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(file)):
            fields = (next(lines).split() for _ in range(18))
            return {field[0].rstrip(":"): int(field[1]) for field in fields if field[-1] == "kB"}
    raise AssertionError(f"{pid} does not map {file}")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_processes_share_the_pages_of_a_file(pixels: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready, release = spawn.Semaphore(0), spawn.Event()
    reader = spawn.Process(target=_hold, args=(pixels, ready, release))
    dataset = ArrowData(pixels)
    dataset.batch_of(torch.arange(len(dataset)))
    reader.start()
    try:
        assert ready.acquire(timeout=120)
        for process in ("self", reader.pid):
            held = mapping(process, pixels)
            assert held["Rss"] * 1024 >= 784_000
            assert held["Private_Clean"] == held["Private_Dirty"] == 0
            assert held["Pss"] <= 0.6 * held["Rss"]
    finally:
        release.set()
        reader.join()


def test_workers_that_start_together_convert_once_and_a_changed_file_again(tmp_path: Path) -> None:
    source, cache = tmp_path / "x.parquet", tmp_path / "cache"
    parquet(pa.table({"x": list(range(5_000))}), source, 1_000)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: (path := converted(source, cache), path.stat().st_mtime_ns), range(8)))
    assert len(set(made)) == 1
    parquet(pa.table({"x": [7, 8]}), source, 1_000)
    (path,) = {path for path, _ in made}
    assert ArrowData(source, cache=cache).batch_of(torch.arange(2))[0].tolist() == [7, 8]
    assert not path.exists()


def test_a_conversion_that_was_killed_is_done_anew(tmp_path: Path) -> None:
    source, cache = tmp_path / "x.parquet", tmp_path / "cache"
    parquet(pa.table({"x": [1, 2]}), source, 1)
    whole = converted(source, cache)
    whole.rename(cache / f"{whole.name.split('-')[0]}.unfinished")
    assert ArrowData(source, cache=cache).batch_of(torch.arange(2))[0].tolist() == [1, 2]
    assert not list(cache.glob("*.unfinished"))


def test_parquet_behind_a_link_is_known_by_its_content(tmp_path: Path) -> None:
    """The cache of the Hub names its files by their hash, and links to them."""
    parquet(pa.table({"x": [1, 2]}), tmp_path / "2f1e", 1)
    (tmp_path / "x.parquet").symlink_to(tmp_path / "2f1e")
    assert ArrowData(tmp_path / "x.parquet", cache=tmp_path / "cache").batch_of(torch.arange(2))[0].tolist() == [1, 2]


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    WRITERS[suffix](pa.table({"x": [1, 2, 3, 4], "s": ["a", "b", "c", "d"]}), file, 2)
    whole = file.read_bytes()
    for length in range(0, len(whole), 5):
        file.write_bytes(whole[:length])
        with pytest.raises(DataInvalid, match="is damaged, cut short"):
            ArrowData(file, cache=tmp_path / "cache")


def refused(tmp_path: Path) -> Iterator[tuple[str, Any, str]]:
    yield "nulls", [1, None, 3], "column 'x' has 1 nulls"
    yield "nulls in lists", pa.array([[1], [None]], pa.list_(pa.int8(), 1)), "column 'x' has 1 nulls"
    yield "dates", pa.array([0], pa.date32()), "which becomes no tensor. Allowed: booleans, integers"
    yield "ragged", [[1], [1, 2]], "rows of different length: give a transform"
    yield "ragged within", [[[1], [1, 2]]], "inner lists that differ in length"
    yield "paths", [{"bytes": None, "path": "a.png"}], "holds paths of images"


@pytest.mark.parametrize(("values", "sentence"), [case[1:] for case in refused(Path())], ids=lambda case: str(case)[:9])
def test_what_becomes_no_tensor_is_refused(tmp_path: Path, values: Any, sentence: str) -> None:
    arrow_file(pa.table({"x": values}), tmp_path / "x.arrow", 10)
    with pytest.raises(DataInvalid) as raised:
        ArrowData(tmp_path / "x.arrow")
    assert sentence in str(raised.value)


def test_a_missing_column_is_told_with_the_nearest_name(pixels: Path) -> None:
    with pytest.raises(DataInvalid, match=r"data\.arrow: has no column 'lable'; did you mean 'label'\?"):
        ArrowData(pixels, ("pixels", "lable"))


def test_files_that_differ_in_a_type_are_refused(tmp_path: Path) -> None:
    arrow_file(pa.table({"x": [1]}), tmp_path / "a.arrow", 1)
    arrow_file(pa.table({"x": [1.5]}), tmp_path / "b.arrow", 1)
    with pytest.raises(DataInvalid, match=r"b\.arrow: column 'x' is double, and int64 in a\.arrow"):
        ArrowData(tmp_path)


@pytest.mark.parametrize(
    ("names", "path", "sentence"),
    [
        ((), "*.arrow", "holds no file that ends in"),
        ((), ".", "holds no file that ends in"),
        ((), "x.arrow", "there is no such file"),
        (("a.arrow", "b.parquet"), ".", "holds both Arrow and Parquet"),
    ],
)
def test_a_path_that_means_no_data_is_refused(tmp_path: Path, names: tuple[str, ...], path: str, sentence: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataInvalid, match=sentence):
        ArrowData(tmp_path / path)


def test_a_folder_of_hugging_face_is_read_as_it_was_shuffled_and_sharded() -> None:
    dataset = ArrowData(HUGGING_FACE / "sharded", transform=lambda *columns: columns)
    image, pixels, tokens, pair, text, label = dataset.batch_of(torch.arange(12))
    rows = [int(row.removeprefix("row ")) for row in text]
    assert sorted(rows) == list(range(12))
    assert rows != sorted(rows)
    assert torch.equal(image, torch.tensor(rows, dtype=torch.uint8).mul(20).reshape(12, 1, 1, 1).expand(12, 1, 4, 5))
    assert torch.equal(pixels, torch.arange(12).reshape(1, 3, 4).add(torch.tensor(rows).reshape(12, 1, 1)).byte())
    assert plain(tokens) == [list(range(row % 4)) for row in rows]
    assert pair.tolist() == [[row / 2, -row] for row in rows]
    assert label.tolist() == [row % 3 for row in rows]


def test_a_folder_of_splits_asks_for_one() -> None:
    with pytest.raises(DataInvalid, match=r"holds the splits train, test: give the folder of one, .*splits/train"):
        ArrowData(HUGGING_FACE / "splits")
    assert ArrowData(HUGGING_FACE / "splits" / "test", ("label",)).labels.tolist() == [2, 0, 1, 2]

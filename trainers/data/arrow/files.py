"""Which files a path means: one file, a glob, a folder, or a folder that Hugging Face's `datasets` wrote."""

from __future__ import annotations

import json
from glob import has_magic, iglob
from pathlib import Path
from typing import Any

from trainers.errors import DataInvalid

ARROW, PARQUET = (".arrow", ".feather"), (".parquet",)


def files_of(path: str | Path) -> tuple[Path, ...]:
    """One or more, all Arrow or all Parquet.

    A glob and a plain folder are their files in order of name, subfolders not included. A folder by `save_to_disk` is
    the files that its state.json names, in that order.
    Raises:
        DataInvalid: there is nothing, Arrow and Parquet are mixed, or a folder holds several splits.
    """
    if has_magic(str(path)) and not Path(path).exists():
        files = [Path(name) for name in sorted(iglob(str(path), recursive=True))]  # noqa: PTH207  takes absolute ones
    elif Path(path).is_dir():
        files = _of_folder(Path(path))
    else:
        files = [Path(path)]
    if not files:
        raise DataInvalid(str(path), f"holds no file that ends in {', '.join(ARROW + PARQUET)}")
    if len({_is_parquet(file) for file in files}) == 2:
        raise DataInvalid(str(path), "holds both Arrow and Parquet files: give a glob that means one of them")
    for file in files:
        if not file.is_file():
            raise DataInvalid(str(file), "there is no such file")
    return tuple(files)


def _of_folder(folder: Path) -> list[Path]:
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits", [])
        raise DataInvalid(str(folder), f"holds the splits {', '.join(splits)}: give the folder of one, {folder}/train")
    if (folder / "state.json").is_file():
        return [folder / str(entry["filename"]) for entry in _json(folder / "state.json").get("_data_files", [])]
    if (folder / "dataset_info.json").is_file():  # a cache folder: its splits' files lie side by side
        splits = list(_json(folder / "dataset_info.json").get("splits") or ())
        if len(splits) > 1:
            raise DataInvalid(
                str(folder), f"holds the splits {', '.join(splits)}: give a glob for one, {folder}/*-{splits[0]}*.arrow"
            )
    return sorted(file for file in folder.iterdir() if file.suffix in ARROW + PARQUET)


def _json(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataInvalid(str(file), f"cannot be read ({error})") from error
    return content


def _is_parquet(file: Path) -> bool:
    return file.suffix in PARQUET

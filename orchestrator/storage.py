"""Files by name at a URI: in a local folder, or under a prefix of an object store."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pyarrow import fs

from orchestrator.errors import StorageInvalid
from orchestrator.journal.durable import write_durably
from orchestrator.uris import printable


class Storage:
    """A flat folder of files at a path or a `pyarrow.fs` URI (file://, s3://, gs://, hdfs://).

    A local folder is made on the first write. A bucket must exist.
    Any method may raise OSError: no such host, no permission, no room.

    Raises:
        StorageInvalid: a URI that pyarrow does not know.
    """

    def __init__(self, uri: str) -> None:
        try:
            self._files, self._root = fs.FileSystem.from_uri(uri if "://" in uri else str(Path(uri).absolute()))
        except ValueError as error:
            raise StorageInvalid(printable(uri), printable(str(error))) from error
        self._local = isinstance(self._files, fs.LocalFileSystem)

    def write(self, name: str, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Stores the parts, one after another, replacing what was there.

        In a local folder the file is there whole or not at all, and durable. An object store may show a half of it
        after a crash, so whoever reads it needs a checksum. Memory: a second copy, for an object store.
        """
        if self._local:
            path = Path(self._root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, parts)
        else:
            data = b"".join(parts)  # at hand before the stream is opened: one that breaks off publishes what it got
            stream = self._files.open_output_stream(
                f"{self._root}/{name}", compression=None
            )  # not by the name's ending
            with stream:
                stream.write(data)

    def read(self, name: str) -> memoryview:
        """All of a file. Raises FileNotFoundError."""
        with self._files.open_input_file(f"{self._root}/{name}") as file:
            return memoryview(file.read_buffer())

    def names(self) -> set[str]:
        """The names of all files. Cost: one listing."""
        found = self._files.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        return {info.base_name for info in found if info.is_file and info.extension != "tmp"}

    def remove(self, name: str) -> None:
        """Deletes a file, if it is there."""
        with suppress(FileNotFoundError):
            self._files.delete_file(f"{self._root}/{name}")

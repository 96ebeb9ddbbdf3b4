"""Messages over a unix socket, each behind its length: the carrier of sessions inside a host.

gRPC hands every message through three threads of a worker and two of the engine; here a worker sends from the thread
that has something to say, and the engine's loop reads the socket itself.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import grpc

from cluster.sessions.transport import MESSAGE_BYTES
from protos import ripieno_pb2 as pb

_LENGTH = struct.Struct("<I")
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class TurnedAway(Exception):
    """A stream was ended before its welcome; its worker has been told why."""


class ServerFrames:
    """The server's end of one stream, with the methods of a gRPC context that it uses. Belongs to the server's loop.

    pid: of the process at the other end; 0 where it cannot be seen from here.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        connection = writer.get_extra_info("socket")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid: int = _CREDENTIALS.unpack(credentials)[0]

    def peer(self) -> str:
        return f"unix:process {self.pid}"

    async def read(self) -> Any:
        """The next message; grpc.aio.EOF at the end, also at one that is broken."""
        try:
            (size,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if size <= MESSAGE_BYTES:
                return pb.FromWorker.FromString(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError):
            pass
        return grpc.aio.EOF

    def write_now(self, message: pb.ToWorker) -> bool:
        """Sends it if nothing before it is still to be sent; False: it did not."""
        idle = not self._writer.transport.get_write_buffer_size()
        if idle:
            self._writer.write(_framed(message))
        return idle

    async def write(self, message: pb.ToWorker) -> None:
        self._writer.write(_framed(message))
        with suppress(OSError):  # whoever reads will notice
            await self._writer.drain()

    async def abort(self, code: grpc.StatusCode, reason: str) -> NoReturn:
        """A goodbye where a welcome is due."""
        await self.write(pb.ToWorker(goodbye=pb.Goodbye(reason=reason)))
        raise TurnedAway

    def close(self) -> None:
        """After all that was written."""
        self._writer.close()

    def stopped(self) -> bool:
        """Whether the process at the other end exists and does not run, as after SIGSTOP."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(") ")[2][:1] in ("T", "t")


class ClientFrames:
    """A worker's end of one stream. Raises OSError: nobody listens there. Threads: one reads, any may put."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def put(self, messages: Iterable[pb.FromWorker] | None) -> None:
        """Sends them; None: nothing more will be sent. What the engine does not take any more is lost."""
        with suppress(OSError):
            if messages is None:
                self._socket.shutdown(socket.SHUT_WR)
            else:
                self._socket.sendall(b"".join(map(_framed, messages)))

    def __iter__(self) -> Iterator[pb.ToWorker]:
        """All that comes, until the stream ends or breaks."""
        with suppress(OSError):
            while len(length := self._file.read(_LENGTH.size)) == _LENGTH.size:
                (size,) = _LENGTH.unpack(length)
                if len(data := self._file.read(size)) < size:
                    return
                yield pb.ToWorker.FromString(data)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def _framed(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return _LENGTH.pack(len(data)) + data

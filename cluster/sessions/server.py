"""The engine's end of all sessions: lets workers in, carries what is given to them and tells what they say."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import grpc
import structlog

from cluster.sessions.certificate import make_certificate
from cluster.sessions.chunks import split
from cluster.sessions.door import Door
from cluster.sessions.frames import ServerFrames, TurnedAway
from cluster.sessions.gate import Gate
from cluster.sessions.peer import Access, Peer, Stream
from cluster.sessions.sites import HEARTBEAT_S, Sites
from cluster.sessions.transport import (
    FRAMES_FILE,
    PROTOCOL,
    SERVER_NAME,
    SOCKET_FILE,
    TOKEN_FILE,
    connection_options,
    host_token,
)
from cluster.shared_memory import SharedFolder
from protos import ripieno_pb2 as pb
from protos.ripieno_pb2_grpc import SessionsServicer, add_SessionsServicer_to_server

GRACE_S = 5.0
"""How long a launched worker behind a broken TCP stream is waited for; for sites see `sites.GRACE_S`. A unix socket
breaks only with its process: no grace."""

SILENT_BEATS = 5
"""Heartbeats that may be missed: they come from the worker's Python, which a C extension can hold up for a while."""

STREAMS = 8  # of one connection at a time; a worker needs one
HELLO_S = 10.0
CLOSE_S = 2.0
STOPPED_LOOKS = 3
"""Two a heartbeat: a local process that does not run is lost after 1 to 1.5 of them."""


log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Whom the server tells. Called on the server's thread: returns at once, never raises.

    Of one peer: `joined` first, then its answers, `gone` last.
    """

    def joined(self, peer: Peer) -> None: ...

    def answered(self, peer: Peer, result: pb.Result, damage: str) -> None:
        """Once for each attempt at most. damage: what is wrong with the values it names, "" normally."""

    def gone(self, peer: Peer, reason: str) -> None: ...


class SessionServer:
    """Serves the workers of one run, on a thread of its own, until `close`.

    Args:
        folder: where the run's `SharedFolder` is, which must be there; its unix sockets lie in it too.
        heartbeat_s: > 0, seconds between signs of life.
        host: name or address that other hosts reach this one by, to serve them too (TCP with TLS); "" for none.
        sites: who may dial in unlaunched, and where; None: nobody.
    Attributes:
        door: for workers that are launched. sites_at: host:port that sites dial, "" if there are none.
        foreign: messages of another epoch, ignored.
    Raises:
        OSError: nothing can listen there.
    Measured: an empty round of 4 workers (give each a message, have each answer) through a pool takes 0.65 ms by frames
        and 2.3 ms by gRPC over a unix socket, in one run on 2 cores.
    """

    def __init__(
        self,
        run: str,
        folder: Path,
        listener: Listener,
        *,
        heartbeat_s: float,
        host: str = "",
        sites: Sites | None = None,
    ) -> None:
        self._listener, self._heartbeat_s, self._sites = listener, heartbeat_s, sites
        self._folder = SharedFolder(folder, create=False)
        self._secret = secrets.token_hex(32)
        self._token = host_token(self._secret)
        (folder / TOKEN_FILE).write_bytes(self._token)
        self._epochs = count(1 + secrets.randbits(48))  # rising within an engine, others in every engine
        self._peers: dict[str, Peer] = {}
        self._closing = False
        self._gate: Gate | None = None
        self._streams: set[asyncio.Task[None]] = set()  # of this host
        self.foreign, self.sites_at = 0, ""
        self._door = Door(run, self._secret, str(folder / SOCKET_FILE), str(folder), heartbeat_s=heartbeat_s)
        self._frames = str(folder / FRAMES_FILE)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="sessions", daemon=True)
        self._thread.start()
        try:
            self.door = self._wait_for(self._start(host))
        except BaseException:
            self._stop_thread()
            raise

    def dismiss(self, worker: str, reason: str) -> None:
        """Says goodbye to a worker, which is then gone for good, whatever it still does. From any thread."""
        with suppress(RuntimeError):  # closed meanwhile: it has been said
            self._loop.call_soon_threadsafe(self._dismiss, worker, reason)

    def close(self) -> None:
        """Says goodbye to all workers and stops listening. Takes CLOSE_S at most."""
        if self._loop.is_closed():
            return
        self._wait_for(self._stop())
        self._stop_thread()
        for file in (self._door.socket, self._frames):
            Path(file).unlink(missing_ok=True)

    async def _start(self, host: str) -> Door:
        ping_s = max(self._heartbeat_s, HEARTBEAT_S) if self._sites is not None else self._heartbeat_s
        options = [*connection_options(ping_s), ("grpc.max_concurrent_streams", STREAMS)]
        self._server = grpc.aio.server(options=options)
        add_SessionsServicer_to_server(_Servicer(self._serve), self._server)
        self._server.add_insecure_port(f"unix:{self._door.socket}")
        door = self._door
        if host:
            key, certificate = make_certificate(SERVER_NAME)
            port = self._server.add_secure_port(f"{host}:0", grpc.ssl_server_credentials([(key, certificate)]))
            door = Door(
                door.run,
                door.secret,
                door.socket,
                door.folder,
                f"{host}:{port}",
                certificate.decode(),
                door.heartbeat_s,
            )
        if self._sites is not None:
            gate = Gate(self._sites.identity, self._sites.address, self._door.socket)
            self.sites_at = await gate.open()
            self._gate = gate
        await self._server.start()
        self._local = await asyncio.start_unix_server(self._came, self._frames)
        self._watch = asyncio.create_task(self._watch_for_silence())
        return door

    async def _stop(self) -> None:
        self._closing = True
        self._watch.cancel()
        for peer in list(self._peers.values()):
            peer.leave("the engine has ended")
        self._local.close()
        if self._streams:
            await asyncio.wait(self._streams, timeout=CLOSE_S)
        await self._server.stop(CLOSE_S)
        if self._gate is not None:
            await self._gate.close()
        for peer in list(self._peers.values()):  # whose stream had broken before: nothing of it ends now
            self._forget(peer, peer.leaving)

    def _wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10 * CLOSE_S)

    def _stop_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        self._loop.close()

    def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve_here(ServerFrames(reader, writer)))
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)

    async def _serve_here(self, frames: ServerFrames) -> None:
        try:
            with suppress(TurnedAway):
                await self._serve(frames)
        finally:
            frames.close()

    async def _serve(self, context: Any) -> None:
        """One stream, from Hello to its end."""
        site = self._gate.site_of(context.peer()) if self._gate is not None else ""
        hello = await self._let_in(context, site)
        peer, resumed = self._peer_of(hello, context, site)
        stopped = getattr(context, "stopped", lambda: False)
        write_now = getattr(context, "write_now", lambda message: False)
        stream = Stream(next(self._epochs), self._loop.time(), stopped, write_now)
        peer.open(stream, hello, self._welcome(peer, resumed))
        if not resumed:
            self._peers[hello.worker] = peer
            self._listener.joined(peer)
        tasks = [
            asyncio.create_task(self._read(peer, stream, context)),
            asyncio.create_task(self._write(stream, context)),
            asyncio.create_task(stream.broken.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            self._ended(peer, stream)

    async def _let_in(self, context: Any, site: str) -> pb.Hello:
        """The first message of a stream, if it may come in; else ends the call with the reason, and logs it."""
        try:
            message = await asyncio.wait_for(context.read(), HELLO_S)
        except TimeoutError:
            message = grpc.aio.EOF
        hello = pb.Hello() if message is grpc.aio.EOF else message.hello
        reason = self._objection(hello, site)
        if reason:
            log.warning("session_refused", worker=hello.worker, peer=site or context.peer(), reason=reason)
            again = site and self._closing  # a run that was interrupted is resumed at the same address
            await context.abort(grpc.StatusCode.UNAVAILABLE if again else grpc.StatusCode.PERMISSION_DENIED, reason)
        return hello

    def _objection(self, hello: pb.Hello, site: str) -> str:
        """Why this Hello is not let in, "" if it is. site: what the connection's certificate says, "" without one."""
        if not hello.worker:
            return "it did not say hello"
        if self._closing:
            return "the engine has ended"
        if hello.protocol != PROTOCOL:
            return f"it speaks version {hello.protocol} of the protocol and the engine version {PROTOCOL}"
        if site and self._sites is not None:
            if reason := self._sites.objection(site, hello):
                return reason
        elif hello.run != self._door.run:
            return f"it belongs to run {hello.run!r} and this is run {self._door.run!r}"
        elif not hmac.compare_digest(hello.secret.encode(), self._secret.encode()):
            return "its secret is not this run's"
        if hello.slots < 1:
            return "it takes no work: slots is 0"
        known = self._peers.get(hello.worker)
        if known is not None and known.site != bool(site):
            return f"a worker of another kind is called {hello.worker}"
        if known is not None and known.process != hello.process and hello.last_epoch:
            return f"a newer process speaks as {hello.worker}"
        return ""

    def _welcome(self, peer: Peer, resumed: bool) -> pb.Welcome:
        if not peer.site or self._sites is None:
            return pb.Welcome(resumed=resumed)
        return pb.Welcome(
            resumed=resumed, run=self._door.run, settings=self._sites.settings, heartbeat_s=self._heartbeat_s
        )

    def _peer_of(self, hello: pb.Hello, context: Any, site: str) -> tuple[Peer, bool]:
        """The peer that this process is already (True), or a new one in place of any other of its name (False)."""
        known = self._peers.get(hello.worker)
        if known is not None and known.process == hello.process and not known.leaving:
            return known, True
        self._dismiss(hello.worker, f"another process came as {hello.worker}", replaced=True)
        shares = not site and hmac.compare_digest(hello.host_token, self._token)
        local = not site and context.peer().startswith("unix:")
        return Peer(hello, self._folder, self._loop, Access(shares, local, site=bool(site))), False

    async def _read(self, peer: Peer, stream: Stream, context: Any) -> None:
        while (message := await context.read()) is not grpc.aio.EOF:
            stream.heard_s = self._loop.time()
            if message.epoch != stream.epoch:
                self.foreign += 1
                stream.pass_over()
                log.warning("foreign_message_ignored", worker=peer.worker, epoch=message.epoch, current=stream.epoch)
                continue
            body = message.WhichOneof("body")
            if body == "result":
                damage = peer.answered(message.result)
                if damage is not None:
                    self._listener.answered(peer, message.result, damage)
            elif body == "chunk":
                await peer.take(stream, message.chunk)
            elif body == "goodbye":
                peer.leaving = f"it said goodbye: {message.goodbye.reason}"
                return
            elif body != "heartbeat":
                stream.pass_over()

    async def _write(self, stream: Stream, context: Any) -> None:
        while (item := await stream.outbox.get()) is not None:
            if isinstance(item, str):
                await self._push(item, stream, context)
            else:
                await context.write(stream.stamped(item))

    async def _push(self, name: str, stream: Stream, context: Any) -> None:
        try:
            value = self._folder.read(name)
        except KeyError:  # let go meanwhile, so nobody waits for the work that was to read it
            return
        for chunk in split(name, value):
            await context.write(pb.ToWorker(epoch=stream.epoch, acknowledged=stream.received, chunk=chunk))

    async def _watch_for_silence(self) -> None:
        while True:
            due_s = self._loop.time() + self._heartbeat_s / 2
            await asyncio.sleep(self._heartbeat_s / 2)
            heard_by_s = due_s - SILENT_BEATS * self._heartbeat_s  # while we could not listen, silence means nothing
            for stream in [peer.stream for peer in self._peers.values() if peer.stream is not None]:
                stream.looks = stream.looks + 1 if stream.stopped() else 0
                if stream.looks == STOPPED_LOOKS:
                    stream.end("its process is stopped")
                elif stream.heard_s < heard_by_s:
                    stream.end(f"no sign of life for {SILENT_BEATS * self._heartbeat_s:g} s")

    def _dismiss(self, worker: str, reason: str, replaced: bool = False) -> None:
        peer = self._peers.get(worker)
        if peer is not None:
            peer.leave(reason, replaced)
            self._forget(peer, reason)

    def _ended(self, peer: Peer, stream: Stream) -> None:
        if peer.stream is not stream:  # it speaks through another one by now
            return
        peer.stream = None
        if peer.local or peer.leaving:
            self._forget(peer, peer.leaving or stream.reason)
        else:
            grace_s = self._sites.grace_s if peer.site and self._sites is not None else GRACE_S
            reason = f"{stream.reason} and it was not back within {grace_s:g} s"
            peer.grace = self._loop.call_later(grace_s, self._forget, peer, reason)

    def _forget(self, peer: Peer, reason: str) -> None:
        if self._peers.get(peer.worker) is peer:
            del self._peers[peer.worker]
            self._listener.gone(peer, reason)


class _Servicer(SessionsServicer):
    def __init__(self, serve: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        self._serve = serve

    async def Session(self, request_iterator: Any, context: Any) -> None:  # noqa: N802 (gRPC's name for it)
        await self._serve(context)

"""The gate that sites come in by: ends their TLS, knows each by its certificate, and carries its bytes to the server.

Why not by gRPC's own TLS: it asks for a certificate, and when that will not do it ends the handshake in C++, where
nobody learns who it was and why. Here the log says so; and what has shown no certificate speaks to OpenSSL alone.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from itertools import count
from typing import Any
from urllib.parse import unquote

import structlog

from cluster.certificates import Identity, sites_of
from cluster.sessions.address import Address

HANDSHAKE_S = 10.0
CLOSE_S = 1.0
STRANGERS = 64
"""Handshakes at a time; whoever comes while so many are under way is let go unheard, and may try again."""

CONNECTIONS = 8
"""Of one site at a time; it needs one, and a second while a broken one is not yet noticed."""

PIECE_BYTES = 1 << 18
ACCEPT_PAUSE_S = 0.2  # after the system could not give us a connection, for want of descriptors for example

log = structlog.get_logger(__name__)


class Gate:
    """Belongs to the server's thread. socket: of the gRPC server behind, in a folder of the engine's own.

    Each connection has a unix socket of its own to the server, bound to a name that stands for the site: the server
    asks `site_of` for it. That folder is closed to others, so that nobody else can come by such a name.
    Measured, on loopback with 2 busy cores: 100 MB to a site at 140 MB/s and back at 160; an empty round trip 0.46 ms.
    """

    def __init__(self, identity: Identity, address: Address, server: str) -> None:
        self._server, self._listening = server, address
        self._context = _context(identity)
        self._names = (f"{server}-{number}" for number in count())
        self._sites: dict[str, str] = {}  # by the name of the socket that stands for it
        self._strangers = 0
        self._carried: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Begins to listen, and returns where: host:port. Raises OSError."""
        self._listener = self._listening.listen()
        self._accepting = asyncio.create_task(self._accept())
        return str(self._listening.with_port(self._listener.getsockname()[1]))

    def site_of(self, peer: str) -> str:
        """The site behind a peer of the gRPC server; "" for one that did not come in here."""
        return self._sites.get(unquote(peer).removeprefix("unix:"), "")

    async def close(self) -> None:
        """Lets nobody in any more, and everybody go, with what the server has said last. Takes 2 CLOSE_S at most."""
        self._accepting.cancel()
        self._listener.close()
        carried = list(self._carried)
        if carried:
            await asyncio.wait(carried, timeout=CLOSE_S)
        for task in carried:
            task.cancel()
        await asyncio.gather(self._accepting, *carried, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("site_not_accepted", reason=str(error))
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            await asyncio.sleep(0)  # a connection that waits is given at once, and others want to be served too
            if self._strangers >= STRANGERS:
                log.warning("site_refused", peer=_text(address), reason=f"{STRANGERS} others are at the gate")
                connection.close()
                continue
            self._strangers += 1
            task = loop.create_task(self._receive(connection, _text(address)))
            self._carried.add(task)
            task.add_done_callback(self._carried.discard)

    async def _receive(self, connection: socket.socket, peer: str) -> None:
        """One connection, from its handshake, a stranger's, to its end."""
        reader = asyncio.StreamReader(PIECE_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=CLOSE_S,
            )
        except OSError as error:  # of TLS too
            log.warning("site_refused", peer=peer, reason=_reason(error))
            connection.close()
            return
        finally:
            self._strangers -= 1
        try:
            sites = _sites(transport)
            if reason := self._objection(sites):
                log.warning("site_refused", peer=peer, reason=reason)
                return
            await self._carry(sites[0], reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        finally:
            transport.abort()

    def _objection(self, sites: tuple[str, ...]) -> str:
        if len(sites) != 1:
            return "its certificate names no site"
        if sum(site == sites[0] for site in self._sites.values()) >= CONNECTIONS:
            return f"site {sites[0]!r} has {CONNECTIONS} connections already"
        return ""

    async def _carry(self, site: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """To the server and back, until either end has had enough."""
        name = next(self._names)
        self._sites[name] = site
        try:
            with suppress(OSError):  # either end is gone
                server_reader, server_writer = await self._server_as(name)
                try:
                    await _until_one_ends(_pump(reader, server_writer), _pump(server_reader, writer))
                    writer.close()
                    await writer.wait_closed()
                finally:
                    server_writer.transport.abort()
        finally:
            del self._sites[name]

    async def _server_as(self, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server that it sees coming from this name."""
        near = socket.socket(socket.AF_UNIX)
        near.setblocking(False)
        try:
            near.bind(name)
            try:
                await asyncio.get_running_loop().sock_connect(near, self._server)
            finally:
                os.unlink(name)  # noqa: PTH108 (the connection keeps the name)
            return await asyncio.open_unix_connection(sock=near, limit=PIECE_BYTES)
        except BaseException:
            near.close()
            raise


def _context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(identity.certificate_file, identity.key_file)
    context.load_verify_locations(identity.authority_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    return context


def _sites(transport: asyncio.BaseTransport) -> tuple[str, ...]:
    names: Any = transport.get_extra_info("peercert").get("subjectAltName", ())
    return sites_of(value for kind, value in names if kind == "URI")


def _reason(error: OSError) -> str:
    """Why a handshake failed, for whoever runs the server."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate will not do: {error.verify_message}{_hint(error.verify_message)}"
    if isinstance(error, ssl.SSLError):
        if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return "it shows no certificate"
        return f"the TLS handshake failed: {error.reason or error}"
    return f"it hung up, or said nothing, before it had shown a certificate ({error or type(error).__name__})"


def _hint(verify_message: str) -> str:
    return " (it is of another authority)" if "issuer" in verify_message or "self-signed" in verify_message else ""


def _text(address: Any) -> str:
    return str(Address(*address[:2]))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(PIECE_BYTES):
        sink.write(data)
        await sink.drain()


async def _until_one_ends(*pumps: Any) -> None:
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

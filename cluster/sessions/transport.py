"""Settings of the gRPC connections, on both ends."""

from hashlib import sha256

PROTOCOL = 1
"""Both ends must speak the same one."""

MESSAGE_BYTES = 4 << 20
"""The largest message; whatever is larger travels as chunks."""

SERVER_NAME = "ripieno-engine"
"""What the engine's certificate is made out to, whatever its address."""

SOCKET_FILE, FRAMES_FILE = ".sessions", ".frames"
"""In the engine's shared folder: the unix sockets of gRPC, and of frames."""

TOKEN_FILE = ".host-token"
"""In the engine's shared folder: a worker that reads `host_token` there shares memory with the engine."""


def host_token(secret: str) -> bytes:
    """What lies in TOKEN_FILE while the engine with this secret is there.

    A folder of that name alone says nothing: an engine that was killed leaves one on its host, and the run may have
    gone on elsewhere.
    """
    return sha256(f"the host of {secret}".encode()).digest()


def connection_options(heartbeat_s: float) -> list[tuple[str, int]]:
    """A peer that is stopped or cut off is noticed after 1 to 1.5 heartbeats.

    ping_timeout_ms is needed beside the keep-alive's own timeout: without it gRPC waits 60 s for the answer.
    """
    heartbeat_ms = int(heartbeat_s * 1000)
    return [
        ("grpc.keepalive_time_ms", heartbeat_ms),
        ("grpc.keepalive_timeout_ms", heartbeat_ms // 2),
        ("grpc.http2.ping_timeout_ms", heartbeat_ms // 2),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", heartbeat_ms // 2),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
    ]

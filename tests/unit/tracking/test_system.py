"""What a machine is busy with is looked at by the writer process, and never fills up its inbox."""

from __future__ import annotations

import socket

from orchestrator.tracking.final import Final
from orchestrator.tracking.inbox import Inbox
from orchestrator.tracking.messages import Entries, Goodbye, Looked, frame
from orchestrator.tracking.names import SYSTEM, accepted
from orchestrator.tracking.points import Point
from orchestrator.tracking.system import System

POINT = Point("system/cpu_utilization_percentage", 12.5, 1_700_000_000_000, 7)


def test_processor_memory_disk_and_network_are_seen_under_mlflows_names() -> None:
    points = list(System(zero_ms=0).points())
    assert {
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/disk_usage_percentage",
        "system/network_receive_megabytes",
    } <= {point.key for point in points}
    for point in points:
        assert point.key.startswith(SYSTEM)
        assert point.key == accepted(point.key)
        assert point.step == point.timestamp_ms // 1000
        assert point.value >= 0


def test_what_the_writer_puts_in_comes_out_in_order_until_the_line_has_ended() -> None:
    ours, theirs = socket.socketpair()
    inbox = Inbox(theirs.makefile("rb"))
    inbox.put(Looked([POINT]))
    assert list(inbox.take()) == [Looked([POINT])]
    assert not inbox.ends_within(0.0)
    ours.sendall(frame(Entries([])) + frame(Goodbye(Final("done"), 10.0)))
    ours.close()
    assert inbox.ends_within(10.0)
    inbox.put(Looked([POINT]))
    assert [type(message) for message in inbox.take()] == [Entries, Goodbye]
    assert list(inbox.take()) == []
    theirs.close()

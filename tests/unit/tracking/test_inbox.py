"""The writer's inbox takes in whatever comes, and knows when the line has ended."""

import io
import os

from orchestrator.tracking.final import Final
from orchestrator.tracking.inbox import Inbox
from orchestrator.tracking.messages import Goodbye, Message, Report, frame


def said(*messages: Message) -> io.BytesIO:
    return io.BytesIO(b"".join(map(frame, messages)))


def all_of(inbox: Inbox) -> list[Message]:
    return [message for batch in iter(inbox.take, []) for message in batch]


def test_messages_come_in_order_and_then_none() -> None:
    messages: list[Message] = [Report([str(number)], "") for number in range(50)]
    inbox = Inbox(said(*messages))
    assert all_of(inbox) == messages
    assert inbox.take() == []


def test_after_a_goodbye_without_time_there_is_no_patience() -> None:
    inbox = Inbox(said(Goodbye(Final("done"), 0.0)))
    all_of(inbox)
    assert not inbox.pause(60.0)


def test_after_a_goodbye_with_time_a_pause_is_short() -> None:
    inbox = Inbox(said(Goodbye(Final("done"), 60.0)))
    all_of(inbox)
    assert inbox.pause(60.0)


def test_while_the_line_is_open_a_pause_ends_by_itself() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb") as line:
        inbox = Inbox(stream)
        assert inbox.pause(0.01)
        line.write(frame(Goodbye(Final("done"), 0.0)))
        line.flush()
        assert inbox.take()
        line.close()
        assert inbox.take() == []

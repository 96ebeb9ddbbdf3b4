"""A URI as text."""

import re
from collections.abc import Mapping

from orchestrator.records import Json

_CREDENTIALS = re.compile(r"(?<=://)[^/?\s]*@")


def printable(text: str) -> str:
    """A URI, or a text with URIs, without their users, passwords and keys."""
    return _CREDENTIALS.sub("", text)


def printable_spec(value: Json) -> Json:
    """The same of every text in it."""
    if isinstance(value, Mapping):
        return {name: printable_spec(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [printable_spec(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value


def below(uri: str, *names: str) -> str:
    """What lies below a path or a URI; the options of a URI stay at its end."""
    if "://" not in uri:
        return "/".join((uri, *names))
    where, mark, options = uri.partition("?")
    return "/".join((where, *names)) + mark + options

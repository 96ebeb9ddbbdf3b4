"""A URI as text."""


def below(uri: str, *names: str) -> str:
    """What lies below a path or a URI; the options of a URI stay at its end."""
    if "://" not in uri:
        return "/".join((uri, *names))
    where, mark, options = uri.partition("?")
    return "/".join((where, *names)) + mark + options

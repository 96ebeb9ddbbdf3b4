"""What MLflow accepts as the name of a metric or a parameter."""

import posixpath
import re

NAME_LENGTH = 250
SYSTEM = "system/"  # how the names of figures of a machine begin, not of a run; MLflow has a page for them
_REFUSED = re.compile(r"[^\w\-./ :]")


def accepted(name: str) -> str:
    """The name itself if MLflow would take it, else the nearest one it takes: `acc@1` becomes `acc_1`.

    Names are paths to MLflow: `a//b`, `/a` and `../a` are refused, as is anything longer than 250 characters.
    """
    path = posixpath.normpath(_REFUSED.sub("_", name)[:NAME_LENGTH])
    return path.lstrip("./") or "_"

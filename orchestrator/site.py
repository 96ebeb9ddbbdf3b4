"""A site: a worker that nobody launched, with data that nobody else sees. Dials in, and works until it is let go."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

from cluster.certificates import CertificateInvalid, Identity, load_site
from cluster.sessions import Address, AddressInvalid, EngineGone, Refused, WorkerSession, site_door
from orchestrator.errors import BadInput, RipienoError
from orchestrator.folder import SHARED_PREFIX
from orchestrator.pools.execute import Execute
from orchestrator.worker import Training, answers
from protos import ripieno_pb2 as pb
from trainers.task import Task

PATIENCE_S = 600.0
"""How long a server that is not there is tried, before a run and between two."""

PAUSE_S = 1.0
"""Between two sessions."""


class CannotJoin(BadInput):
    """This site cannot take part as it is. reason: sentences with what to do, one a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class TurnedAway(RipienoError):
    """The server did not let this site in, or let it go in favour of another process of its name."""

    def __init__(self, site: str, address: str, reason: str) -> None:
        super().__init__(site, address, reason)
        self.site, self.address, self.reason = site, address, reason

    def __str__(self) -> str:
        return f"site {self.site} is turned away at {self.address}: {self.reason}"


class NobodyThere(RipienoError):
    """No server let this site in for as long as it was patient. last: the last error."""

    def __init__(self, address: str, patience_s: float, last: str) -> None:
        super().__init__(address, patience_s, last)
        self.address, self.patience_s, self.last = address, patience_s, last

    def __str__(self) -> str:
        return (
            f"no server at {self.address} let this site in for {self.patience_s:g} s: {self.last}. Is the run up, with "
            "--serve and this address? A server that does not accept this certificate closes the connection: why, "
            "is in its log."
        )


@dataclass(frozen=True, slots=True)
class Site:
    """What a site brings.

    address: host:port of the server. certificates: the site's own folder, as `ripieno certs init` made it.
    data: what the task's `folder` shall be. task: the only one that it takes part in, package.module:Class; "": any.
    folders: where tasks are imported from. device: as torch names it.
    patience_s: how long a server that is not there is tried. once: leaves after one run.
    """

    address: str
    certificates: Path
    data: Path
    task: str = ""
    folders: tuple[Path, ...] = ()
    device: str = "cpu"
    patience_s: float = PATIENCE_S
    once: bool = False


def join(site: Site, say: Callable[[str], None]) -> None:
    """Takes part in run after run at the address. say: is told in plain sentences what happens.

    Returns when the site has left: after one run if it was to be `once`, else when nobody is there any more.
    Raises:
        CannotJoin: its certificate, its data, its address or its task will not do. TurnedAway. NobodyThere: at first,
            or in the midst of a run.
    """
    identity, address = _checked(site)
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(gettempdir())
    door = site_door(address, identity, memory / f"{SHARED_PREFIX}site")
    let_go = False
    while True:
        try:
            with WorkerSession(door, identity.name, patience_s=site.patience_s, tell=say) as session:
                if session.welcome() is not None:
                    let_go = False
                    _take_part(site, identity.name, session, say)
        except Refused as refused:
            raise TurnedAway(identity.name, str(address), refused.reason) from None
        except EngineGone as gone:
            if not let_go:
                raise NobodyThere(str(address), site.patience_s, gone.last) from None
            say(f"left: nobody was at {address} for {site.patience_s:g} s")
            return
        if session.replaced:
            raise TurnedAway(identity.name, str(address), session.ended)
        if site.once:
            say(f"left: {session.ended}")
            return
        let_go = True
        say(f"{session.ended}; waits up to {site.patience_s:g} s for it to go on, or for the next run")
        time.sleep(PAUSE_S)


def _checked(site: Site) -> tuple[Identity, Address]:
    """All that can be known to be wrong before anybody is dialled, at once. Raises CannotJoin."""
    import torch

    reasons: list[str] = []
    address = identity = None
    try:
        address = Address.from_text(site.address)
    except AddressInvalid as error:
        reasons.append(str(error))
    if not site.data.exists():
        reasons.append(f"{site.data}: there are no such data; give --data the folder that holds this site's")
    try:
        identity = load_site(site.certificates)
    except CertificateInvalid as error:
        reasons.append(str(error))
    if site.task and not all(site.task.partition(":")):
        reasons.append(f"--task {site.task}: write it as package.module:Class")
    try:
        torch.empty(0, device=site.device)
    except Exception:  # what a device that is not there raises is the device's own
        reasons.append(f"--device {site.device}: torch has no such device here; give cpu, or cuda where there is one")
    if identity is None or address is None or reasons:
        raise CannotJoin("\n".join(reasons))
    return identity, address


def _take_part(site: Site, name: str, session: WorkerSession, say: Callable[[str], None]) -> None:
    """From welcome to goodbye. Raises CannotJoin, after a goodbye that says why."""
    welcome = session.welcome()
    assert welcome is not None
    try:
        training = Training.from_engine(welcome.settings)
        say(f"joined run {welcome.run} at {site.address} as {name}: {training.task}, data {site.data}")
        execute = _execute(site, training, session)
    except (CannotJoin, ValueError) as error:
        session.close(f"it cannot take part: {error}")
        raise CannotJoin(str(error)) from error
    for work, result in answers(session, execute):
        say(_sentence(work.round, work.kind, result))


def _execute(site: Site, training: Training, session: WorkerSession) -> Execute:
    """Does this run's work with the site's data. Raises CannotJoin."""
    import torch

    from orchestrator.compute import executor
    from orchestrator.values.shared import SharedValues
    from trainers import Context, keep_freed_memory, load_task, make_deterministic

    if site.task and site.task != training.task:
        raise CannotJoin(f"the run trains {training.task}, and this site was told to train {site.task} only")
    keep_freed_memory()
    make_deterministic(training.threads)
    try:
        task = load_task(training.task, site.folders)
    except Exception as error:  # the user's module may raise anything
        raise CannotJoin(f"the task of the run cannot be loaded here: {type(error).__name__}: {error}") from error
    give_data(task, training.task, site.data)
    context = Context(task, training.seed, torch.device(site.device), interrupted=session.interrupted)
    return executor(SharedValues(session.folder), context)


def give_data(task: Task, given: str, data: Path) -> None:
    """Sets where the task's data are. given: as the run names the task. Raises CannotJoin: it cannot be told."""
    if not hasattr(task, "folder"):
        raise CannotJoin(
            f"task {given!r} has no attribute 'folder', so it cannot be told where this site's data are: give the "
            'class one, such as `folder = Path("/somewhere")`, and read from self.folder'
        )
    task.folder = data.resolve()


def _sentence(round_: int, kind: str, result: pb.Result) -> str:
    if result.HasField("failure"):
        return f"round {round_}: {kind} failed: {result.failure.message}"
    figures = (
        f", {name} {result.metrics[name]:{form}}"
        for name, form in (("samples", ",.0f"), ("loss", ".4g"))
        if name in result.metrics
    )
    return f"round {round_}: {kind} done in {result.computed_s:.2f} s{''.join(figures)}"

"""The processes of a run: how many, what each is told, what it reserves; and the pool that they dial in to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address

import structlog

from cluster.launchers import CannotFit, ClusterError, Launcher, Member, Needs, RayLauncher, check_fits, known_as
from cluster.sessions import Door
from cluster.shared_memory import SharedFolder
from orchestrator.errors import NoPlace
from orchestrator.inspection import inspector
from orchestrator.journal.records import Started
from orchestrator.lifecycle import OpenPool
from orchestrator.pools.latency import Pareto
from orchestrator.pools.remote import RemotePool
from orchestrator.protocols import Pool
from orchestrator.records import AGGREGATOR, WORKER
from orchestrator.serving import not_listening, refused, sites_of
from orchestrator.spec import Spec
from orchestrator.spec.problems import Complaint
from orchestrator.worker import ENTRY, Training, WorkerSettings

log = structlog.get_logger(__name__)

AGGREGATOR_NEEDS = Needs(cpu=0.5)  # sums and steps are done on the CPU


def no_room(address: str | None) -> Callable[[Spec], Iterator[Complaint]]:
    """Why the cluster at this address (None: this machine) can never hold a run, as problems of its spec."""

    def complaints(spec: Spec) -> Iterator[Complaint]:
        try:
            check_fits(address, needs_of(spec))
        except CannotFit as error:
            yield Complaint(((spec.verb, "workers"), ("resources", "per_worker")), f"{spec.verb}.workers: {error}")
        except ClusterError as error:
            yield Complaint(((),), str(error))
        if why := not_listening(spec):
            yield Complaint((("serve", "address"),), f"serve.address: {why}")

    return complaints


def room_for(spec: Spec, address: str | None) -> Mapping[str, float]:
    """What that cluster has.

    Raises NoPlace: it cannot be reached, or could never hold the run, or the run's sites could not dial in here.
    """
    if why := not_listening(spec):
        raise NoPlace(why)
    try:
        return check_fits(address, needs_of(spec))
    except ClusterError as error:
        raise NoPlace(str(error)) from error


def on_ray(address: str | None) -> OpenPool:
    """Workers as actors on the Ray cluster at this address; None: on a Ray of our own, on this machine.

    What it opens raises NoPlace: the cluster cannot be reached, or has no room at present.
    """

    def open_pool(started: Started, spec: Spec, values: SharedFolder) -> Pool:
        try:
            return open_pool_of(started, spec, values, RayLauncher(address), host=own_host(address))
        except ClusterError as error:  # not the end of the run: it can be resumed
            raise NoPlace(f"{error} Then go on by `ripieno resume {started.run}`.") from error

    return open_pool


def open_pool_of(
    started: Started, spec: Spec, values: SharedFolder, launcher: Launcher, *, host: str = ""
) -> RemotePool:
    """Starts the run's workers; they are there when they have Joined. host: see RemotePool.

    Raises ClusterError; NoPlace: sites cannot dial in.
    """
    sites = sites_of(spec)
    try:
        pool = RemotePool(
            started.run,
            values.path,
            heartbeat_s=spec.times.heartbeat_s,
            hard_deadline_s=spec.times.hard_deadline_s,
            host=host,
            sites=sites,
            inspect=inspector(values),
        )
    except OSError as error:
        if sites is None:
            raise
        raise NoPlace(refused(str(sites.address), error)) from error  # not the end of the run: it can be resumed
    if sites is not None:
        log.info("sites_awaited", address=pool.sites_at, sites=sorted(sites.names))
    try:
        pool.launch(launcher, members(started, spec, pool.door))
    except BaseException:
        pool.close()
        raise
    return pool


def own_host(address: str | None) -> str:
    """This machine's address as the cluster's head sees it, or has it where that is on this machine; "" where nobody
    else is to dial in. Raises NoCluster."""
    if address is None:
        return ""
    host, _, port = address.rpartition(":")
    if not host:  # "auto": a head on this machine
        return known_as(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))  # sends nothing, but chooses the way there
        own: str = probe.getsockname()[0]
    return known_as(address) if ip_address(own).is_loopback else own


def needs_of(spec: Spec) -> Sequence[Needs]:
    """What must be there at once: of the aggregator, then of each worker that is launched and that the run begins
    with."""
    return [AGGREGATOR_NEEDS, *([_worker_needs(spec)] * (0 if spec.served else spec.section.first_workers))]


def members(started: Started, spec: Spec, door: Door) -> Sequence[Member]:
    """The aggregator's process, and one a worker."""
    first, most = spec.section.first_workers, 0 if spec.served else spec.section.most_workers
    needs = _worker_needs(spec)
    slow = spec.inject.slow
    factors = {slow.worker: slow.factor} if slow is not None else {}
    late = spec.inject.delay
    delay = None if late is None else Pareto(late.pareto, late.mean_s)
    return [
        _member(started, spec, WorkerSettings(door, f"{AGGREGATOR}-0", role=AGGREGATOR), AGGREGATOR_NEEDS),
        *(
            _member(
                started,
                spec,
                WorkerSettings(door, f"{WORKER}-{number}", slow_factor=factors.get(number, 1.0), delay=delay),
                needs,
                needed=number < first,
            )
            for number in range(most)
        ),
    ]


def _worker_needs(spec: Spec) -> Needs:
    each = spec.resources.per_worker
    return Needs(each.cpu, each.gpu)


def _member(started: Started, spec: Spec, settings: WorkerSettings, needs: Needs, *, needed: bool = True) -> Member:
    training = Training(spec.task, spec.seed, spec.threads, "cuda" if needs.gpu else "cpu", started.paths)
    settings = replace(settings, training=training)
    environment = {"OMP_NUM_THREADS": str(spec.threads)}  # before torch is imported: worth 15 % on one core
    return Member(settings.name, ENTRY, settings.to_json(), needs, environment, needed)

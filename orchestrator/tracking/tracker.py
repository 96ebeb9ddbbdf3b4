"""The tracker as the engine sees it: it notes what is to be recorded, and a process of its own records it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from orchestrator.journal import codec
from orchestrator.journal.records import Started
from orchestrator.records import Actions, Wake
from orchestrator.tracking.entries import Entry, Gleaner
from orchestrator.tracking.final import Final
from orchestrator.tracking.identity import load_identity
from orchestrator.tracking.kept import save_final
from orchestrator.tracking.link import Link
from orchestrator.tracking.messages import Entries, Goodbye, Hello, Message, Report
from orchestrator.uris import printable

LOG = "tracking.log"
MODEL_S = 10.0  # seconds for a model: 1 to 3 on an idle machine
HAND_OVER_S = 1.0
HAND_OVER_ENTRIES = 1000  # one frame at most, so that none grows beyond what the line takes


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a run is recorded.

    uri: MLflow's tracking URI. experiment: its name there. parent: folder of the run that this one is nested in, such
    as the chain of a stage. A folder, since MLflow's id for that run may not be known yet; the writer waits for it.
    """

    uri: str
    experiment: str
    parent: Path | None = None


@dataclass(frozen=True, slots=True)
class TrackingReport:
    """What became of a run's record.

    mlflow_run_id: None if MLflow never answered. complete: MLflow has all that this tracker saw, and the model.
    message: a sentence for people; if something is missing, what, why, and how to send it later.
    """

    mlflow_run_id: str | None
    complete: bool
    message: str


class Tracker:
    """An observer whose trouble is nobody else's: `seen` returns at once and never raises, from the first wake on.

    One writer process a run opens MLflow, creates or continues the run there, and retries until it answers. What it
    cannot take in time is left out here; the journal has it all, and `catch_up` sends it later.

    Figures of the last second wait here for the next wake.
    Cost: `seen` 4 µs an answer on a busy machine, handing over included.
    """

    def __init__(self, hello: Hello, run: str, patience_s: float) -> None:
        self._hello, self._run, self._patience_s = hello, run, patience_s
        self._gleaner = Gleaner()
        self._entries: list[Entry] = []
        self._handed_over_s = time.monotonic()
        self._lost = 0  # entries that nobody took
        self._trouble = ""
        self._link: Link | None = None
        try:
            self._link = Link(hello.folder / LOG)
        except OSError as error:
            self._trouble = f"no process could be started for it ({error})"
        self._offer(hello)

    @classmethod
    def start(cls, started: Started, folder: Path, destination: Destination) -> Tracker:
        """Begins or continues a run's record; returns within milliseconds, whatever state MLflow is in.

        folder: the run's own, which exists. After a resume, show it the replayed wakes too: those that MLflow has
        already are stored once.
        """
        return cls(_hello(started, folder, destination, catching_up=False), started.run, patience_s=0.0)

    @classmethod
    def catch_up(cls, started: Started, folder: Path, destination: Destination, patience_s: float) -> Tracker:
        """To be shown all wakes of a journal: sends what MLflow has not got, and leaves nothing out.

        patience_s: how long one call of `seen` may wait for a writer that is busy.
        """
        return cls(_hello(started, folder, destination, catching_up=True), started.run, patience_s)

    def seen(self, wake: Wake, actions: Actions) -> None:
        """Notes what of this wake goes on record; hands over about once a second."""
        entry = self._gleaner.glean(wake, actions)
        if entry is not None:
            self._entries.append(entry)
        if self._entries and (
            len(self._entries) >= HAND_OVER_ENTRIES or time.monotonic() - self._handed_over_s >= HAND_OVER_S
        ):
            self._hand_over()

    def finish(self, final: Final, timeout_s: float) -> TrackingReport:
        """Ends the record, and the writer process; waits for MLflow at most so long, MODEL_S more for a child's model.

        final: also kept in the run's folder, for `load_final`.
        """
        self._hand_over()
        if final.ended_ms is None:
            final = structs.replace(final, ended_ms=round(time.time() * 1000))
        self._keep(final)
        models = sum(child.model is not None for child in final.children)
        answer = self._converse(Goodbye(final, timeout_s + MODEL_S * models))
        missing = self._missing(answer)
        identity = load_identity(self._hello.folder, self._hello.uri)
        where = f"MLflow at {printable(self._hello.uri)}"
        if not missing:
            message = f"{where} has all of run {self._run}, in experiment {self._hello.experiment!r}."
        else:
            message = (
                f"{where} has not got everything of run {self._run}: {'; '.join(missing)}. The run itself is not "
                f"affected. Its journal has it all; send the rest with: ripieno track sync {self._run}"
            )
        if isinstance(answer, Report) and answer.remark:
            message += f" {answer.remark}"
        return TrackingReport(identity or None, not missing, message)

    def _hand_over(self) -> None:
        if self._entries and not self._offer(Entries(self._entries)):
            self._lost += len(self._entries)
        self._entries = []
        self._handed_over_s = time.monotonic()

    def _keep(self, final: Final) -> None:
        try:
            save_final(self._hello.folder, final)
        except Exception as error:  # the record's loss, not the run's
            self._trouble = f"its end could not be kept for later ({error!r})"

    def _offer(self, message: Message) -> bool:
        try:
            return self._link is not None and self._link.offer(message, self._patience_s)
        except Exception as error:  # the record's loss, not the run's
            self._trouble = f"some figures could not be sent ({error!r})"
            return False

    def _converse(self, goodbye: Goodbye) -> Message | None:
        try:
            return None if self._link is None else self._link.converse(goodbye, goodbye.timeout_s)
        except Exception as error:  # the record's loss, not the run's
            self._trouble = f"its end could not be sent ({error!r})"
            return None

    def _missing(self, answer: Message | None) -> list[str]:
        missing = [self._trouble] if self._trouble else []
        if self._lost:
            missing.append(f"figures of {self._lost} wakes that its writer had no room for")
        if isinstance(answer, Report):
            missing.extend(answer.missing)
        elif self._link is not None:
            missing.append(f"the rest, which its writer did not confirm in time (see {self._hello.folder / LOG})")
        return missing


def _hello(started: Started, folder: Path, destination: Destination, catching_up: bool) -> Hello:
    return Hello(
        codec.encode(started), folder, destination.uri, destination.experiment, catching_up, destination.parent
    )

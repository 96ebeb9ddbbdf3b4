"""What can go wrong in a run, as sentences for whoever must act.

RipienoError
├── BadInput            exit 2: no work was started; what is there already stays as it is
│   ├── SpecInvalid     every problem of a spec at once
│   ├── NoPlace         no cluster, none that could ever hold the run, or no room at present
│   ├── RunExists       a run of that name is there
│   ├── RunStored       a copy of a run of that name is in the storage
│   ├── OtherSpec       a run of that name is there, begun with another spec (begun)
│   ├── JournalHeld     another engine writes this run's journal
│   ├── StorageInvalid  a storage whose URI cannot be
│   └── JournalDamaged  a journal that cannot be continued or replayed
├── RunFailed           exit 1: work had started; carries the story of the round
├── JournalLost         exit 1: another engine took over the journal that this one was writing
├── CopyConflict        exit 1: the storage holds another journal under this one's name
├── ValueConflict       exit 1: one reference, two values
└── ValueMissing        exit 1: a reference whose value is nowhere
"""


class RipienoError(Exception):
    """Root of all errors raised on purpose. Subclasses hand every field to super().__init__, for pickling."""

    exit_code = 1


class BadInput(RipienoError):
    """Nothing was started because something asked for cannot be."""

    exit_code = 2


class NoPlace(BadInput):
    """The run cannot be placed. reason: a sentence with what it needs, what there is, and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class RunExists(BadInput):
    """A new run was given the name of one that is there. folder: its."""

    def __init__(self, run: str, folder: str) -> None:
        super().__init__(run, folder)
        self.run, self.folder = run, folder

    def __str__(self) -> str:
        go_on = f"go on with it (ripieno resume {self.run}, or run … --name {self.run} --resume)"
        return f"there is a run {self.run!r} already, in {self.folder}; {go_on} or choose another name"


class RunStored(BadInput):
    """A new run was given the name of one whose copy is in the storage. storage: its URI, printable."""

    def __init__(self, run: str, storage: str) -> None:
        super().__init__(run, storage)
        self.run, self.storage = run, storage

    def __str__(self) -> str:
        return (
            f"the storage {self.storage} holds a run {self.run!r} already, which this one would mix with. Bring that "
            f"one back with `ripieno restore {self.run} --storage {self.storage}` and go on with it, or choose another "
            "name."
        )


class RunFailed(RipienoError):
    """The run cannot go on.

    reason: one sentence. story: what happened, line by line, newest last. traceback: of the user's code, or "".
    """

    exit_code = 1

    def __init__(self, reason: str, story: tuple[str, ...] = (), traceback: str = "") -> None:
        super().__init__(reason, story, traceback)
        self.reason, self.story, self.traceback = reason, story, traceback

    def __str__(self) -> str:
        return "\n".join([*([self.traceback.rstrip()] if self.traceback else []), self.reason, *self.story])


class JournalHeld(BadInput):
    """Another engine writes this run's journal. pid, host: of its process; 0 if it has not said so yet."""

    def __init__(self, folder: str, pid: int, host: str) -> None:
        super().__init__(folder, pid, host)
        self.folder, self.pid, self.host = folder, pid, host

    def __str__(self) -> str:
        return (
            f"the journal {self.folder} is being written by process {self.pid} on {self.host}. "
            "Wait for that run to end, or stop it with SIGTERM; looking at it (show, list, replay) needs no lock."
        )


class JournalDamaged(BadInput):
    """A journal that cannot be continued or replayed. file, offset: the first byte that is not as it was written."""

    def __init__(self, file: str, offset: int, reason: str) -> None:
        super().__init__(file, offset, reason)
        self.file, self.offset, self.reason = file, offset, reason

    def __str__(self) -> str:
        return (
            f"{self.file}, byte {self.offset}: {self.reason}. Nothing was changed. "
            "If the run has a copy in its storage, move its folder away and run `ripieno restore RUN --storage URI`."
        )


class StorageInvalid(BadInput):
    """A storage that cannot be, as its URI is written. reason: pyarrow's."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(uri, reason)
        self.uri, self.reason = uri, reason

    def __str__(self) -> str:
        return (
            f"storage: {self.uri!r} cannot be opened: {self.reason}. In a URI a space is %20; a path is taken as it is."
        )


class JournalLost(RipienoError):
    """This engine wrote the journal until another one took it over; nothing it does from here on counts."""

    def __init__(self, folder: str, pid: int, host: str) -> None:
        super().__init__(folder, pid, host)
        self.folder, self.pid, self.host = folder, pid, host

    def __str__(self) -> str:
        return (
            f"the lock of the journal {self.folder} went to process {self.pid} on {self.host} while this engine was "
            "writing. This engine stops; the other one goes on, and nothing that was journalled is lost."
        )


class CopyConflict(RipienoError):
    """The storage has a file of this journal's with other bytes, so two journals go by one name."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.file = file

    def __str__(self) -> str:
        return (
            f"{self.file} in the storage is not the one that this run wrote, so another journal was copied there, and "
            "nothing was overwritten. If this machine lost its disk, `ripieno restore` comes before resuming; if two "
            "engines run from copies of one journal, stop one of them."
        )


class ValueConflict(RipienoError):
    """Other bytes came under a reference that has a value already; the first stays."""

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self.ref = ref

    def __str__(self) -> str:
        return (
            f"value {self.ref} came a second time with other bytes, so the work that makes it is not deterministic. "
            "Draw all randomness from the context's source, and keep time, threads and global state out of it."
        )


class ValueMissing(RipienoError):
    """A value was asked for that is not there. reason: what became of it."""

    def __init__(self, ref: str, reason: str) -> None:
        super().__init__(ref, reason)
        self.ref, self.reason = ref, reason

    def __str__(self) -> str:
        return f"value {self.ref} is not there: {self.reason}"

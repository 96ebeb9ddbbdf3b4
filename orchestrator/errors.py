"""What can go wrong in a run, as sentences for whoever must act.

RipienoError
├── BadInput            exit 2: nothing was started, nothing was written
│   ├── SpecInvalid     every problem of a spec at once
│   ├── JournalHeld     another engine writes this run's journal
│   └── JournalDamaged  a journal that cannot be continued or replayed
├── RunFailed           exit 1: work had started; carries the story of the round
└── Interrupted         exit 130: stopped on request, resumable
"""


class RipienoError(Exception):
    """Root of all errors that Ripieno raises on purpose. Subclasses hand every field to super().__init__, for pickling."""

    exit_code = 1


class BadInput(RipienoError):
    """Nothing was started because something asked for cannot be."""

    exit_code = 2


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


class Interrupted(RipienoError):
    """The run was asked to stop, took a snapshot and can be resumed."""

    exit_code = 130

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        return f"run {self.run} was interrupted; go on with: ripieno resume {self.run}"

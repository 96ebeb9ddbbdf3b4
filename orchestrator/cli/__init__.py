"""The command line: `ripieno`, or `python -m orchestrator`."""

from orchestrator.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Runs the command that the process was started with, and exits."""
    app(prog_name="ripieno")

"""The log of a run's writer process, in which MLflow's own errors name its address."""

import logging

from orchestrator.uris import printable


class WithoutSecrets(logging.Formatter):
    """Tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def to_standard_error() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(WithoutSecrets("%(asctime)s %(levelname)s %(name)s %(message)s"))
    return handler

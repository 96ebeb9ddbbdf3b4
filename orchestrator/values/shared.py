"""Values in shared memory, between the processes of one host."""

from cluster.shared_memory import SharedFolder
from orchestrator.values.carried import CarriedValues
from orchestrator.values.persisted import Persisted


class SharedValues(CarriedValues):
    """Values in a shared folder, each a file in safetensors layout that every process of the host can map.

    The folder stays its owner's to close. Only the engine persists and releases.
    """

    def __init__(self, folder: SharedFolder, persisted: Persisted | None = None, kept: Persisted | None = None) -> None:
        super().__init__(folder, persisted, kept)

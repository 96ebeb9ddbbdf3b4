"""Where work runs: sessions, launchers, carriers of values. Knows nothing of training or of the core's records."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Nobody here uses gRPC on both sides of a fork. It prepares for that all the same, and complains whenever a library
# forks (Ray does, to start its processes) while streams are open. Read once, when gRPC is imported.

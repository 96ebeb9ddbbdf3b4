"""The faults that a run must survive, by name: one list for the virtual pool and for real processes."""

from enum import StrEnum


class Fault(StrEnum):
    """Each value is its name in docs/pages/faults.md, where a row says how it is noticed and what happens."""

    CRASH = "crash"  # a worker's process dies, and another one takes its place
    HANG = "hang"  # a worker takes work and never answers
    SLOW = "slow"  # an attempt takes several times as long
    LOST_REPLY = "lost reply"
    DUPLICATE_REPLY = "duplicate reply"
    JOIN = "join"  # a worker that was not there before
    LEAVE = "leave"  # a worker goes for good
    AGGREGATOR_LOST = "aggregator lost"
    DRIVER_KILLED = "driver killed"
    SECOND_DRIVER = "second driver on the same run"
    DISK_FULL = "disk full"
    TORN_WRITE = "torn write"
    MLFLOW_ABSENT = "MLflow absent"
    MLFLOW_HANGING = "MLflow hanging"
    MLFLOW_FAILING = "MLflow answers 500"
    MLFLOW_SLOW = "MLflow slow"
    MLFLOW_BACK = "MLflow back"
    NON_FINITE_FROM_ONE = "NaN from one worker"
    NON_FINITE_FROM_ALL = "NaN from all workers"

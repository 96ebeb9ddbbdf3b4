"""Data sets in Arrow and Parquet files, mapped into memory: all workers of a host read the same pages."""

from trainers.data.arrow.dataset import ArrowData

__all__ = ["ArrowData"]

"""Tensors by immutable reference: where they are put, kept and found again."""

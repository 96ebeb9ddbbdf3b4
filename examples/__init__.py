"""Specs and tasks to copy."""

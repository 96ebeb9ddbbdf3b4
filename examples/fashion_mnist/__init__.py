"""Clothes in ten kinds: the smallest whole task."""

"""What to try next in a search: the space of configurations, and the searchers that walk it. Pure."""

from orchestrator.searching.space import Choice, Float, Int, Option, Parameter, Space

__all__ = ["Choice", "Float", "Int", "Option", "Parameter", "Space"]

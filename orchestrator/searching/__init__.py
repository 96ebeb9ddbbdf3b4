"""What to try next in a search: the space of configurations, and the searchers that walk it. Pure."""

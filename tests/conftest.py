"""For all tests: hypothesis judges what code does, not how long it takes; timings live in benchmarks/."""

from hypothesis import settings

settings.register_profile("ripieno", deadline=None)
settings.load_profile("ripieno")

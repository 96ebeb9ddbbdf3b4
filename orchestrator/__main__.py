"""`python -m orchestrator`: the same as `ripieno`, with nothing installed."""

from orchestrator.cli import main

main()

"""The section `serve`: real sites, which nobody launches, and where they dial in."""

from __future__ import annotations

from pydantic import Field

from orchestrator.spec.common import Section


class Serve(Section):
    """Sites that dial in with data of their own, known by their certificates."""

    sites: list[str] = Field(min_length=1, description="the sites that are let in, as their certificates call them")
    address: str = Field(
        default="", description="HOST:PORT that they dial; `ripieno run SPEC --serve HOST:PORT` sets it"
    )
    certificates: str = Field(
        default="certificates", min_length=1, description="folder of the authority, as `ripieno certs init` made it"
    )

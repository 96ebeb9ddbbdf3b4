"""What `serve` and the verb must agree on."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.models import OneVerb, Spec
from orchestrator.spec.problems import Complaint, Keys, complaint, dotted


def serve_contradictions(spec: Spec) -> Iterator[Complaint]:
    """Of a whole spec, its later stages included; pure."""
    stages: list[tuple[Keys, OneVerb]] = [((), spec)]
    stages += [(("then", number), stage) for number, stage in enumerate(spec.then) if len(stage.given) == 1]
    served = [((*place, stage.verb), stage.section) for place, stage in stages if stage.section.real]
    serve = spec.serve
    if serve is None:
        if served:
            remedy = "Give serve: {sites: [NAME, …]} and --serve HOST:PORT."
            yield complaint((*served[0][0], "clients"), f"are sites, but nothing says which. {remedy}", ("serve",))
        return
    if not served:
        why = "is given, but nobody asks sites for anything. Use federate: {clients: sites, …}, or leave serve out."
        yield complaint(("serve",), why)
        return
    if not serve.address:
        yield complaint(
            ("serve", "address"), "is missing. Say where sites dial in: ripieno run SPEC --serve HOST:PORT."
        )
    if twice := sorted({name for name in serve.sites if serve.sites.count(name) > 1}):
        yield complaint(("serve", "sites"), f"names {', '.join(twice)} more than once.")
    for keys, section in served:
        if (n := section.most_workers) > (named := len(serve.sites)):
            most: Keys = ("workers",) if isinstance(section.workers, int) else ("workers", "max")
            why = f"is {n} but serve.sites names {named}. Use {dotted(most)} <= {named}, or name the others."
            yield complaint((*keys, *most), why, ("serve", "sites"))

"""Every page there is, by its path: looked at for hostile text, for access, for pictures."""

from __future__ import annotations

from collections.abc import Iterator

from tests.browser.site import Site

PLACES = ("/", "/pending", "/deliveries", "/audit", "/sources", "/stats")


def pages(site: Site, *stories: str) -> Iterator[str]:
    """The places, and for each of these applications its own pages and those of its newest change
    and request."""
    yield from PLACES
    for story in stories:
        name = site.name(story)
        yield f"/applications/{name}"
        yield f"/applications/{name}/value-stream"
        for change, request in site.query(
            "SELECT id, request FROM change WHERE application = ? AND state != 'unchanged'"
            " ORDER BY number DESC LIMIT 1",
            name,
        ):
            yield f"/changes/{change}"
            yield f"/changes/{change}?diff=split"
            if request:
                yield f"/requests/{request}"

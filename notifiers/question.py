"""The question a notice speaks of, as it is now: for notifiers whose messages say what is asked."""

from __future__ import annotations

from gitops.errors import ConfigError
from gitops.model.events import Notice
from gitops.plugins import Services
from gitops.ports.office import Card


async def card_of(services: Services, notice: Notice) -> Card | None:
    """None where nothing is asked, or no controller runs to be asked."""
    if notice.kind not in ("asked", "reminder", "stuck"):
        return None
    try:
        return await services.office().card_of(notice.subject)
    except ConfigError:
        return None


def page_of(services: Services, notice: Notice) -> str:
    """Address of the page of what a notice is about; empty where there is none."""
    try:
        return services.office().page(notice.subject)
    except ConfigError:
        return ""

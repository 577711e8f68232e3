"""The ``webhooks:`` of the fleet file: which endpoints there are, and what each may concern.

Both forms mean the same and read as they are spoken: ``github: {secret: …}`` is a webhook that is
called what it is, ``ops: {gitlab: {secret: …}}`` one with a name of its own. Called by
:mod:`gitops.config.build`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gitops.config import shape
from gitops.config.options import fits, known, options
from gitops.config.problems import Draft, Loc
from gitops.foreign import one_line
from gitops.model.fleet import WebhookSpec
from gitops.model.ids import SourceName
from gitops.plugins import Plugin, Role, plugins

_SOURCES = "sources"
_OWN = frozenset({"secret", "previous_secret", _SOURCES})
"""Options nearly every kind has: they are no kind."""


def webhooks(draft: Draft, file: shape.FleetFile) -> tuple[WebhookSpec, ...]:
    """Those of the file, in its order; what does not fit is added to the draft."""
    found = tuple(_webhook(draft, name, given) for name, given in file.webhooks.items())
    if found and not file.api.listen and ("api",) not in draft.damaged:
        draft.refuse_at(
            draft.named(("webhooks",)),
            "webhooks need an address to come in at",
            "write api: {listen: 127.0.0.1:8080}, and let a TLS proxy pass /hooks/ on to it",
        )
    for spec in found:
        if spec.name in file.notifiers:
            draft.refuse_at(
                draft.named(("webhooks", spec.name)),
                f'a webhook and a notifier are called "{spec.name}", and both want /hooks/NAME',
                f"the other is at {draft.named(('notifiers', spec.name))}; rename one",
            )
    return found


def _webhook(draft: Draft, name: str, given: Mapping[str, Any]) -> WebhookSpec:
    loc: Loc = ("webhooks", name)
    kinds = plugins(Role.WEBHOOK)
    kind, at, options_given = name, loc, given
    if len(given) == 1 and isinstance(inner := next(iter(given.values())), dict):
        only = next(iter(given))
        if only in kinds or (name not in kinds and only not in _OWN):
            kind, at, options_given = only, (*loc, only), inner
    if kind == name and name not in kinds:
        draft.refuse_at(
            draft.named(loc),
            f'webhook "{one_line(name, 80)}" does not say what it listens to',
            f"write {name}: {{KIND: {{secret: …}}}} – KIND is one of {', '.join(sorted(kinds))}",
        )
        return WebhookSpec(name, "")
    plugin = known(draft, Role.WEBHOOK, kind, at)
    own = {key: value for key, value in options_given.items() if key != _SOURCES}
    taken = options(draft, plugin, own, at)
    fits(draft, plugin, taken, at)
    return WebhookSpec(
        name,
        kind if plugin else "",
        MappingProxyType(taken),
        _sources(draft, plugin, options_given, at),
    )


def _sources(
    draft: Draft, plugin: Plugin | None, given: Mapping[str, Any], loc: Loc
) -> tuple[SourceName, ...]:
    at: Loc = (*loc, _SOURCES)
    if _SOURCES not in given:
        if plugin is not None and getattr(plugin.module, "NEEDS_SOURCES", False):
            message = f"a {plugin.name} webhook does not say what changed"
            draft.refuse_at(draft.named(loc), message, "name what to look at: sources: [NAME]")
        return ()
    names = given[_SOURCES]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        draft.refuse(at, '"sources" has to be a list of names', "write sources: [NAME]")
        return ()
    for index, name in enumerate(names):
        draft.expect((*at, index), name, draft.names("sources"), "source")
    return tuple(map(SourceName, dict.fromkeys(names)))

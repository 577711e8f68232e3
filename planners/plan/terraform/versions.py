"""Which versions go out together: the tool, the providers, the modules. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops.foreign import one_line
from planners.plan.terraform.document import Json, modules

_REF = re.compile(r"[?&]ref=([^&]+)")
_SECRET_PART = re.compile(r"(?<=://)[^/@]*@")


def versions_of(
    shown: Json, tool: str, providers: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """(name, version), sorted: ``terraform 1.11.4``, each provider as selected, and each module
    the configuration calls with a version or a git ref."""
    name, _, version = tool.partition(" ")
    return tuple(sorted({(name, version), *providers, *_modules(shown)}))


def _modules(shown: Json) -> Iterator[tuple[str, str]]:
    for address, call, _ in modules(shown):
        source = str(call.get("source", ""))
        wanted = str(call.get("version_constraint", ""))
        ref = _REF.search(source)
        if not address or not (wanted or ref):
            continue
        bare = _SECRET_PART.sub("", source.partition("?")[0])
        yield f"module {one_line(bare, 200)}", one_line(wanted or (ref[1] if ref else ""), 80)

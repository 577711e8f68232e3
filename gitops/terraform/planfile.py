"""Reads a saved plan and a state just far enough to say which state they belong to.

Pure, but for memory: what is read is bounded. Used by :mod:`gitops.terraform.workspace` and
:mod:`gitops.terraform.applying`.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping

from gitops.errors import RenderError
from gitops.model.sealed import StateFacts
from gitops.ports.terraform import OutputValue

LIMIT = 256 << 20
"""Bytes of a state; the tool itself gets slow long before."""
_PROVIDER = re.compile(
    rb'^provider\s+"([^"\n]{1,300})"\s*\{\s*\n\s*version\s*=\s*"([^"\n]{1,80})"', re.M
)


def planned_on(plan_file: bytes) -> StateFacts:
    """The state a saved plan was made on: what the tool itself compares before it applies.

    Raises RenderError for bytes that are no plan.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(plan_file)) as archive, archive.open("tfstate") as member:
            state = member.read(LIMIT + 1)
    except (zipfile.BadZipFile, KeyError, OSError, RuntimeError, NotImplementedError, zlib.error):
        raise RenderError("these bytes are no saved plan", hint="plan again") from None
    if len(state) > LIMIT:
        raise RenderError(f"the state in the plan is larger than {LIMIT} bytes")
    return state_facts(state)


def state_facts(state: bytes) -> StateFacts:
    """Serial and lineage of a state; of nothing: of no state yet. Raises RenderError."""
    return read_state(state)[1]


def read_state(state: bytes) -> tuple[Mapping[str, OutputValue], StateFacts]:
    """Outputs of a state too (``outputs`` of its format 4, where what is not sensitive says
    nothing of it). Raises RenderError."""
    if not state.strip():
        return {}, StateFacts()
    try:
        body = json.loads(state)
        serial, lineage = body["serial"], body["lineage"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RenderError(
            "the state cannot be read: it is no JSON with serial and lineage"
        ) from None
    if not isinstance(serial, int) or not isinstance(lineage, str):
        raise RenderError("the state cannot be read: serial or lineage is of another type")
    outputs = body.get("outputs")
    found = outputs if isinstance(outputs, dict) else {}
    return {
        name: OutputValue(each.get("value"), each.get("sensitive", False) is not False)
        for name, each in found.items()
        if isinstance(each, dict)
    }, StateFacts(serial, lineage)


def providers(lock_file: bytes) -> tuple[tuple[str, str], ...]:
    """(source address, version) of each provider a dependency lock file pins, sorted."""
    found = _PROVIDER.findall(lock_file)
    return tuple(
        sorted((name.decode("utf-8", "replace"), v.decode("utf-8", "replace")) for name, v in found)
    )

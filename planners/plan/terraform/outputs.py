"""A root's outputs as they will be, for the applications that take them in. Pure.

What is given out is in clear: whoever passes it on masks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.ports.terraform import UNKNOWN, OutputValue
from planners.plan.terraform import marks
from planners.plan.terraform.document import Json, mapping, outputs


def known_outputs(shown: Json) -> Mapping[str, Any]:
    """Name → OutputValue, or UNKNOWN where a part of the value is known after apply only.

    Outputs that stay as they are, are among them; those the plan removes are not.
    """
    found: dict[str, Any] = {}
    planned = mapping(mapping(shown.get("planned_values")).get("outputs"))
    for name in planned:
        output = mapping(planned[name])
        sensitive = output.get("sensitive") is True
        known = "value" in output
        found[str(name)] = OutputValue(output["value"], sensitive) if known else UNKNOWN
    for entry in outputs(shown):
        name, after = entry.name, entry.after
        if entry.actions == ("delete",):
            found.pop(name, None)
        elif marks.anywhere(after.unknown):
            found[name] = UNKNOWN
        else:
            found[name] = OutputValue(after.value, marks.anywhere(after.sensitive))
    return found

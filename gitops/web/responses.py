"""How the API writes an answer: any value of ours as JSON. Called by every module of routes."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse

from gitops.jsonable import to_json


class _Ascii(JSONResponse):
    """Foreign names may hold what UTF-8 cannot (lone surrogates); ASCII JSON escapes it."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def as_json(value: Any) -> JSONResponse:
    """A model value, or a mapping or list of them."""
    return _Ascii(to_json(value))

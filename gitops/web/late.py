"""Routes that are analysed when they are first asked for.

FastAPI reads every handler's signature and builds a validator for each of its parameters when the
handler is added: of all that starting a controller's API takes that is nearly everything, and most
routes of most controllers are never asked. So only what choosing a route takes is made at once.
Used by :func:`gitops.web.api.build`. A handler nobody could call is found by the tests, which
analyse them all; must never let a request through to one that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import compile_path, get_name

_compiled = cache(compile_path)


class LateRoute(APIRoute):
    """A route of FastAPI's, by everything it does from its first request on."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path = path
        self.endpoint = endpoint
        self.path_regex, self.path_format, self.param_convertors = _compiled(path)
        self.methods = {method.upper() for method in options.get("methods") or ("GET",)}
        self.name = options.get("name") or get_name(endpoint)
        self.include_in_schema = options.get("include_in_schema", True)
        self._late: dict[str, Any] | None = options

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked of it: ``app``, the handler behind its checks, among it."""
        options = self.__dict__.get("_late")
        if options is None or name.startswith("__"):
            raise AttributeError(name)
        self._late = None
        try:
            super().__init__(self.path, self.endpoint, **options)
        except BaseException:
            self._late = options  # the next request meets the same, not half a route
            raise
        return getattr(self, name)

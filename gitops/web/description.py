"""The API described by itself: OpenAPI 3.1 at ``/api/v1/openapi.json``, for whoever may look.

Made when it is first asked for, from the routes and from what :mod:`gitops.web.shapes` says of
their answers. Added last by :mod:`gitops.web.api`.
"""

from collections.abc import Iterator
from typing import Any, cast

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter

from gitops.web.auth.viewer import viewer
from gitops.web.shapes import ANSWERS, Problem

PREFIX = "/api/v1"
_ABOUT = (
    "What the controller's command line and pages see and do. Lists are newest first and come in "
    "pages: `next` is the `before` of the page after, empty at the end. Answers carry an `ETag`. "
    "Errors are problem documents (RFC 9457). Times are seconds since 1970, durations seconds."
)
_SAYS = {
    400: "Understood, and not possible",
    401: "Nobody who may look: no token, or one that is not good (any more)",
    403: "Not allowed to this person, or not to this role, or not from where it came",
    404: "Not there",
    409: "It changed meanwhile: look again",
    413: "A body larger than is read",
    422: "A value of the wrong shape",
    503: "Not now: the controller has no lease, or what it needs is away",
}
_MAY_LACK = {"FieldChange": {"before", "after"}}
"""Where a field may be ABSENT (:mod:`gitops.model.plan`), it has no key."""
_METHODS = ("get", "post", "delete", "put", "patch")


def add_description(app: FastAPI) -> None:
    @app.get(f"{PREFIX}/openapi.json", dependencies=[Depends(viewer)], include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    app.openapi = lambda: describe(app)  # type: ignore[method-assign]


def describe(app: FastAPI) -> dict[str, Any]:
    """The description, made once for an application."""
    if app.openapi_schema is None:
        tree = get_openapi(
            title=app.title, version=app.version, description=_ABOUT, routes=app.routes
        )
        _answers(tree)
        _security(tree)
        app.openapi_schema = tree
    return app.openapi_schema


def _operations(tree: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in tree.get("paths", {}).items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield method, path, operation


def _answers(tree: dict[str, Any]) -> None:
    shapes: dict[Any, Any] = {"problem": Problem, **ANSWERS}
    inputs: Any = [(key, "serialization", TypeAdapter(shape)) for key, shape in shapes.items()]
    found, definitions = TypeAdapter.json_schemas(
        inputs, ref_template="#/components/schemas/{model}"
    )
    components = tree.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    components.update(_seconds(definitions.get("$defs", {})))
    for name, fields in _MAY_LACK.items():
        needed = components[name]["required"]
        components[name]["required"] = [each for each in needed if each not in fields]
    schemas = cast(dict[tuple[Any, str], Any], found)
    problem = schemas["problem", "serialization"]
    for method, path, operation in _operations(tree):
        responses = operation["responses"]
        key = (method, path.removeprefix(PREFIX))
        content = responses["200"].setdefault("content", {})
        if path.endswith(".svg"):
            content = {"image/svg+xml": {"schema": {"type": "string"}}}
            responses["200"]["content"] = content
        if "application/json" in content:
            shape = schemas.get((key, "serialization"), {"type": "object"})
            content["application/json"]["schema"] = _seconds(shape)
        for code, says in _SAYS.items():
            told = {"application/problem+json": {"schema": problem}}
            responses[str(code)] = {"description": says, "content": told}


def _seconds(schema: Any) -> Any:
    """A duration is written in seconds; pydantic would write a text."""
    if isinstance(schema, dict):
        if schema.get("format") == "duration":
            return {**{k: v for k, v in schema.items() if k != "format"}, "type": "number"}
        return {key: _seconds(value) for key, value in schema.items()}
    return [_seconds(each) for each in schema] if isinstance(schema, list) else schema


def _security(tree: dict[str, Any]) -> None:
    token = {"type": "http", "scheme": "bearer", "description": "gitops token create PERSON"}
    session = {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-gitops",
        "description": "Of who signed in; changes need X-CSRF-Token and their Origin too.",
    }
    tree["components"]["securitySchemes"] = {"token": token, "session": session}
    tree["security"] = [{"token": []}, {"session": []}]

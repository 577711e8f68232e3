"""Outputs of other applications in manifests: ``${needs.NAME}`` becomes the value. Pure.

Called after rendering, so that it means the same in plain files, Kustomize and charts. A scalar
that is nothing but the token takes the value as it is, a number or a list too; inside a longer text
it is written out. ``$${needs.NAME}`` stays as ``${needs.NAME}``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gitops import yamlio
from gitops.errors import RenderError
from gitops.model.ids import Digest, combine
from gitops.model.manifest import Desired, Manifest, ObjectId
from gitops.model.source import Closure

_MARK = b"${needs."
_TOKEN = re.compile(r"(\$?)\$\{needs\.([^}]{1,253})\}")


def substituted(
    desired: Desired, values: Mapping[str, Any], digest: Callable[[bytes], Digest]
) -> Desired:
    """The same set with every token replaced; the closure then covers the values used. Raises
    RenderError at the object's place for a name that nothing stands for."""
    if not any(_MARK in manifest.body for manifest in desired.manifests):
        return desired
    used: set[str] = set()
    manifests = tuple(_manifest(each, values, digest, used) for each in desired.manifests)
    said = digest(yamlio.canonical({name: values[name] for name in sorted(used)}))
    closure = Closure(
        desired.closure.reads, (*desired.closure.outside, combine("needs", *sorted(used), said))
    )
    return replace(
        desired,
        manifests=manifests,
        closure=closure,
        digest=combine("needs", desired.digest, *(manifest.digest for manifest in manifests)),
    )


def _manifest(
    manifest: Manifest,
    values: Mapping[str, Any],
    digest: Callable[[bytes], Digest],
    used: set[str],
) -> Manifest:
    if _MARK not in manifest.body:
        return manifest
    body = _filled(orjson.loads(manifest.body), values, used, str(manifest.origin))
    metadata = body["metadata"]
    id = ObjectId(
        manifest.id.group,
        manifest.id.kind,
        str(metadata.get("namespace") or ""),
        str(metadata.get("name") or ""),
    )
    text = yamlio.canonical(body)
    return replace(manifest, id=id, body=text, digest=digest(text))


def _filled(value: Any, values: Mapping[str, Any], used: set[str], place: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, values, used, place) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values, used, place) for item in value]
    return _text(value, values, used, place) if isinstance(value, str) else value


def _text(text: str, values: Mapping[str, Any], used: set[str], place: str) -> Any:
    whole = _TOKEN.fullmatch(text)
    if whole and not whole[1]:
        return _value(whole[2], values, used, place)

    def written(token: re.Match[str]) -> str:
        if token[1]:
            return token[0][1:]
        value = _value(token[2], values, used, place)
        if isinstance(value, bool) or value is None or not isinstance(value, str | int | float):
            return yamlio.canonical(value).decode()
        return str(value)

    return _TOKEN.sub(written, text)


def _value(name: str, values: Mapping[str, Any], used: set[str], place: str) -> Any:
    if name not in values:
        near = difflib.get_close_matches(name, values, n=1)
        hint = f"did you mean ${{needs.{near[0]}}}?" if near else "name it under `needs:`"
        raise RenderError(f"nothing stands for ${{needs.{name}}}", hint=hint, place=place)
    used.add(name)
    return values[name]


def nested(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` by dotted path put into a copy of ``values``: ``{"db.host": h}`` is
    ``{"db": {"host": h}}``."""
    merged = _copied(values)
    for path, value in sorted(over.items()):
        *parents, last = path.split(".")
        holder = merged
        for key in parents:
            below = holder.get(key)
            holder[key] = holder = below if isinstance(below, dict) else {}
        holder[last] = value
    return merged


def _copied(value: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in value.items()}

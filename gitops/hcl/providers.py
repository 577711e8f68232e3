"""Which providers a configuration makes Terraform run, and whether the operator allows them.

Called by the rules. Addresses are compared part by part: ``*`` in a pattern never crosses a ``/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gitops.hcl.tree import Body, Document, Expression, Kind
from gitops.model.terraform import Allowed

BUILTIN = "terraform.io/builtin/terraform"
HOSTS = ("registry.terraform.io", "registry.opentofu.org")
"""Registries a tool means when a source names none."""
LOCK_FILE = ".terraform.lock.hcl"
_PART = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z_.:-]*[0-9A-Za-z])?")
_TYPED = ("resource", "data", "ephemeral", "action", "list")
_CONFIGURED = ("provider",)


@dataclass(frozen=True, slots=True)
class Use:
    """A place that makes a provider be installed or run. ``source`` is an address; empty where a
    requirement's source cannot be read off."""

    source: str
    path: str
    line: int
    column: int
    what: str
    """``resource "aws_vpc" "main"``"""


def address(source: str) -> str | None:
    """``hashicorp/aws`` of ``aws``, ``hashicorp/aws`` or a registry's full address; other hosts
    stay. None for what is no address."""
    parts = source.split("/")
    if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
        return None
    parts = [part.lower() for part in parts]
    if len(parts) == 1:
        parts = ["hashicorp", *parts]
    if len(parts) == 3 and parts[0] in HOSTS:
        parts = parts[1:]
    return "/".join(parts)


def allowed(source: str, allow: Allowed) -> bool:
    """``external`` and ``http`` need their own leave, which suffices."""
    if source == BUILTIN:
        return True
    kind = source.rpartition("/")[2]
    if kind in ("external", "http"):
        named = source == f"hashicorp/{kind}"
        permitted = allow.external if kind == "external" else allow.http
        return permitted and (named or _matches(source, allow.providers))
    return _matches(source, allow.providers)


def _matches(source: str, patterns: Sequence[str]) -> bool:
    parts = source.split("/")
    for pattern in patterns:
        wanted = pattern.lower().split("/")
        if len(wanted) == 3 and wanted[0] in HOSTS:
            wanted = wanted[1:]
        if len(wanted) == 1:
            wanted = ["hashicorp", *wanted]
        if len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted)):
            return True
    return False


def uses(documents: Sequence[Document]) -> Iterator[Use]:
    """Every provider one module folder makes use of, declared or implied, at each place once."""
    declared = {name for document in documents for name in _declared(document)}
    for document in documents:
        yield from _requirements(document)
        for body in _bodies(document.body):
            yield from _implied(document.path, body, declared)


def _declared(document: Document) -> Iterator[str]:
    for block in document.body.of("terraform"):
        for required in block.body.of("required_providers"):
            yield from (attribute.name for attribute in required.body.attributes)


def _requirements(document: Document) -> Iterator[Use]:
    for block in document.body.of("terraform"):
        for required in block.body.of("required_providers"):
            for attribute in required.body.attributes:
                source = _source(attribute.name, attribute.value)
                what = f"the requirement {attribute.name!r}"
                yield Use(source, document.path, attribute.line, attribute.column, what)


def _source(name: str, value: Expression) -> str:
    """A version alone, or an object without a source, means hashicorp's."""
    if value.kind is Kind.OBJECT:
        keys = [key for key, _ in value.items]
        if any(key.text is None for key in keys):
            return ""
        sources = [each for key, each in value.items if key.text == "source"]
        if sources:
            found = {address(each.text or "") for each in sources}
            return (found.pop() or "") if len(found) == 1 else ""
    return _implicit(name)


def _implicit(name: str) -> str:
    return BUILTIN if name == "terraform" else f"hashicorp/{name.lower()}"


def _bodies(body: Body) -> Iterator[Body]:
    """The top, and the ``check`` blocks, which hold data of their own."""
    yield body
    yield from (block.body for block in body.of("check"))


def _implied(path: str, body: Body, declared: set[str]) -> Iterator[Use]:
    for block in body.of(*_TYPED, *_CONFIGURED, "mock_provider"):
        if block.type in _TYPED:
            name = _chosen(block.body) or block.label.partition("_")[0]
        else:
            name = block.label
        if name not in declared:
            yield Use(_implicit(name), path, block.line, block.column, str(block))


def _chosen(body: Body) -> str:
    """The local name in ``provider = NAME.ALIAS``."""
    attribute = body.attribute("provider")
    if attribute is None:
        return ""
    value = attribute.value
    text = value.value if value.kind is Kind.REFERENCE else value.text
    return str(text or "").partition(".")[0]


def locked(document: Document) -> Iterator[Use]:
    """Providers of a dependency lock file."""
    for block in document.body.of("provider"):
        source = address(block.label) or ""
        yield Use(source, document.path, block.line, block.column, str(block))


def required(found: Iterable[Use]) -> frozenset[str]:
    """Addresses that ``init`` has to install."""
    return frozenset(use.source for use in found if use.source not in ("", BUILTIN))


def names(documents: Sequence[Document]) -> frozenset[str]:
    """Local names of the providers one folder uses, the built-in one aside."""
    found = {name for document in documents for name in _declared(document)}
    for document in documents:
        for body in _bodies(document.body):
            for block in body.of(*_TYPED):
                found.add(_chosen(block.body) or block.label.partition("_")[0])
    return frozenset(found - {"terraform"})

"""Rules on blocks: what runs programs, fetches addresses, or moves the state elsewhere.

Called by :mod:`gitops.hcl.policy` with one document at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gitops.foreign import one_line
from gitops.hcl.remarks import error
from gitops.hcl.stray import looks_secret
from gitops.hcl.tree import Attribute, Block, Body, Document, Expression, Kind
from gitops.model.finding import Finding
from gitops.model.manifest import Origin
from gitops.model.terraform import Allowed, Backend

_ACTING = ("provisioner", "connection")
_PROGRAMS = ("exec", "credential_process", "shared_config_files", "shared_config_file")
"""In a provider's configuration: each names a program that plan would run, or a file that does."""


def allow(lines: str) -> str:
    """What the operator writes to allow it."""
    return f"the operator may allow it in the fleet file: `terraform: {{allow: {{{lines}}}}}`"


def findings(document: Document, allowed: Allowed) -> Iterator[Finding]:
    """Of one file of any folder, test files included."""
    for body in (document.body, *(block.body for block in document.body.of("check"))):
        for block in body.of("data"):
            yield from _data(document.path, block, allowed)
    for block in document.body.blocks:
        if not allowed.provisioners:
            yield from _acting(document.path, block)
        if block.type == "provider" and not allowed.external:
            yield from _programs(document.path, block)


def _data(path: str, block: Block, allowed: Allowed) -> Iterator[Finding]:
    at = Origin(path, block.line, block.column)
    name = _named(block)
    if block.label == "external" and not allowed.external:
        yield error(f"{name} runs a program while planning", at, allow("external: true"))
    elif block.label == "http" and not allowed.http:
        yield error(f"{name} fetches an address while planning", at, allow("http: true"))
    elif block.label == "terraform_remote_state" and not _reads_states(allowed):
        hint = "take the output by `needs:` in the fleet file, or " + allow(
            "providers: [terraform.io/builtin/terraform]"
        )
        yield error(f"{name} reads a state of another root's, or any address", at, hint)


def _reads_states(allowed: Allowed) -> bool:
    return "terraform.io/builtin/terraform" in allowed.providers


def _acting(path: str, around: Block) -> Iterator[Finding]:
    for block in around.body.of(*_ACTING):
        if around.type in ("resource", "removed", "data", "ephemeral"):
            message = f"{_named(around)} has a {block.type}, which acts outside of any plan"
            hint = allow("provisioners: true")
            yield error(message, Origin(path, block.line, block.column), hint)


def _programs(path: str, provider: Block) -> Iterator[Finding]:
    for name, line, column in _names(provider.body):
        if name in _PROGRAMS:
            message = f"{_named(provider)} has {name!r}, which runs a program while planning"
            hint = "give credentials by `environment:`, or " + allow("external: true")
            yield error(message, Origin(path, line, column), hint)


def _names(body: Body) -> Iterator[tuple[str, int, int]]:
    """Every name something is set under, at any depth."""
    waiting = [body]
    while waiting:
        each = waiting.pop()
        for block in each.blocks:
            name = block.label if block.type == "dynamic" else block.type
            yield name, block.line, block.column
            waiting.append(block.body)
        for attribute in each.attributes:
            yield attribute.name, attribute.line, attribute.column
            for value in attribute.value.walk():
                if value.kind is Kind.OBJECT:
                    yield from ((k.text or "", k.line, k.column) for k, _ in value.items)


# --- the state ---


def state(document: Document, backend: Backend | None) -> Iterator[Finding]:
    """Of one file of the root's own folder: where it says its state is."""
    for outer in document.body.of("terraform"):
        for block in outer.body.blocks:
            at = Origin(document.path, block.line, block.column)
            if block.type == "backend" and not same(block, backend):
                yield error(_elsewhere(block, backend), at, _configure(block, backend))
            elif block.type in ("cloud", "state_store"):
                message = f"a {block.type!r} block keeps the state, or runs, where we do not"
                yield error(message, at, "take it out; set `backend:` in the fleet file")
            elif block.type == "encryption":
                message = "an 'encryption' block decides how the operator's state is written"
                yield error(message, at, "set TF_ENCRYPTION by `environment:`")


def same(block: Block, backend: Backend | None) -> bool:
    """Nothing but what the fleet file says too."""
    if backend is None or block.label != backend.kind or block.body.blocks:
        return False
    settings: Mapping[str, Any] = backend.settings
    return all(
        each.name in settings and _equal(each.value, settings[each.name])
        for each in block.body.attributes
    )


def _equal(value: Expression, wanted: Any) -> bool:
    if value.kind is Kind.LITERAL:
        return type(value.value) is type(wanted) and bool(value.value == wanted)
    if value.kind is Kind.LIST and isinstance(wanted, list | tuple):
        pairs = zip(value.parts, wanted, strict=False)
        return len(value.parts) == len(wanted) and all(_equal(*pair) for pair in pairs)
    if value.kind is Kind.OBJECT and isinstance(wanted, Mapping):
        keys = [key.text for key, _ in value.items]
        return sorted(map(str, keys)) == sorted(map(str, wanted)) and all(
            _equal(inner, wanted.get(key.text)) for key, inner in value.items
        )
    return False


def _elsewhere(block: Block, backend: Backend | None) -> str:
    kind = one_line(block.label, 40)
    if backend is None:
        return f"the code sets a backend {kind!r}, the fleet file none"
    return f"the backend {kind!r} here is not the one of the fleet file ({backend.kind!r})"


def _configure(block: Block, backend: Backend | None) -> str:
    if backend is not None:
        return "take the block out: the fleet file's backend is used"
    settings = ", ".join(filter(None, map(_setting, block.body.attributes)))
    lines = f"terraform: {{backend: {{{one_line(block.label, 40)}: {{{settings}}}}}}}"
    return f"the operator writes `{lines}` in the fleet file, or the block goes"


def _setting(attribute: Attribute) -> str:
    value = attribute.value.value
    known = attribute.value.kind is Kind.LITERAL and not looks_secret(attribute.name)
    return f"{attribute.name}: {one_line(json.dumps(value), 80)}" if known else ""


def _named(block: Block) -> str:
    return one_line(str(block), 120)

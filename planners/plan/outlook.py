"""What one write would do, as values that can be digested and compared. Pure.

Drawing makes an outlook to show and to seal. A later drawing makes it anew: equal digests mean
that an approval still speaks of what would happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gitops import diff, projection
from gitops.diff import RawFieldChange
from gitops.model.cluster import LiveObject
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.model.plan import ABSENT, Action
from gitops.ports import Digester
from gitops.projection import Mask

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outlook:
    """One object, before and after."""

    action: Action
    raw: tuple[RawFieldChange, ...]
    mask: Mask
    before: Digest | None
    after: Digest | None
    digest: Digest
    gained: int = 0
    """Fields that become ours although their values stay."""
    lost: int = 0


def of_create(id: ObjectId, sent: Body, result: Body, digester: Digester) -> Outlook:
    """A new object. Shown is what we send: the server's defaults would bury it."""
    mask = projection.owned(result)
    after = projection.digest(result, mask, digester)
    raw = diff.fields(None, sent)
    digest = _digest(digester, Action.CREATE, id, "", None, after, (), ())
    return Outlook(Action.CREATE, raw, mask, None, after, digest)


def of_predicted(id: ObjectId, sent: Body, live: LiveObject | None, digester: Digester) -> Outlook:
    """A write nobody could be asked about: the namespace, kind or version it is for is only about
    to exist. ``live``: it is there in a version that is served already."""
    content = digester.of(_canonical(diff.comparable(sent)))
    if live is None:
        digest = _digest(digester, Action.CREATE, id, "", None, content, (), ())
        return Outlook(Action.CREATE, diff.fields(None, sent), {}, None, None, digest)
    body = live.body
    mask = projection.owned(body)
    before = projection.digest(body, mask, digester)
    raw = tuple(c for c in diff.fields(body, sent) if _mentions(sent, c.keys))
    digest = _digest(digester, Action.UPDATE, id, live.uid, before, content, raw, ())
    return Outlook(Action.UPDATE, raw, mask, before, None, digest)


def of_update(
    live: LiveObject, result: Body, taken: tuple[tuple[str, str], ...], digester: Digester
) -> Outlook:
    """A change in place; action NONE where neither a value nor the ownership of one would move."""
    body = live.body
    mine, ours = projection.owned(body), projection.owned(result)
    mask = projection.merge(mine, ours)
    raw = diff.fields(body, result)
    before = projection.digest(body, mask, digester)
    after = projection.digest(result, mask, digester)
    old, new = _leaves(mine, ours)
    action = Action.UPDATE if raw or old or new else Action.NONE
    digest = _digest(digester, action, live.id, live.uid, before, after, raw, taken, (old, new))
    return Outlook(action, raw, mask, before, after, digest, len(new), len(old))


def of_replace(live: LiveObject, sent: Body, result: Body | None, digester: Digester) -> Outlook:
    """Delete and create. ``result`` is what creating would give; None where that is not known."""
    body, other = live.body, result or sent
    raw = tuple(c for c in diff.fields(body, other) if _mentions(sent, c.keys))
    mine = projection.owned(body)
    mask = projection.merge(mine, projection.owned(result)) if result else mine
    before = projection.digest(body, mask, digester)
    after = projection.digest(result, mask, digester) if result else None
    expected = after or digester.of(_canonical(diff.comparable(sent)))
    digest = _digest(digester, Action.REPLACE, live.id, live.uid, before, expected, raw, ())
    return Outlook(Action.REPLACE, raw, mask, before, after, digest)


def of_delete(live: LiveObject, digester: Digester) -> Outlook:
    body = live.body
    mask = projection.owned(body)
    before = projection.digest(body, mask, digester)
    digest = _digest(digester, Action.DELETE, live.id, live.uid, before, None, (), ())
    return Outlook(Action.DELETE, (), mask, before, None, digest)


def _leaves(mine: Mask, ours: Mask) -> tuple[list[str], list[str]]:
    """Fields that stop and fields that start to be ours."""
    if mine == ours:
        return [], []
    old = {"/".join(path) for path in projection.leaves(mine)}
    new = {"/".join(path) for path in projection.leaves(ours)}
    return sorted(old - new), sorted(new - old)


def _digest(
    digester: Digester,
    action: Action,
    id: ObjectId,
    uid: str,
    before: Digest | None,
    after: Digest | None,
    raw: tuple[RawFieldChange, ...],
    taken: tuple[tuple[str, str], ...],
    ownership: tuple[list[str], list[str]] = ([], []),
) -> Digest:
    changed = [[change.path, _value(change.before), _result(change)] for change in raw]
    name = [id.group, id.kind, id.namespace, id.name]
    content = [str(action), name, uid, before, after, changed, sorted(taken), ownership]
    return digester.of(_canonical(content))


def _result(change: RawFieldChange) -> list[Any]:
    """A field that is new and not ours may hold what the server allots (a node port, a cluster
    IP), another one at every dry-run: that it appears is sealed, its value is not. What we send
    ourselves is sealed through ``after``."""
    return ["new"] if change.before is ABSENT else _value(change.after)


def _value(value: Any) -> list[Any]:
    return [] if value is ABSENT else [value]


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _mentions(sent: Any, keys: tuple[str, ...]) -> bool:
    """Does what we send have anything to say about that path? A replaced object loses all the
    server wrote to the old one; showing that would bury what matters."""
    for index, key in enumerate(keys):
        if isinstance(sent, Mapping):
            if key not in sent:
                return False
            sent = sent[key]
        elif isinstance(sent, list):
            found = _labelled(keys[index - 1] if index else "", sent, key)
            if found is None:
                return key == "[order]"
            sent = found
        else:
            return True
    return True


def _labelled(name: str, items: list[Any], step: str) -> Any:
    names = diff.merge_keys(name, items, items)
    for index, item in enumerate(items):
        if step in (f"[{index}]", diff.label(item, names) if names else ""):
            return item
    return None

"""Reads a fleet file and the files it includes, and merges them by section.

Included files are local: a policy that could be fetched from somewhere could be changed by
somebody else. A name defined in two files is refused naming both places, never overridden. Called
by :mod:`gitops.config.load`.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path

from gitops.config.problems import home
from gitops.config.tree import MAX_BYTES, Node, Place, parse
from gitops.errors import ConfigError

MAX_FILES = 500
_BY_NAME = frozenset(
    {"sources", "clusters", "applications", "approvals", "people", "groups", "notifiers", "checks"}
)
_LISTED = frozenset({"discover", "bots", "chart_hosts"})


class Files:
    """Every file of one fleet, read once each."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.problems: list[ConfigError] = []
        self.env = env
        self._trees: dict[Path, Node] = {}

    def read(self, path: Path) -> Node:
        """The merged tree. Raises ConfigError when the first file cannot be read or parsed;
        problems of included files are collected."""
        self._load(path, ())
        return self._merged()

    def _load(self, path: Path, above: tuple[Path, ...]) -> None:
        real = path.resolve()
        tree = parse(read_text(path), str(path), real.parent)
        if not isinstance(tree.value, dict):
            raise ConfigError(
                "a fleet file is a mapping of sections",
                place=str(tree.place),
                hint="for example: sources: {shop: {git: https://HOST/PATH}}",
            )
        self._trees[real] = tree
        include = tree.value.get("include")
        for node in _entries(include):
            self._follow(node, path, (*above, real))

    def _follow(self, node: Node, path: Path, above: tuple[Path, ...]) -> None:
        try:
            for found in self._matches(node, path):
                self._include(found, above)
        except ConfigError as error:
            place = error.place or str(node.place)
            hint = error.hint if error.place else "include: takes paths relative to this file"
            self.problems.append(ConfigError(error.message, hint=hint, place=place))

    def _matches(self, node: Node, path: Path) -> list[Path]:
        text = node.value
        if "://" in text:
            raise ConfigError("only local files can be included")
        if text.startswith("~/"):
            text = str(home(self.env) / text[2:])
        where = path.parent / text
        if not glob.has_magic(text):
            return [where]
        found = sorted(glob.iglob(str(where), recursive=True))  # noqa: PTH207 – Path.glob refuses absolute patterns
        return [Path(name) for name in found if Path(name).is_file()]

    def _include(self, path: Path, above: tuple[Path, ...]) -> None:
        real = path.resolve()
        if real in above:
            chain = " → ".join(p.name for p in (*above[above.index(real) :], real))
            raise ConfigError(f"files include one another: {chain}")
        if real in self._trees:
            raise ConfigError(f"{path} is included twice")
        if len(self._trees) >= MAX_FILES:
            raise ConfigError(f"more than {MAX_FILES} files are included")
        self._load(path, above)

    def _merged(self) -> Node:
        first = next(iter(self._trees.values()))
        merged = Node({}, first.place)
        for tree in self._trees.values():
            for key, node in tree.value.items():
                if not key.startswith("x-") and (node.value is not None or key not in _SECTIONS):
                    self._take(merged, key, node, tree.keys[key])
        return merged

    def _take(self, merged: Node, key: str, node: Node, place: Place) -> None:
        present = merged.value.get(key)
        if present is None:
            merged.value[key] = Node(
                _copied(node.value), node.place, dict(node.keys), node.size, node.raw
            )
            merged.keys[key] = place
        elif key in _BY_NAME and isinstance(present.value, dict) and isinstance(node.value, dict):
            self._join(present, node, key)
        elif key in _LISTED and isinstance(present.value, list) and isinstance(node.value, list):
            present.value.extend(node.value)
        elif key != "include":
            self._twice(key, place, merged.keys[key])

    def _join(self, present: Node, node: Node, section: str) -> None:
        for name, child in node.value.items():
            if name in present.value:
                self._twice(f"{section}: {name}", node.keys[name], present.keys[name])
            else:
                present.value[name], present.keys[name] = child, node.keys[name]

    def _twice(self, what: str, place: Place, first: Place) -> None:
        hint = f"first written at {first}; keep one of the two"
        self.problems.append(ConfigError(f'"{what}" is in two files', place=str(place), hint=hint))


_SECTIONS = _BY_NAME | _LISTED | {"include", "store", "vault", "api"}


def _copied(value: object) -> object:
    return value.copy() if isinstance(value, dict | list) else value


def _entries(include: Node | None) -> list[Node]:
    """Those that are text; others are refused by the shape."""
    if include is None:
        return []
    nodes = include.value if isinstance(include.value, list) else [include]
    return [node for node in nodes if isinstance(node.value, str)]


def read_text(path: Path) -> str:
    """A file as text; ConfigError when it cannot be read, is too large, or is not UTF-8."""
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise ConfigError(f"{path} {what}", hint=_absent_hint(path))
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or "not a path"
        raise ConfigError(
            f"{path} cannot be read: {reason}", hint="check its permissions"
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} is too large", hint=f"the limit is {MAX_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "not UTF-8 text", place=f"{path}:{line}:1", hint="save the file as UTF-8"
        ) from None


def _absent_hint(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder: name the file in it"
    return "`gitops init` writes one; --config names another"

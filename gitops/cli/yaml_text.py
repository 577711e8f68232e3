"""Values as YAML that reads back as the same values, for the API server's parser too.

Called by ``gitops render``. The library's own dumper leaves words bare that the server reads as
something else (``y``, ``08``, ``1e3``); here whatever :func:`gitops.yamlio.resolve` would not give
back as the same text is quoted.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.cyaml import CSafeDumper

from gitops import yamlio


class _Dumper(CSafeDumper):
    """Block style, two spaces, lists indented under their key."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    style = None
    if "\n" in value and not value[:1].isspace() and _plain_lines(value):
        style = "|"
    elif value and yamlio.resolve(value) != value:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _plain_lines(value: str) -> bool:
    return all(line.isprintable() and line == line.rstrip() for line in value.split("\n"))


_Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """One document without its ``---``; keys in the order they come in."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text

"""The tool's environment: made from nothing, plus what the operator grants this root.

Used by :mod:`gitops.terraform.workspace`. Secrets are read here, at the moment of a run, and the
same call gives the :class:`Scrub` that keeps them out of every text the run leads to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from gitops.errors import ConfigError
from gitops.model.secret import SecretRef
from gitops.secrets import read_secret

SHORTEST = 4
"""Characters; what is shorter is in every text anyway."""
_HIDDEN = "(hidden)"
_OURS = re.compile(
    r"TF_(?:CLI_CONFIG_FILE|CLI_ARGS\w*|DATA_DIR|PLUGIN_CACHE\w*|IN_AUTOMATION|INPUT|LOG\w*"
    r"|WORKSPACE|REATTACH_PROVIDERS|TEMP_LOG_PATH)|CHECKPOINT_DISABLE|LD_\w+|TMPDIR"
)
_TEXT = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -~])"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_LONGEST = 8 << 10


class Scrub:
    """Takes known secrets, and what terminals obey, out of texts for people."""

    def __init__(self, mask: Callable[[str], str], values: Iterable[str] = ()) -> None:
        self._mask = mask
        found = {form for value in values for form in _forms(value)}
        self.hidden = tuple(sorted(found, key=len, reverse=True))
        """Longest first; every form in which a tool prints one."""

    def text(self, text: str, limit: int = _LONGEST) -> str:
        for value in self.hidden:
            text = text.replace(value, _HIDDEN)
        text = self._mask(_TEXT.sub("", text))
        return text if len(text) <= limit else text[:limit] + " [cut]"


def granted(wanted: Mapping[str, str | SecretRef]) -> tuple[dict[str, str], list[str]]:
    """The variables, and which of their values are secret. Raises ConfigError."""
    values: dict[str, str] = {}
    secrets: list[str] = []
    for name, value in wanted.items():
        if _OURS.fullmatch(name) or "=" in name or "\0" in name or not name:
            raise ConfigError(
                f"environment variable {name} is the controller's own to set",
                hint="remove it from the application's environment",
            )
        values[name] = read_secret(value) if isinstance(value, SecretRef) else value
        if "\0" in values[name]:
            raise ConfigError(f"environment variable {name} cannot hold a zero byte")
        if isinstance(value, SecretRef):
            secrets.append(values[name])
    return values, secrets


def environment(
    home: Path,
    data: Path,
    config: Path,
    cache: Path,
    granted: Mapping[str, str],
    temporary: Path | None = None,
) -> dict[str, str]:
    """All the tool gets to see. Nothing of the controller's own environment is in it.
    ``temporary``: where sockets are made, ``home`` by default."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",  # modules from git, programs of provisioners
        "HOME": str(home),
        **granted,
        "TMPDIR": str(temporary or home),
        "LANG": "C.UTF-8",
        "TF_CLI_CONFIG_FILE": str(config),
        "TF_DATA_DIR": str(data),
        "TF_PLUGIN_CACHE_DIR": str(cache),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }


def _forms(value: str) -> Iterator[str]:
    """As it is, as JSON writes it, and its lines, for keys and certificates."""
    lines = [line for line in value.splitlines() if len(line) >= 2 * SHORTEST]
    for part in (value, value.strip(), *(lines if len(lines) > 1 else ())):
        for form in (part, json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]):
            if len(form) >= SHORTEST:
                yield form
                yield form.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

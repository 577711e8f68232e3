"""The small types of the fleet file: names, durations, references to secrets.

Each says in its own words what is wrong and what to write, and describes itself in the published
JSON Schema. Used by :mod:`gitops.config.shape`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_WORD = r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_DURATION = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ENV = r"[A-Za-z_][A-Za-z0-9_]*"
_HOST = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(:[0-9]{1,5})?"
_ACCOUNT = rf"{_DNS_LABEL}/[a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?"


def said(message: str, hint: str = "") -> PydanticCustomError:
    """An error in our words: ``message`` continues the name of the key, braces included."""
    return PydanticCustomError("said", "{message}", {"message": message, "hint": hint})


def _matching(pattern: str, message: str, hint: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise said(message, hint)
        return value

    return check


def _text(pattern: str, message: str, hint: str) -> list[Any]:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return [AfterValidator(_matching(pattern, message, hint)), WithJsonSchema(schema)]


def dns_label(value: str) -> str:
    """The name itself; raises ValueError unless it can be a Kubernetes label value and object name
    (RFC 1123 label: lower-case letters, digits and dashes, at most 63)."""
    if re.fullmatch(_DNS_LABEL, value) is None:
        raise ValueError(value)
    return value


_LABEL_RULE = (
    "is not a name",
    "names are lower-case letters, digits and dashes, at most 63, such as shop-eu",
)
Label = Annotated[str, *_text(_DNS_LABEL, *_LABEL_RULE)]
Word = Annotated[
    str,
    *_text(_WORD, "is not a name", "names are letters, digits, dots, dashes and underscores"),
]
Env = Annotated[
    str, *_text(_ENV, "is not the name of an environment variable", "for example SHOP_TOKEN")
]
Host = Annotated[
    str, *_text(_HOST, "is not a host", "write a name alone, such as charts.example.com")
]
Account = Annotated[
    str, *_text(_ACCOUNT, "is not a service account", "write NAMESPACE/NAME, such as shop/deployer")
]


def duration(text: object) -> timedelta:
    """``30s``, ``5m``, ``2h`` or ``1d``: a whole number and one unit."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise said("is not a duration", "write a whole number and a unit: 30s, 5m, 2h or 1d")
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds > 366 * 86400:
        raise said("is longer than a year", "the longest duration is 366d")
    return timedelta(seconds=seconds)


def written(value: timedelta) -> str:
    """As an operator writes it; the published schema shows defaults so."""
    seconds = round(value.total_seconds())
    unit = next(unit for unit in reversed(_UNITS) if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    PlainValidator(duration),
    PlainSerializer(written),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["30s"]}),
]


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


_SEVERAL: Any = (
    BeforeValidator(_several),
    WithJsonSchema({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
)
"""``a`` or ``[a, b]``."""
_LOGIN_RULE = ("is not a login", "write the bare name, without @ and forge")
_Email = Annotated[
    str,
    *_text(r"[^@\s<>]+@[^@\s<>]+", "is not an e-mail address", "as git shows it: NAME@HOST"),
]
_Login = Annotated[str, *_text(r"[^@:\s/]+", *_LOGIN_RULE)]
_Slack = Annotated[
    str, *_text(r"[A-Z0-9]+:[A-Z0-9]+", "is not a Slack id", "write TEAM:USER, such as T024:U61F")
]
_Subject = Annotated[
    str, *_text(r"[^|\s]+\|\S+", "is not a sign-on identity", "write ISSUER|SUBJECT")
]
Texts = Annotated[list[str], *_SEVERAL]
Emails = Annotated[list[_Email], *_SEVERAL]
Logins = Annotated[list[_Login], *_SEVERAL]
SlackIds = Annotated[list[_Slack], *_SEVERAL]
Subjects = Annotated[list[_Subject], *_SEVERAL]


def no_literal(value: object) -> object:
    """A secret is a mapping that says where it is; anything else would be the secret itself."""
    if not isinstance(value, dict):
        raise said(
            "is a secret in clear",
            "take it out of the file (and change it), then refer to it: "
            "{env: VARIABLE} or {file: PATH}",
        )
    return value


_IDENTIFIER = r"[A-Za-z_][-A-Za-z0-9_]{0,127}"
_VERSION = r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}(-[a-z0-9.]{1,32})?"
_PART = r"[*A-Za-z0-9]([-_.*A-Za-z0-9]{0,126}[*A-Za-z0-9])?"
_SIZE = re.compile(r"([1-9][0-9]{0,8})(KiB|MiB|GiB)")
_SCALE = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
Identifier = Annotated[
    str,
    *_text(
        _IDENTIFIER, "is not a name terraform takes", "letters, digits, _ and -, such as vpc_id"
    ),
]
Version = Annotated[
    str, *_text(_VERSION, "is not a version", "write all three numbers in quotes, such as 1.11.4")
]
Workspace = Annotated[
    str,
    *_text(
        r"([A-Za-z0-9]|\{application\})([-._A-Za-z0-9]|\{application\}){0,62}",
        "is not a workspace",
        "letters, digits, dots, dashes and underscores, at most 63, such as prod",
    ),
]
Output = Annotated[
    str,
    *_text(
        rf"{_DNS_LABEL}\.{_IDENTIFIER}",
        "is not an output",
        "write APPLICATION.OUTPUT, such as network.vpc_id",
    ),
]
Needed = Annotated[
    str,
    *_text(
        rf"{_IDENTIFIER}(\.{_IDENTIFIER}){{0,15}}",
        "is not the name of a value",
        "letters, digits, _ and -, for Helm with dots between: db_host, or database.host",
    ),
]
Provider = Annotated[
    str,
    *_text(
        rf"({_PART}/)?{_PART}/{_PART}",
        "is not a provider",
        "write NAMESPACE/TYPE, such as hashicorp/aws or hashicorp/*; "
        "other registries with their host: registry.example.com/team/dns",
    ),
]
ResourceType = Annotated[
    str,
    *_text(
        r"[a-z0-9_*?-]{1,128}", "is not a type of resource", "such as aws_db_instance or *_db_*"
    ),
]


def size(value: object) -> int:
    """Bytes: ``64MiB``, or a whole number of them."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        return int(found[1]) * _SCALE[found[2]]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 50:
        raise said("is not a size", "write a whole number and a unit: 64MiB or 1GiB")
    return value


Size = Annotated[
    int,
    PlainValidator(size),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": f"^{_SIZE.pattern}$", "examples": ["64MiB"]},
            ]
        }
    ),
]

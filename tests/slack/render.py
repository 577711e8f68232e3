"""A message as a person sees it in Slack, and what in it would be live: links and mentions.

Used by the golden tests (one text file a state) and by the tests that foreign text stays inert.
mrkdwn is read as Slack documents it (docs.slack.dev/messaging/formatting-message-text): what is in
angle brackets is a link or a mention, and unless ``verbatim`` is set bare addresses become links.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_BRACKETS = re.compile(r"<([^<>]+)>")
_ADDRESS = re.compile(r"\b(?:https?://|www\.|mailto:)[^\s<>|]+", re.IGNORECASE)
_STYLED = re.compile(r"(?<![\w`])([*_~`])(?=\S)(.+?)(?<=\S)\1(?!\w)")
_LIVE = {
    "user": "user_id",
    "usergroup": "usergroup_id",
    "channel": "channel_id",
    "broadcast": "range",
    "link": "url",
}


def live(message: Mapping[str, Any]) -> list[str]:
    """Everything in a message that notifies somebody or leads somewhere, as ``kind target``.

    Buttons that lead somewhere count; the ones that are pressed do not."""
    found = list(_live_mrkdwn(str(message.get("text") or ""), verbatim=False))
    for block in message.get("blocks") or ():
        found += _live_in(block)
    return found


def _live_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        kind = value.get("type")
        if kind == "mrkdwn":
            yield from _live_mrkdwn(value["text"], verbatim=bool(value.get("verbatim")))
            return
        if kind in _LIVE:
            yield f"{kind} {value[_LIVE[kind]]}"
        elif kind in ("button", "date") and value.get("url"):
            yield f"link {value['url']}"
        for each in value.values():
            yield from _live_in(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _live_in(each)


def _live_mrkdwn(text: str, *, verbatim: bool) -> Iterator[str]:
    for found in _BRACKETS.finditer(text):
        inside = found[1]
        if inside.startswith("@"):
            yield f"user {inside[1:]}"
        elif inside.startswith("!date^"):
            if inside.count("^") > 2:
                yield f"link {inside.split('^')[3]}"
        elif inside.startswith("!subteam^"):
            yield f"usergroup {inside[9:]}"
        elif inside.startswith("!"):
            yield f"broadcast {inside[1:]}"
        elif inside.startswith("#"):
            yield f"channel {inside[1:]}"
        else:
            yield f"link {inside.split('|')[0]}"
    if not verbatim:
        for found in _ADDRESS.finditer(_BRACKETS.sub(" ", text)):
            yield f"link {found[0]}"


def as_text(message: Mapping[str, Any]) -> str:
    """The message for people: blocks from top to bottom, buttons in brackets."""
    lines: list[str] = []
    for block in message.get("blocks") or ():
        lines += _block(block)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _block(block: Mapping[str, Any]) -> list[str]:
    show = _BLOCKS.get(block["type"])
    return show(block) if show else [f"({block['type']})"]


def _header(block: Mapping[str, Any]) -> list[str]:
    text = block["text"]["text"]
    return [text, "=" * min(len(text), 78)]


def _section(block: Mapping[str, Any]) -> list[str]:
    lines = _shown(block["text"]).split("\n") if "text" in block else []
    lines += [f"| {_shown(each)}" for each in block.get("fields", ())]
    return lines + ([_pressed(block["accessory"])] if "accessory" in block else [])


_BLOCKS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "header": _header,
    "section": _section,
    "divider": lambda _: ["-" * 40],
    "rich_text": lambda block: [line for each in block["elements"] for line in _rich(each)],
    "actions": lambda block: ["", "  ".join(_pressed(each) for each in block["elements"])],
    "context": lambda block: [
        f"  {line}" for each in block["elements"] for line in _shown(each).split("\n")
    ],
    "input": lambda block: [f"{block['label']['text']}: [__________]"],
}


def _pressed(element: Mapping[str, Any]) -> str:
    if element["type"] != "button":
        return f"({element['type']})"
    mark = {"primary": "green ", "danger": "red "}.get(element.get("style", ""), "")
    where = f" -> {element['url']}" if "url" in element else ""
    return f"[ {element['text']['text']} ]{' ' + mark.strip() if mark else ''}{where}"


def _shown(text: Mapping[str, Any]) -> str:
    value: str = text.get("text") or text.get("alt_text", "")
    if text["type"] != "mrkdwn":
        return value
    value = _BRACKETS.sub(lambda found: found[1].split("|")[-1], value)
    return value.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _rich(element: Mapping[str, Any]) -> list[str]:
    kind = element["type"]
    if kind == "rich_text_list":
        bullet = "  " * element.get("indent", 0) + "• "
        rows = [_inline(each["elements"]) for each in element["elements"]]
        return [bullet + row.replace("\n", "\n" + " " * len(bullet)) for row in rows]
    text = _inline(element["elements"])
    if kind == "rich_text_preformatted":
        return [f"  ┃ {line}" for line in text.split("\n")]
    if kind == "rich_text_quote":
        return [f"  > {line}" for line in text.split("\n")]
    return text.split("\n")


def _inline(elements: Sequence[Mapping[str, Any]]) -> str:
    return "".join(_piece(each) for each in elements)


def _piece(element: Mapping[str, Any]) -> str:
    kind = element["type"]
    style = element.get("style", {})
    if kind in ("text", "link"):
        text = element.get("text") or element["url"]
        mark = "*" if style.get("bold") else "`" if style.get("code") else ""
        text = f"{mark}{text}{mark}"
        return f"{text} ({element['url']})" if kind == "link" else text
    if kind == "emoji":
        return f":{element['name']}:"
    if kind == "date":
        return str(element.get("fallback", element["timestamp"]))
    return f"@{element.get('user_id') or element.get('range') or '?'}"


def styled(text: str) -> list[str]:
    """What of a mrkdwn text would appear bold, italic, struck or as code."""
    return [found[0] for found in _STYLED.finditer(text)]

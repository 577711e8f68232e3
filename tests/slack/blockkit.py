"""Block Kit as Slack accepts it: what is wrong with the blocks of a message or a modal.

Used by the recording server, which refuses what this finds, and by the golden tests of cards. The
limits are those of Slack's Block Kit reference (docs.slack.dev/reference/block-kit); where the
reference is silent the stricter reading holds. A block type that nobody here uses is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
BLOCKS_TEXT = 13_000
"""Characters of all texts of a message; beyond about this Slack answers msg_blocks_too_long."""

Problem = str
Check = Callable[[Any, str], Iterator[Problem]]


def problems(blocks: Any) -> list[Problem]:
    """Of a message's blocks; each with its JSON pointer, as Slack's ``errors`` have it."""
    return list(_blocks(blocks, "/blocks", MESSAGE_BLOCKS, view=False))


def view_problems(view: Any) -> list[Problem]:
    """Of a modal."""
    return list(_view(view))


def characters(blocks: Any) -> int:
    """Of every text in them."""
    if isinstance(blocks, str):
        return 0
    if isinstance(blocks, Mapping):
        own = len(blocks["text"]) if isinstance(blocks.get("text"), str) else 0
        return own + sum(characters(each) for each in blocks.values())
    return sum(characters(each) for each in blocks) if isinstance(blocks, Sequence) else 0


# --- what everything is made of ---------------------------------------------------------------


def _wrong(what: str, at: str) -> Problem:
    return f"{what} [json-pointer:{at}]"


def _string(most: int, least: int = 1) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield _wrong("must be a string", at)
        elif len(value) < least:
            yield _wrong(f"must be more than {least - 1} characters", at)
        elif len(value) > most:
            yield _wrong(f"must be less than {most + 1} characters", at)
        elif any("\ud800" <= char <= "\udfff" for char in value):
            yield _wrong("must be valid text", at)

    return check


def _one_of(*allowed: Any) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        # True is 1 for Python and not for JSON.
        if not any(value == each and type(value) is type(each) for each in allowed):
            yield _wrong(f"must be one of {allowed}", at)

    return check


def _flag(value: Any, at: str) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield _wrong("must be a boolean", at)


def _number(value: Any, at: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield _wrong("must be a number", at)


def _list_of(item: Check, most: int, least: int = 1) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield _wrong("must be an array", at)
            return
        if len(value) < least:
            yield _wrong(f"no fewer than {least} items allowed", at)
        if len(value) > most:
            yield _wrong(f"no more than {most} items allowed", at)
        for place, each in enumerate(value):
            yield from item(each, f"{at}/{place}")

    return check


def _object(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield _wrong("must be an object", at)
            return
        for name in required:
            if name not in value:
                yield _wrong(f"missing required field: {name}", at)
        for name, item in value.items():
            known = required.get(name) or optional.get(name)
            if known is None:
                yield _wrong(f"invalid additional property: {name}", at)
            else:
                yield from known(item, f"{at}/{name}")

    return check


def _typed(kinds: Mapping[str, Check]) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            yield _wrong(f"unsupported type: {kind}", f"{at}/type")
        else:
            yield from kinds[kind](value, at)

    return check


# --- texts ------------------------------------------------------------------------------------


def _plain(most: int) -> Check:
    return _object({"type": _one_of("plain_text"), "text": _string(most)}, {"emoji": _flag})


def _mrkdwn(most: int) -> Check:
    return _object({"type": _one_of("mrkdwn"), "text": _string(most)}, {"verbatim": _flag})


def _text(most: int) -> Check:
    return _typed({"plain_text": _plain(most), "mrkdwn": _mrkdwn(most)})


_ID = _string(255)
_URL = _string(3_000)
_CONFIRM = _object(
    {"title": _plain(100), "text": _text(300), "confirm": _plain(30), "deny": _plain(30)},
    {"style": _one_of("primary", "danger")},
)
_IMAGE = {"type": _one_of("image"), "image_url": _URL, "alt_text": _string(2_000)}

# --- rich text --------------------------------------------------------------------------------

_STYLE = _object({}, dict.fromkeys(("bold", "italic", "strike", "code", "underline"), _flag))
_RICH_TEXT = _object({"type": _one_of("text"), "text": _string(1 << 20)}, {"style": _STYLE})
_RICH_LINK = _object(
    {"type": _one_of("link"), "url": _URL},
    {"text": _string(1 << 20), "style": _STYLE, "unsafe": _flag},
)
_INLINE = _typed(
    {
        "text": _RICH_TEXT,
        "link": _RICH_LINK,
        "emoji": _object({"type": _one_of("emoji"), "name": _string(100)}, {"style": _STYLE}),
        "user": _object({"type": _one_of("user"), "user_id": _string(50)}, {"style": _STYLE}),
        "usergroup": _object({"type": _one_of("usergroup"), "usergroup_id": _string(50)}, {}),
        "channel": _object({"type": _one_of("channel"), "channel_id": _string(50)}, {}),
        "broadcast": _object(
            {"type": _one_of("broadcast"), "range": _one_of("here", "channel", "everyone")}, {}
        ),
        "date": _object(
            {"type": _one_of("date"), "timestamp": _number, "format": _string(200)},
            {"url": _URL, "fallback": _string(200), "style": _STYLE},
        ),
    }
)
_PREFORMATTED = _typed({"text": _RICH_TEXT, "link": _RICH_LINK})


def _rich(kind: str, inline: Check, **more: Check) -> Check:
    return _object({"type": _one_of(kind), "elements": _list_of(inline, 10_000)}, more)


_RICH_SECTION = _rich("rich_text_section", _INLINE)
_RICH = _typed(
    {
        "rich_text_section": _RICH_SECTION,
        "rich_text_quote": _rich("rich_text_quote", _INLINE, border=_one_of(0, 1)),
        "rich_text_preformatted": _rich(
            "rich_text_preformatted", _PREFORMATTED, border=_one_of(0, 1)
        ),
        "rich_text_list": _object(
            {
                "type": _one_of("rich_text_list"),
                "style": _one_of("bullet", "ordered"),
                "elements": _list_of(_RICH_SECTION, 10_000),
            },
            {"indent": _number, "offset": _number, "border": _one_of(0, 1)},
        ),
    }
)

# --- what people press and fill in ------------------------------------------------------------

_OPTION = _object(
    {"text": _text(75), "value": _string(150)}, {"description": _text(75), "url": _URL}
)
_BUTTON = _object(
    {"type": _one_of("button"), "text": _plain(75)},
    {
        "action_id": _ID,
        "url": _URL,
        "value": _string(2_000),
        "style": _one_of("primary", "danger"),
        "confirm": _CONFIRM,
        "accessibility_label": _string(75),
    },
)
_SELECT = _object(
    {"type": _one_of("static_select"), "options": _list_of(_OPTION, 100)},
    {
        "action_id": _ID,
        "placeholder": _plain(150),
        "initial_option": _OPTION,
        "confirm": _CONFIRM,
        "focus_on_load": _flag,
    },
)
_OVERFLOW = _object(
    {"type": _one_of("overflow"), "options": _list_of(_OPTION, 5)},
    {"action_id": _ID, "confirm": _CONFIRM},
)
_CHOICES = {
    kind: _object(
        {"type": _one_of(kind), "options": _list_of(_OPTION, 10)},
        {
            "action_id": _ID,
            "initial_options": _list_of(_OPTION, 10),
            "initial_option": _OPTION,
            "confirm": _CONFIRM,
            "focus_on_load": _flag,
        },
    )
    for kind in ("checkboxes", "radio_buttons")
}
_TYPED_IN = _object(
    {"type": _one_of("plain_text_input")},
    {
        "action_id": _ID,
        "initial_value": _string(3_000, 0),
        "multiline": _flag,
        "min_length": _number,
        "max_length": _number,
        "placeholder": _plain(150),
        "focus_on_load": _flag,
        "dispatch_action_config": _object(
            {}, {"trigger_actions_on": _list_of(_string(50), 2, least=0)}
        ),
    },
)
_PRESSED = _typed({"button": _BUTTON, "static_select": _SELECT, "overflow": _OVERFLOW, **_CHOICES})
_ACCESSORY = _typed(
    {
        "button": _BUTTON,
        "static_select": _SELECT,
        "overflow": _OVERFLOW,
        "image": _object(_IMAGE, {}),
        **_CHOICES,
    }
)
_FILLED = _typed({"plain_text_input": _TYPED_IN, "static_select": _SELECT, **_CHOICES})

# --- blocks -----------------------------------------------------------------------------------


def _block(kind: str, required: Mapping[str, Check], **optional: Check) -> Check:
    return _object({"type": _one_of(kind), **required}, {"block_id": _ID, **optional})


def _section(value: Any, at: str) -> Iterator[Problem]:
    yield from _block(
        "section",
        {},
        text=_text(3_000),
        fields=_list_of(_text(2_000), 10),
        accessory=_ACCESSORY,
        expand=_flag,
    )(value, at)
    if "text" not in value and "fields" not in value:
        yield _wrong("missing required field: text", at)


_BLOCK = _typed(
    {
        "section": _section,
        "header": _block("header", {"text": _plain(150)}),
        "divider": _block("divider", {}),
        "context": _block(
            "context",
            {
                "elements": _list_of(
                    _typed(
                        {
                            "plain_text": _plain(3_000),
                            "mrkdwn": _mrkdwn(3_000),
                            "image": _object(_IMAGE, {}),
                        }
                    ),
                    10,
                )
            },
        ),
        "actions": _block("actions", {"elements": _list_of(_PRESSED, 25)}),
        "image": _block(
            "image", {"image_url": _URL, "alt_text": _string(2_000)}, title=_plain(2_000)
        ),
        "rich_text": _block("rich_text", {"elements": _list_of(_RICH, 1_000)}),
        "input": _block(
            "input",
            {"label": _plain(2_000), "element": _FILLED},
            hint=_plain(2_000),
            optional=_flag,
            dispatch_action=_flag,
        ),
    }
)


def _blocks(value: Any, at: str, most: int, *, view: bool) -> Iterator[Problem]:
    yield from _list_of(_BLOCK, most, least=1 if view else 0)(value, at)
    known = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    ids = [each["block_id"] for each in known if "block_id" in each]
    for twice in sorted({each for each in ids if ids.count(each) > 1}):
        yield _wrong(f"block_id {twice} already exists", at)
    for place, each in enumerate(known):
        actions = [one.get("action_id") for one in _pressables(each)]
        for twice in sorted({a for a in actions if a and actions.count(a) > 1}):
            yield _wrong(f"action_id {twice} already exists", f"{at}/{place}")


def _pressables(block: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = block.get("elements") if block.get("type") == "actions" else None
    return [each for each in found or [] if isinstance(each, dict)]


_VIEW = _object(
    {"type": _one_of("modal"), "title": _plain(24), "blocks": lambda _value, _at: iter(())},
    {
        "submit": _plain(24),
        "close": _plain(24),
        "private_metadata": _string(3_000, 0),
        "callback_id": _string(255, 0),
        "clear_on_close": _flag,
        "notify_on_close": _flag,
        "external_id": _string(255, 0),
        "submit_disabled": _flag,
    },
)


def _view(view: Any) -> Iterator[Problem]:
    yield from _VIEW(view, "/view")
    if not isinstance(view, dict):
        return
    blocks = view.get("blocks")
    yield from _blocks(blocks, "/view/blocks", VIEW_BLOCKS, view=True)
    asks = isinstance(blocks, list) and any(
        isinstance(each, dict) and each.get("type") == "input" for each in blocks
    )
    if asks and "submit" not in view:
        yield _wrong("missing required field: submit", "/view")

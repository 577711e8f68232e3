"""The recording Slack keeps to Slack's rules, asked by Slack's own client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack import blockkit, sending
from tests.slack.render import as_text, live
from tests.slack.server import SlackServer


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def channel(slack: SlackServer) -> str:
    return slack.add_channel("deploys")


@pytest.fixture
def client(slack: SlackServer) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url)


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": plain(text)}


def press_of(**more: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": [{"type": "button", "text": plain("x"), **more}]}


EMPTY = {"type": "rich_text_section", "elements": [{"type": "text", "text": ""}]}
ASK = {
    "type": "actions",
    "elements": [
        {"type": "button", "text": plain("Approve"), "action_id": "approve", "value": "v1"},
    ],
}


async def refusal(call: Any) -> str:
    with pytest.raises(SlackApiError) as refused:
        await call
    return str(refused.value.response["error"])


async def test_a_message_is_posted_edited_found_again_by_its_metadata_and_linked_to(
    client: AsyncWebClient, slack: SlackServer, channel: str
) -> None:
    metadata = {"event_type": "gitops_request", "event_payload": {"request": "r1"}}
    posted = await client.chat_postMessage(
        channel="#deploys", text="ask", blocks=[section("a")], metadata=metadata
    )
    assert posted["channel"] == channel
    await client.chat_postMessage(channel=channel, text="more", thread_ts=posted["ts"])
    await client.chat_update(channel=channel, ts=posted["ts"], text="b", blocks=[section("b")])
    found = await client.conversations_history(channel=channel, include_all_metadata=True)
    assert [(m["text"], m["metadata"]) for m in found["messages"]] == [("b", metadata)]
    replies = await client.conversations_replies(channel=channel, ts=posted["ts"])
    assert [m["text"] for m in replies["messages"]] == ["b", "more"]
    bare = await client.conversations_history(channel=channel)
    assert "metadata" not in bare["messages"][0]
    link = await client.chat_getPermalink(channel=channel, message_ts=posted["ts"])
    assert link["permalink"].startswith("https://")
    assert as_text(slack.posted()[0]) == "b\n"


async def test_it_refuses_what_slack_refuses(
    client: AsyncWebClient, slack: SlackServer, channel: str
) -> None:
    archived = slack.add_channel("old", archived=True)
    foreign = slack.add_channel("theirs", member=False)
    post = client.chat_postMessage
    assert await refusal(post(channel="C404", text="x")) == "channel_not_found"
    assert await refusal(post(channel=archived, text="x")) == "is_archived"
    assert await refusal(post(channel=foreign, text="x")) == "not_in_channel"
    assert (
        await refusal(client.api_call("chat.postMessage", json={"channel": channel})) == "no_text"
    )
    assert await refusal(post(channel=channel, text="x" * 40_001)) == "msg_too_long"
    assert await refusal(post(channel=channel, text="x", thread_ts="1")) == "invalid_thread_ts"
    many = [section("x")] * 51
    assert await refusal(post(channel=channel, text="x", blocks=many)) == "invalid_blocks"
    long = [section("x" * 2_900)] * 5
    assert await refusal(post(channel=channel, text="x", blocks=long)) == "msg_blocks_too_long"
    nested = {"event_type": "x", "event_payload": {"a": {"b": 1}}}
    refused = await refusal(post(channel=channel, text="x", metadata=nested))
    assert refused == "invalid_metadata_schema"
    slack.scopes.remove("chat:write")
    assert await refusal(post(channel=channel, text="x")) == "missing_scope"
    stranger = AsyncWebClient("xoxb-no", base_url=slack.api_url)
    assert await refusal(stranger.auth_test()) == "invalid_auth"
    assert slack.posted() == []


@pytest.mark.parametrize(
    "wrong",
    [
        section("x" * 3_001),
        section(""),
        {"type": "header", "text": plain("x" * 151)},
        {"type": "header", "text": {"type": "mrkdwn", "text": "x"}},
        {"type": "section", "fields": [plain("x")] * 11},
        {"type": "section", "fields": [plain("x" * 2_001)]},
        {"type": "section"},
        {**section("x"), "color": "red"},
        {**section("x"), "block_id": "x" * 256},
        {"type": "marquee", "text": plain("x")},
        {"type": "image", "image_url": "https://x.example/y.png"},
        {"type": "actions", "elements": []},
        {"type": "actions", "elements": [{"type": "button", "text": plain("x")}] * 26},
        press_of(text=plain("x" * 76)),
        press_of(value="x" * 2_001),
        press_of(action_id="x" * 256),
        {"type": "actions", "elements": ASK["elements"] * 2},
        {"type": "context", "elements": [plain("x")] * 11},
        {"type": "rich_text", "elements": [EMPTY]},
        {"type": "divider", "text": plain("x")},
        "section",
    ],
    ids=lambda wrong: json.dumps(wrong)[:60],
)
def test_a_block_outside_the_limits_is_named(wrong: Any) -> None:
    assert blockkit.problems([wrong])
    assert blockkit.problems([ASK, section("fine"), {"type": "divider"}]) == []


def test_a_modal_outside_the_limits_is_named() -> None:
    view = {"type": "modal", "title": plain("Approve"), "blocks": [section("x")]}
    assert blockkit.view_problems(view) == []
    assert blockkit.view_problems({**view, "title": plain("x" * 25)})
    entry = {"type": "plain_text_input", "action_id": "why"}
    asks = {"type": "input", "label": plain("Why"), "element": entry}
    assert blockkit.view_problems({**view, "blocks": [asks]}) == [
        "missing required field: submit [json-pointer:/view]"
    ]


async def test_it_goes_wrong_on_demand(
    client: AsyncWebClient, slack: SlackServer, channel: str
) -> None:
    slack.spacing = 30.0
    await client.chat_postMessage(channel=channel, text="one")
    with pytest.raises(SlackApiError) as limited:
        await client.chat_postMessage(channel=channel, text="two")
    assert limited.value.response.status_code == 429
    assert limited.value.response.headers["Retry-After"] == "30"
    slack.spacing = 0.0
    client.retry_handlers.clear()
    slack.fail("chat.postMessage", lost=True)
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=channel, text="three")
    assert [m["text"] for m in slack.posted()] == ["one", "three"]
    slack.fail("*", body="<html>", status=502)
    with pytest.raises(SlackApiError):
        await client.auth_test()
    slack.down = True
    with pytest.raises(SlackApiError) as away:
        await client.auth_test()
    assert away.value.response.status_code == 503


async def test_files_reach_a_thread(
    client: AsyncWebClient, slack: SlackServer, channel: str
) -> None:
    posted = await client.chat_postMessage(channel=channel, text="ask")
    await client.files_upload_v2(
        content="+ a\n- b\n", filename="plan.diff", channel=channel, thread_ts=posted["ts"]
    )
    (file,) = slack.files.values()
    assert file["content"] == b"+ a\n- b\n"
    assert slack.thread(posted["ts"])[0]["files"][0]["name"] == "plan.diff"


async def test_a_press_is_signed_opens_one_modal_and_hands_it_in(
    client: AsyncWebClient, slack: SlackServer, channel: str
) -> None:
    ada = slack.add_user("ada", "ada@example.com")
    posted = await client.chat_postMessage(channel=channel, text="ask", blocks=[ASK])
    payload = sending.press(slack, posted["ts"], "Approve", ada)
    assert payload["actions"][0]["value"] == "v1"
    signed = sending.signed_interaction(slack, payload)
    verifier = SignatureVerifier(slack.signing_secret)
    assert verifier.is_valid_request(signed.body, signed.headers)
    old = sending.signed_interaction(slack, payload, at=time.time() - 600)
    assert not verifier.is_valid_request(old.body, old.headers)
    view = {"type": "modal", "title": plain("Sure?"), "blocks": [section("x")]}
    opened = await client.views_open(trigger_id=payload["trigger_id"], view=view)
    again = await refusal(client.views_open(trigger_id=payload["trigger_id"], view=view))
    assert again == "exchanged_trigger_id"
    handed_in = sending.submit(slack, opened["view"]["id"], ada)
    assert handed_in["view"]["title"] == plain("Sure?")
    async with aiohttp.ClientSession() as http:
        for expected in [200, 200, 200, 200, 200, 404]:
            answer = await http.post(payload["response_url"], json={"text": "x"})
            assert answer.status == expected


async def test_socket_mode_says_hello_delivers_and_takes_acknowledgements(
    client: AsyncWebClient, slack: SlackServer, channel: str
) -> None:
    ada = slack.add_user("ada", "ada@example.com")
    heard: list[SocketModeRequest] = []

    async def hear(socket: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        heard.append(request)
        await socket.send_socket_mode_response(
            SocketModeResponse(request.envelope_id, {"text": "ok"})
        )

    socket = SocketModeClient(slack.app_token, web_client=client)
    socket.socket_mode_request_listeners.append(hear)
    try:
        await socket.connect()
        await slack.soon(lambda: slack.connections == 1)
        sent = sending.command(slack, "status", ada, channel)
        ack = await asyncio.wrap_future(slack.envelope("slash_commands", sent))
        assert ack["payload"] == {"text": "ok"}
        slack.disconnect("refresh_requested")
        await slack.soon(lambda: slack.joined == 2 and slack.connections == 1)
        async with asyncio.timeout(20):
            await asyncio.wrap_future(slack.envelope("slash_commands", sent))
        assert [request.payload["text"] for request in heard] == ["status", "status"]
    finally:
        await socket.close()


def test_what_is_live_in_a_message_is_found() -> None:
    message = {
        "text": "see https://evil.example <!channel>",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": "<@U1> <https://a.example|A>"}},
            {"type": "section", "text": plain("<!here> https://b.example")},
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_section",
                        "elements": [
                            {"type": "text", "text": "<!channel> https://c.example"},
                            {"type": "broadcast", "range": "channel"},
                        ],
                    }
                ],
            },
        ],
    }
    assert sorted(live(message)) == [
        "broadcast channel",
        "broadcast channel",
        "link https://a.example",
        "link https://evil.example",
        "user U1",
    ]

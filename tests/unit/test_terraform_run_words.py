"""What the tool says and what becomes of it: errors, outcomes, states, names, places in line."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from pathlib import Path

import pytest

from gitops.errors import ConfigError, RenderError, StalePlan, StateLocked, Transient
from gitops.model.delivery import LaneId
from gitops.model.ids import ApplicationName, TargetName
from gitops.model.sealed import StateFacts
from gitops.model.secret import SecretRef
from gitops.ports.terraform import OutputValue
from gitops.terraform.environment import Scrub, granted
from gitops.terraform.files import own_state
from gitops.terraform.line import Line
from gitops.terraform.names import folder_name
from gitops.terraform.outcomes import UNKNOWN, told
from gitops.terraform.planfile import planned_on, providers, read_state, state_facts
from gitops.terraform.said import Reader, diagnostics, events

LOCKED = """Error message: resource temporarily unavailable
Lock Info:
  ID:        39507704-74dc-fa88-5539-f519628a5830
  Path:      terraform.tfstate
  Operation: OperationTypeApply
  Who:       ada@laptop
  Version:   1.11.4
  Created:   2026-11-21 13:49:21.873153792 +0000 UTC
  Info:


Terraform acquires a state lock"""


def reader(*secrets: str) -> Reader:
    return Reader(Scrub(lambda text: text, secrets), "roots/net")


def said(summary: str, detail: str = "", **more: object) -> bytes:
    body = {"severity": "error", "summary": summary, "detail": detail, **more}
    return json.dumps({"type": "diagnostic", "diagnostic": body}).encode() + b"\n"


def at(filename: str) -> dict[str, object]:
    return {"range": {"filename": filename, "start": {"line": 3, "column": 5}}}


def event(kind: str, address: str, **more: object) -> dict[str, object]:
    return {"type": kind, "hook": {"resource": {"addr": address}}, **more}


def test_a_lock_is_told_with_id_holder_and_time() -> None:
    error = reader().error(diagnostics(said("Error acquiring the state lock", LOCKED), b""), "plan")
    assert isinstance(error, StateLocked)
    assert error.lock == "39507704-74dc-fa88-5539-f519628a5830"
    assert error.who == "ada@laptop"
    assert error.since.startswith("2026-11-21 13:49:21")


@pytest.mark.parametrize(
    ("complaint", "lock"),
    [
        ("HTTP remote state already locked: ID=the-one-that-is-held", "the-one-that-is-held"),
        ("Workspace is already locked: default", ""),
        ("Already locked for workspace creation: default", ""),
    ],
)
def test_who_asks_for_a_lock_is_not_taken_for_who_holds_it(complaint: str, lock: str) -> None:
    text = LOCKED.replace("resource temporarily unavailable", complaint)
    assert complaint in text
    error = reader().error(diagnostics(said("Error acquiring the state lock", text), b""), "plan")
    assert isinstance(error, StateLocked)
    assert (error.lock, error.who, error.since) == (lock, "", "")
    assert "does not say by whom" in error.message
    assert ("gitops unlock" in error.hint) == bool(lock)


def test_a_lock_told_in_prose_is_read_too() -> None:
    text = f"\nError: Error acquiring the state lock\n\n{LOCKED}\n"
    error = reader().error(diagnostics(b"", text.encode()), "state pull")
    assert isinstance(error, StateLocked)
    assert error.who == "ada@laptop"


def test_a_stale_plan_is_an_error_of_its_own() -> None:
    assert isinstance(reader().error(diagnostics(said("Saved plan is stale"), b""), "x"), StalePlan)


@pytest.mark.parametrize(
    ("filename", "place"),
    [
        ("main.tf", "roots/net/main.tf:3:5"),
        ("../shared/x.tf", "roots/shared/x.tf:3:5"),
        ("../../../../etc/passwd", "passwd:3:5"),
        ("/tmp/x/main.tf", "main.tf:3:5"),
    ],
)
def test_a_place_is_told_relative_to_the_source(filename: str, place: str) -> None:
    error = reader().error(diagnostics(said("Bad", **at(filename)), b""), "plan")
    assert isinstance(error, RenderError)
    assert error.place == place


def test_the_error_with_a_place_comes_first() -> None:
    output = said("A general remark") + said("Bad thing", "here", **at("a.tf"))
    error = reader().error(diagnostics(output, b""), "plan")
    assert error.message.startswith("Bad thing: here\nA general remark")


def test_a_network_that_is_away_is_passing() -> None:
    output = said("Failed to install provider", "dial tcp: lookup registry: no such host")
    assert isinstance(reader().error(diagnostics(output, b""), "init"), Transient)


def test_prose_with_a_place_is_read() -> None:
    text = "\nError: Unclosed block\n\n  on main.tf line 7, in x:\n   7: x {\n\nNo brace.\n"
    error = reader().error(diagnostics(b"", text.encode()), "fmt")
    assert (error.place, error.message.split(":")[0]) == ("roots/net/main.tf:7", "Unclosed block")


def test_a_failure_without_words_is_still_an_error() -> None:
    assert "did not say why" in reader().error(diagnostics(b"", b""), "plan").message


@pytest.mark.parametrize(
    "line",
    [b"[" * 100_000, b"{" * 100_000, b'{"type": NaN', b"null", b'{"diagnostic": []}', b"\xff\x00"],
)
def test_lines_that_are_no_events_are_passed_over(line: bytes) -> None:
    output = line + b"\n" + said("Real")
    assert [each.summary for each in diagnostics(output, b"")] == ["Real"]


def test_hostile_diagnostics_do_not_break_the_reader() -> None:
    body = {"severity": 1, "summary": ["x"], "range": {"start": 5, "filename": None}}
    output = json.dumps({"diagnostic": body}).encode()
    assert reader().error(diagnostics(output, b""), "plan").place == ""


def test_words_for_people_hold_no_escapes_and_no_secrets() -> None:
    value = 'p"ss<word>'
    output = said("\x1b[31mBad\x1b[0m", f"got {json.dumps(value)[1:-1]} and {value}")
    message = reader(value).error(diagnostics(output, b""), "plan").message
    assert message == "Bad: got (hidden) and (hidden)"


def test_a_long_text_is_cut() -> None:
    assert len(reader().error(diagnostics(said("x" * 100_000), b""), "plan").message) < 3000


def test_lines_of_a_key_are_hidden_one_by_one() -> None:
    scrub = Scrub(lambda text: text, ["-----BEGIN-----\nabcdefghij\nklmnopqrst\n"])
    assert scrub.text("bad line klmnopqrst here") == "bad line (hidden) here"


def test_an_address_that_only_began_is_unknown() -> None:
    seen = told([event("apply_start", "a.b"), event("apply_start", "c.d"),
                 event("apply_complete", "c.d")], reader())  # fmt: skip
    assert [(each.address, each.done, each.message) for each in seen.outcomes] == [
        ("a.b", False, UNKNOWN),
        ("c.d", True, ""),
    ]
    assert not seen.complete


def test_a_replacement_is_done_when_both_halves_are() -> None:
    half = [
        event("apply_start", "a.b"),
        event("apply_complete", "a.b"),
        event("apply_start", "a.b"),
    ]
    assert not told(half, reader()).outcomes[0].done
    assert told([*half, event("apply_complete", "a.b")], reader()).outcomes[0].done


def test_a_failed_address_has_the_tools_words() -> None:
    failed = list(events(said("No quota", address="a.b")))
    seen = told([event("apply_start", "a.b"), event("apply_errored", "a.b"), *failed], reader())
    assert seen.outcomes[0].message == "No quota"


def test_an_apply_is_complete_when_the_tool_says_so() -> None:
    done = {"type": "change_summary", "changes": {"operation": "apply"}}
    assert told([done], reader()).complete
    assert not told(
        [{"type": "change_summary", "changes": {"operation": "plan"}}], reader()
    ).complete
    assert not told([done, *events(said("Late error"))], reader()).complete


def test_the_state_a_plan_was_made_on_is_read_from_it() -> None:
    plan = io.BytesIO()
    with zipfile.ZipFile(plan, "w") as archive:
        archive.writestr("tfstate", json.dumps({"serial": 4, "lineage": "abc"}))
    assert planned_on(plan.getvalue()) == StateFacts(4, "abc")


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 5000])
def test_bytes_that_are_no_plan_are_refused(content: bytes) -> None:
    with pytest.raises(RenderError):
        planned_on(content)


def test_an_output_of_a_state_is_sensitive_unless_nothing_or_no_is_said() -> None:
    outputs = {
        "plain": {"value": 1},
        "said": {"value": [2], "sensitive": False},
        "hidden": {"value": "x", "sensitive": True},
        "odd": {"value": "x", "sensitive": "no"},
        "none": "x",
    }
    state = {"serial": 4, "lineage": "abc", "outputs": outputs}
    assert read_state(json.dumps(state).encode()) == (
        {
            "plain": OutputValue(1, False),
            "said": OutputValue([2], False),
            "hidden": OutputValue("x", True),
            "odd": OutputValue("x", True),
        },
        StateFacts(4, "abc"),
    )


def test_no_state_is_an_empty_one() -> None:
    assert read_state(b"") == ({}, StateFacts())
    assert state_facts(b"\n") == StateFacts()


@pytest.mark.parametrize(
    "text", [b"[]", b"{}", b'{"serial": "1", "lineage": "x"}', b"{" * 99_999, b"[" * 99_999]
)
def test_a_state_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(RenderError):
        state_facts(text)


def test_providers_are_read_from_the_lock_file() -> None:
    text = b'provider "registry/b" {\n  version = "2.0"\n}\n'
    text += b'provider "registry/a" {\n  version     = "1.0"'
    assert providers(text) == (("registry/a", "1.0"), ("registry/b", "2.0"))


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a" * 500, ".git", "-x", "ü", "a\0b"])
def test_a_name_that_is_no_ordinary_one_becomes_a_harmless_folder(name: str) -> None:
    folder = folder_name(name)
    assert "/" not in folder
    assert not folder.startswith((".", "-"))
    assert len(folder) < 90
    assert folder != folder_name(name + "x")


def test_an_ordinary_name_is_a_folders_name() -> None:
    assert folder_name("net-prod_1.2") == "net-prod_1.2"


def test_a_workspace_that_leads_elsewhere_has_no_own_state() -> None:
    with pytest.raises(ConfigError):
        own_state(Path("/state"), "net", "..")


@pytest.mark.parametrize(
    "name", ["TF_LOG", "TF_CLI_ARGS_apply", "LD_PRELOAD", "TF_DATA_DIR", "a=b"]
)
def test_an_operator_cannot_set_what_the_controller_sets(name: str) -> None:
    with pytest.raises(ConfigError, match="own to set"):
        granted({name: "1"})


def test_only_references_are_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "value-of-it")
    values, secrets = granted({"AWS_REGION": "eu-west-1", "AWS_KEY": SecretRef(env="HERE")})
    assert values == {"AWS_REGION": "eu-west-1", "AWS_KEY": "value-of-it"}
    assert secrets == ["value-of-it"]


async def test_one_state_is_worked_on_by_one_while_others_go_ahead() -> None:
    line, gone = Line(2), asyncio.Event()
    order: list[str] = []

    async def work(name: str, state: str) -> None:
        async with line.turn(LaneId(ApplicationName(name), TargetName("w")), state, "plan"):
            order.append(name)
            await gone.wait()

    tasks = [asyncio.create_task(work(*each)) for each in (("a", "s"), ("b", "s"), ("c", "t"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["a", "c"]
    (waiting,) = [place for place in line.places() if not place.running]
    assert str(waiting) == "plan of b@w waits for a@w"
    tasks[1].cancel()
    gone.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "c"]
    assert line.places() == ()

"""``gitops audit``: what is told, in which form, and what its exit code says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gitops.cli import audit as command
from gitops.cli import main
from tests.contract.store_story import FOREIGN

HEAD = "ab" * 32


def event(sequence: int, said: str = "ada approved it", **more: Any) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "at": 1_764_000_000.0,
        "kind": "answered",
        "said": said,
        "application": "shop",
        "target": "prod",
        "changes": 0,
        "people": ["ada"],
        "versions": [["chart", "1.2.3"]],
        "change": None,
        "request": "r1",
        "subject": "r1",
        "hash": HEAD,
        "readable": True,
        **more,
    }


class Controller:
    """Answers as the API would, with events 9 … 1, and a record that is whole or is not."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.broken: list[Any] = []
        self.events = [event(n) for n in range(9, 0, -1)]

    def get(self, *path: str, **query: Any) -> Any:
        self.asked.append(query)
        return self._verify(**query) if path[0] == "audit" else self._events(**query)

    def _events(self, limit: int, before: str, **_asked: Any) -> Any:
        found = [each for each in self.events if not before or each["sequence"] < int(before)]
        page = found[: min(limit, 4)]
        more = len(found) > len(page)
        return {"events": page, "next": str(page[-1]["sequence"]) if more else "", "back_to": None}

    def _verify(self, after: int, head: str, until: int) -> Any:
        del head
        last = min(after + 4, until or 9)
        done = last == (until or 9)
        broken = self.broken if last == 9 else []
        return {"checked": last - after, "last": last, "head": HEAD, "broken": broken, "done": done}


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Controller:
    found = Controller()

    @contextmanager
    def controller(ctx: object) -> Iterator[Controller]:
        del ctx
        yield found

    monkeypatch.setattr(command, "controller", controller)
    return found


@pytest.fixture
def run(there: Controller, capsys: pytest.CaptureFixture[str]) -> Run:
    del there

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--no-color", "audit", *arguments])
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return run


def test_a_line_says_when_where_and_what(run: Run, there: Controller) -> None:
    there.events = [event(2), event(1, "Source config is ready", application=None, target=None)]
    code, out = run()
    assert code == 0
    assert out.splitlines() == [
        "2025-11-24 16:00:00Z  shop@prod  ada approved it",
        "2025-11-24 16:00:00Z  Source config is ready",
    ]


def test_pages_are_asked_for_until_there_are_enough(run: Run, there: Controller) -> None:
    assert len(run("--limit", "6")[1].splitlines()) == 6
    assert [each["before"] for each in there.asked] == ["", "6"]
    assert len(run("--limit", "0")[1].splitlines()) == 9
    assert len(run("--limit", "4")[1].splitlines()) == 4


def test_the_filter_is_passed_on_as_written(run: Run, there: Controller) -> None:
    run("--since", "7d", "--person", "ada", "--kind", "answers", "--limit", "1")
    told = {key: there.asked[0][key] for key in ("since", "person", "kind")}
    assert told == {"since": "7d", "person": "ada", "kind": "answers"}
    assert "until" not in there.asked[0]


def test_it_is_json_and_csv_when_asked(run: Run, there: Controller) -> None:
    there.events = [event(1, f"=1+1 {FOREIGN}")]
    (found,) = json.loads(run("--output", "json")[1])["events"]
    assert found == there.events[0], "also what no terminal can be sent"
    rows = list(csv.DictReader(io.StringIO(run("--output", "csv")[1])))
    assert rows[0]["what"].startswith("'=1+1")
    assert (rows[0]["people"], rows[0]["versions"]) == ("ada", "chart 1.2.3")


def test_nothing_is_said_to_fit(run: Run, there: Controller) -> None:
    there.events = []
    assert run()[1] == "nothing fits\n"


def test_a_whole_record_gives_what_to_keep(run: Run) -> None:
    code, out = run("verify")
    assert code == 0
    assert out.splitlines() == [
        "9 events, all complete and unchanged",
        f"keep elsewhere: --expect 9:{HEAD}",
    ]


def test_what_was_kept_is_compared_at_its_event(run: Run, there: Controller) -> None:
    code, out = run("verify", "--expect", f"6:{HEAD}")
    assert (code, "nothing is missing of what was expected" in out) == (0, True)
    assert [(each["after"], each["until"]) for each in there.asked] == [(0, 6), (4, 6), (6, 0)]
    code, out = run("verify", "--expect", f"6:{'0' * 64}")
    assert code == 1
    assert "not the record that had the expected digest" in out
    assert "keep elsewhere" not in out


def test_a_record_that_was_tampered_with_is_an_error(run: Run, there: Controller) -> None:
    there.broken = [{"sequence": 7, "subject": "source:config"}]
    code, out = run("verify")
    assert code == 1
    assert "event 7 of source:config does not follow from what is before it" in out
    assert "tampered" in out
    code, out = run("verify", "--output", "json")
    assert code == 1
    found = json.loads(out)
    assert (found["sound"], found["broken"]) == (
        False,
        [{"sequence": 7, "subject": "source:config"}],
    )


@pytest.mark.parametrize("kept", ["x", "9", f"9:{'g' * 64}", f":{HEAD}"])
def test_what_was_not_kept_right_is_refused(run: Run, kept: str) -> None:
    code, out = run("verify", "--expect", kept)
    assert code != 0
    assert "EVENT:DIGEST" in out

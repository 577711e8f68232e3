"""What the pages show is in the API too, and answers as described where there is something to tell.

``tests/contract/test_api_described.py`` sends every route all it allows, of a fleet where nothing
ever happened; here the routes that look are sent names that are there. What is generated is the
same each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.showcase import SHOWCASE, Showcase
from tests.contract.described import held_to_its_description

pytestmark = [*SHOWCASE, pytest.mark.slow]

THERE = """
[parameters]
"path.application" = "search"
"query.application" = "search"
"query.target" = "production"
"query.container" = "search"
"query.before" = ""
"path.id" = "{0}"
"path.key" = "{2}"

[[operations]]
include-path = "/api/v1/requests/{{id}}"
parameters = {{ "path.id" = "{1}" }}
"""


def test_every_route_that_looks_answers_as_described_about_what_is_there(
    showcase: Showcase, tmp_path: Path
) -> None:
    [(change, request)] = showcase.query(
        "SELECT id, request FROM change WHERE application = 'payments' AND state = 'asking'"
    )
    with showcase.as_person("ada") as api:
        objects = api.get("applications", "search", "objects")["objects"]
    pod = objects[0]["made"][0]["made"][0]
    assert pod["id"]["kind"] == "Pod"
    printed = held_to_its_description(
        showcase.base,
        showcase.token("ada"),
        tmp_path,
        THERE.format(change, request, pod["key"]),
        *("--exclude-method", "POST", "--exclude-method", "DELETE"),
        *("--include-path-regex", "/(applications|changes|show|why|requests|events|deliver)"),
        *("--max-examples", "2", "--phases", "fuzzing"),
    )
    assert "404 Not Found" not in printed, "there was something to tell"
    assert "Traceback" not in (showcase.rig.folder / "controller.log").read_text()

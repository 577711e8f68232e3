"""What merging a pull request would do, as a page: whole, and text of strangers as text."""

from __future__ import annotations

from dataclasses import replace

from gitops.model.delivery import Change
from gitops.model.ids import SourceName
from gitops.model.plan import FieldChange
from gitops.model.preview import Depth, LanePreview, Preview
from tests.contract.store_story import change_of, lane, plan_of
from tests.web.change_cases import HUB, House, house, update
from tests.web.test_pages_change import SMITH, words

__all__ = ["house"]

HEAD = "c" * 40


def shown(change: Change, *names: str) -> LanePreview:
    changes = tuple(update(name, FieldChange("spec.replicas", 3, 5)) for name in names)
    return LanePreview(change.lane, replace(plan_of(change), changes=changes))


def keep(house: House, preview: Preview) -> str:
    house.controller.previews._drawn[preview.source, preview.number] = preview
    return f"/previews/{preview.source}/{preview.number}"


async def test_every_application_is_shown_with_what_would_differ(house: House) -> None:
    lanes = (
        shown(change_of(lane("shop", "eu")), "web"),
        shown(change_of(lane("shop", "us")), "web"),
        shown(change_of(lane("mail", "eu")), "api", SMITH),
        LanePreview(lane("old", "eu"), problem=SMITH, departs=True),
    )
    preview = Preview(SourceName("config"), 7, HEAD, None, SMITH, SMITH, lanes=lanes, untouched=3)
    page = await house.get(keep(house, preview))
    told = words(page.text)
    assert "shop on eu, us" in told
    assert "3 applications of this source are not concerned" in told
    assert "its folder is gone" in told
    assert f'href="{HUB}/commit/{HEAD}"' in page.text
    assert "<img src=x" not in page.text
    alone = await house.get(f"{keep(house, preview)}?group=2&diff=split")
    assert "shop on eu" not in words(alone.text)
    assert "<td><del>3</del></td><td><ins>5</ins></td>" in alone.text


async def test_what_is_not_planned_or_not_there_says_so(house: House) -> None:
    path = keep(house, Preview(SourceName("config"), 7, HEAD, None, problem="no such branch"))
    assert "There is no preview: no such branch" in words((await house.get(path)).text)
    keep(house, Preview(SourceName("config"), 7, HEAD, None))
    assert "no application reads what it changes" in (await house.get(path)).text
    linted = Preview(SourceName("config"), 7, HEAD, None, depth=Depth.LINT)
    keep(house, replace(linted, lanes=(shown(change_of(lane())),)))
    assert "it comes from a fork" in (await house.get(path)).text
    gone = await house.get("/previews/config/8")
    assert gone.status_code == 404
    assert "gitops preview config 8 --post" in gone.text
    assert (await house.get("/previews/config/x")).status_code == 422

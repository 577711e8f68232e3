"""Plots say what they show, hold no foreign markup, and need nothing from anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from gitops import dora, plots
from gitops.dora import DAY, WEEK
from gitops.model.delivery import Cause, ChangeState
from tests.unit.test_dora import T, passage

SVG = "{http://www.w3.org/2000/svg}"
PASSAGES = [
    passage(DAY),
    passage(2 * DAY, ChangeState.FAILED),
    passage(WEEK + DAY),
    passage(WEEK + 2 * DAY, cause=Cause.DRIFT),
]
WEEKS = dora.weeks(PASSAGES, T, T + 2 * WEEK)
EMPTY = dora.weeks([], T, T + 2 * WEEK)
STREAM = dora.value_stream(PASSAGES)
HOSTILE = "</text><script>alert(1)</script>\"'& \x00\x1b\u202e\ud800"
ALL: dict[str, Callable[[], str]] = {
    "frequency": lambda: plots.frequency(WEEKS),
    "times": lambda: plots.delivery_times(WEEKS),
    "drift": lambda: plots.drift({"shop": 3, HOSTILE: 1}),
    "stream": lambda: plots.value_stream(STREAM),
    "no frequency": lambda: plots.frequency(EMPTY),
    "no times": lambda: plots.delivery_times(EMPTY),
    "no drift": lambda: plots.drift({}),
    "no stream": lambda: plots.value_stream(()),
}


@pytest.fixture(params=ALL)
def svg(request: pytest.FixtureRequest) -> str:
    return ALL[request.param]()


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


def words(root: ET.Element) -> str:
    return " ".join(root.itertext())


class TestEveryPlot:
    def test_is_well_formed_and_named_for_who_cannot_see_it(self, svg: str) -> None:
        root = drawn(svg)
        ids = {e.get("id"): "".join(e.itertext()) for e in root.iter() if e.get("id")}
        named = [ids[id] for id in root.get("aria-labelledby", "").split()]
        assert root.get("role") == "img"
        assert len(named) == 2
        assert all(named)

    def test_has_no_script_no_style_and_no_address(self, svg: str) -> None:
        root = drawn(svg)
        for element in root.iter():
            assert element.tag.removeprefix(SVG) not in {"script", "style", "image", "a", "use"}
            for name, value in element.attrib.items():
                assert name != "style"
                assert not name.startswith("on")
                assert "href" not in name
                assert not re.search(r"url\((?!#)", value)

    def test_draws_inside_its_frame(self, svg: str) -> None:
        root = drawn(svg)
        _, _, width, height = map(float, root.get("viewBox", "").split())
        for box in root.iter(f"{SVG}rect"):
            x, y, w, h = (float(box.get(k, "0")) for k in ("x", "y", "width", "height"))
            assert min(x, y, w, h) >= 0
            assert x + w <= width
            assert y + h <= height

    def test_text_takes_the_colour_of_the_page(self, svg: str) -> None:
        assert {t.get("fill") for t in drawn(svg).iter(f"{SVG}text")} <= {"currentColor"}

    def test_is_the_same_every_time(self, svg: str) -> None:
        assert svg in {make() for make in ALL.values()}


def test_a_hostile_name_stays_text() -> None:
    root = drawn(plots.drift({HOSTILE: 2}, name=HOSTILE))
    assert "<script>alert(1)</script>" in words(root)
    assert not re.search("[\x00-\x08\x1b\u202e\ud800-\udfff]", words(root))
    assert re.fullmatch(r"[A-Za-z0-9_-]+-title", root[0].get("id", ""))


def test_frequency_says_its_figures_in_words() -> None:
    root = drawn(plots.frequency(WEEKS))
    assert "2 deliveries went well and 1 failed in 2 weeks" in words(root)
    assert ": 1 went well, 1 failed" in words(root)


def test_a_week_without_deliveries_breaks_the_line() -> None:
    weeks = dora.weeks([passage(DAY), passage(2 * WEEK + DAY)], T, T + 3 * WEEK)
    root = drawn(plots.delivery_times(weeks))
    assert len(list(root.iter(f"{SVG}circle"))) == 3  # two weeks and the legend
    assert not list(root.iter(f"{SVG}polyline"))


def test_many_applications_are_gathered_in_a_last_row() -> None:
    root = drawn(plots.drift({f"app-{i}": 100 - i for i in range(40)}))
    assert len(list(root.iter(f"{SVG}g"))) == plots.MOST_BARS + 1
    assert "25 more" in words(root)


def test_waiting_is_told_by_more_than_colour() -> None:
    svg = plots.value_stream(STREAM, "mine")
    assert svg.count("url(#mine-hatch)") == sum(stage.waiting for stage in STREAM)
    assert "until answered: 10 s, waiting" in words(drawn(svg))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.35, "350 ms"),
        (12, "12 s"),
        (90, "1.5 min"),
        (3_600, "1 h"),
        (36_000, "10 h"),
        (200_000, "2.3 d"),
    ],
)
def test_durations_are_said_with_two_digits_that_matter(seconds: float, said: str) -> None:
    assert plots.duration(seconds) == said

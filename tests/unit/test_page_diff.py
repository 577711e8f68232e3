"""A plan on a page: nothing of it is lost, nothing is drawn that hides, and no view grows."""

from __future__ import annotations

import html
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops.model.ids import ApplicationName, ChangeId, Digest, TargetName
from gitops.model.manifest import ObjectId, Origin
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.web.pages.diff import OBJECTS, ROOM, Line, Wish, compared, kind_of, seen, view


def changed(name: str, *fields: FieldChange, **more: Any) -> ResourceChange:
    given = {"action": Action.UPDATE, "fields": fields, **more}
    id = ObjectId("", given.pop("kind", "ConfigMap"), "shop", name)
    return ResourceChange(given.pop("action"), str(id), id, **given)


def plan(*changes: ResourceChange) -> Plan:
    return Plan(ChangeId("c"), ApplicationName("shop"), TargetName("eu"), changes, Digest("d"))


def text(before: Any, after: Any) -> list[str]:
    return [f"{line.left}|{line.right}" for line in compared(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (3, 5, ["3|5"]),
        ("3", 3, ['"3"|3']),
        (True, "true", ['true|"true"']),
        (ABSENT, "debug", ["None|debug"]),
        (ABSENT, None, ["None|null"]),
        ("a", ABSENT, ["a|None"]),
        ("", "a", ['""|a']),
        ("a ", "a", ['"a "|a']),
        ("off", "on", ['"off"|"on"']),
        ("a\nb\n", "a\nc\n", ["a|a", "b|c"]),
        ("a\nb", "a\nb\n", ["a|a", "b|b", "None|"]),
        ("a\r\nb", "a\nb", ["a\r|a", "b|b"]),
        (["a"], ["a", "b"], ['["a"]|["a", "b"]']),
    ],
    ids=str,
)
def test_values_that_differ_never_look_the_same(before: Any, after: Any, shown: list[str]) -> None:
    assert text(before, after) == shown


def test_of_a_long_text_only_what_is_near_a_difference_is_drawn() -> None:
    before = "\n".join(f"line {n}" for n in range(10_000))
    lines = list(compared(before, before.replace("line 5000\n", "other\n")))
    assert [(line.left, line.right) for line in lines if not line.same] == [
        *([("", "")] if lines[0].gap else []),
        ("line 5000", "other"),
        ("", ""),
    ]
    assert (lines[0].gap, lines[-1].gap) == (4_997, 4_996)
    assert len(lines) == 9


def test_two_long_texts_with_nothing_in_common_cost_no_comparison() -> None:
    before = "\n".join("x" if n % 2 else str(n) for n in range(40_000))
    after = "\n".join("y" if n % 2 else str(-n) for n in range(40_000))
    assert sum(1 for _ in compared(before, after)) == 40_000


def test_what_nobody_would_see_is_written_out() -> None:
    assert seen("a\u202eb\x1b[31mc\r\x00") == "a\\u{202e}b\\u{1b}[31mc\\u{d}\\u{0}"


LINES = st.lists(st.text("abc ", max_size=4), max_size=30).map("\n".join)


@given(LINES, LINES)
def test_both_sides_can_be_read_back_from_what_is_drawn(before: str, after: str) -> None:
    lines = list(compared(f"{before}\n.", f"{after}\n."))
    equal = f"{before}\n.".split("\n")
    left = [line.left for line in lines if line.left is not None and not line.gap]
    right = [line.right for line in lines if line.right is not None and not line.gap]
    skipped = sum(line.gap for line in lines)
    assert len(left) + skipped == len(equal)
    assert len(right) + skipped == after.count("\n") + 2
    assert all((line.left == line.right) == line.same for line in lines if not line.gap)


def test_what_destroys_comes_first_and_says_what_is_lost() -> None:
    things = view(
        plan(
            changed("new", action=Action.CREATE),
            changed("old", action=Action.DELETE, stateful=True, kind="PersistentVolumeClaim"),
            changed("same", restarts=12, foreign=True, notes=("adopts it",), origin=Origin("a", 3)),
        ),
        Wish(),
    ).things
    assert [(thing.sign, thing.place) for thing in things] == [("−", 1), ("~", 2), ("+", 0)]
    assert things[0].notes == ("its data, or what it holds, goes with it",)
    assert things[1].notes[1:] == ("restarts 12 pods", "adopts it")
    assert (things[1].origin, things[1].path, things[1].line) == ("a:3", "a", 3)


def test_a_value_that_is_hidden_says_so() -> None:
    token = FieldChange("data.t", "<hidden: 12 bytes, #3fa9c1>", "<hidden: 9 bytes, #aaaaaa>")
    [thing] = view(plan(changed("a", token, FieldChange("data.b", 1, 2, "kubectl"))), Wish()).things
    assert [field.masked for field in thing.fields] == [True, False]
    assert thing.fields[1].taken_from == "kubectl"


def cost(things: Any) -> int:
    return sum(
        len(html.escape(part))
        for thing in things
        for field in thing.fields
        for line in field.lines
        for part in (line.left, line.right, line.left_whole, line.right_whole)
        if part
    )


@pytest.mark.slow
@pytest.mark.parametrize("split", [False, True])
def test_two_thousand_objects_are_paged_through_without_leaving_one_out(split: bool) -> None:
    wide = [FieldChange(f"data.k{n}", "<&" * 300, ">'" * 300) for n in range(10)]
    every = plan(*(changed(f"c{n}", *wide) for n in range(2_000)))
    wish, places = Wish(split), []
    for _ in range(2_000):
        found = view(every, wish)
        assert cost(found.things) < 1.5 * ROOM
        assert len(found.things) <= OBJECTS
        places += [thing.place for thing in found.things]
        assert found.last == len(places)
        if not found.next:
            break
        wish = Wish(split, start=found.next)
    assert places == list(range(2_000))


def test_a_line_that_is_too_long_is_whole_in_the_view_of_its_object() -> None:
    long = "".join(chr(97 + n % 26) for n in range(30_000))
    every = plan(changed("a", FieldChange("data.a", "x", long)))
    [cut] = view(every, Wish()).things[0].fields[0].lines
    assert (cut.right or "").endswith("… (+29,600 characters)")
    assert not cut.right_whole
    pieces: list[str] = []
    line = 0
    for _ in range(100):
        [thing] = view(every, Wish(only=0, line=line), 4_000).things
        pieces += [(each.right or "").removesuffix("…") for each in thing.fields[0].lines]
        line = thing.next_line
        if not thing.left:
            break
    assert "".join(pieces) == long


@pytest.mark.slow
def test_ten_thousand_lines_of_one_object_are_paged_through() -> None:
    after = "\n".join(f"line {n}" for n in range(10_000))
    every = plan(changed("a", FieldChange("data.a", ABSENT, after)))
    first = view(every, Wish()).things[0]
    assert first.left > 9_000
    told: list[str] = []
    line = 0
    for _ in range(200):
        [thing] = view(every, Wish(only=0, line=line)).things
        told += [each.right or "" for field in thing.fields for each in field.lines]
        line = thing.next_line
        if not thing.left:
            break
    assert told == after.split("\n")


def test_a_filter_keeps_what_it_names() -> None:
    every = plan(
        changed("a", action=Action.DELETE), changed("b", kind="Secret"), changed("c", kind="Job")
    )
    assert [t.address for t in view(every, Wish(kind="Secret")).things] == ["Secret shop/b"]
    assert [t.place for t in view(every, Wish(action="delete")).things] == [0]
    assert view(every, Wish(action="<script>")).things == ()
    assert view(every, Wish(only=99)).things == ()
    assert view(every, Wish(start=99)).first == 0
    assert view(every, Wish()).kinds == (("ConfigMap", 1), ("Job", 1), ("Secret", 1))


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("aws_s3_bucket.logs", "aws_s3_bucket"),
        ('module.a["x.y"].aws_s3_bucket.logs[0]', "aws_s3_bucket"),
        ('aws_s3_bucket.logs["a.b"]', "aws_s3_bucket"),
        ("state lock 7b1c", "state"),
    ],
)
def test_a_resource_has_a_kind_too(address: str, kind: str) -> None:
    assert kind_of(ResourceChange(Action.UPDATE, address)) == kind
    assert kind_of(ResourceChange(Action.UPDATE, address, output=True)) == "output"


def test_an_address_keeps_what_was_chosen_and_nothing_foreign_leaves_it() -> None:
    wish = Wish(split=True, kind='x"&y= ', start=7)
    assert wish.query(start=0) == "diff=split&kind=x%22%26y%3D+"
    assert Wish().query(only=3, line=10) == "object=3&line=10"


def test_removed_and_added_lines_of_one_place_stand_together() -> None:
    [thing] = view(plan(changed("a", FieldChange("p", "a\nb\nc", "a\nx\ny\nc"))), Wish()).things
    kinds = [f"{kind[0]}{said}" for kind, said, _ in thing.fields[0].rows]
    assert kinds == ["sa", "gb", "nx", "ny", "sc"]
    assert Line("a", None).cost > 0

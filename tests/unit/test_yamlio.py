"""What is refused, where, and what is never constructed (research on hostile YAML: Y1–Y4)."""

from __future__ import annotations

import pytest

from gitops import yamlio
from gitops.errors import RenderError


def refused(text: bytes) -> RenderError:
    with pytest.raises(RenderError) as caught:
        yamlio.documents(text, "app/x.yaml")
    return caught.value


BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (b"a: 1\nb: 2\na: 3\n", "3:1", "'a' is there twice"),
        (b"a: {b: 1, b: 2}\n", "1:11", "'b' is there twice"),
        (b'1: a\n"1": b\n', "2:1", "'1' is there twice"),
        (b'{"a": 1,\n "a": 2}', "1", "'a' is there twice"),
        (b"a: &x [*x]\n", "1:8", "contains itself"),
        (b"a: *nobody\n", "1:4", "no anchor"),
        (BOMB, "6:12", "more than 200,000 values"),
        (b"[" * 3000, "1:201", "nested deeper"),
        (b"a: " + b"{a: " * 3000, "1:800", "nested deeper"),
        (b"a: !!python/object:os.system {}\n", "1:4", "!!python/object"),
        (b"a: !!python/name:os.system\n", "1:4", "means nothing"),
        (b"a: !Ref b\n", "1:4", "!Ref"),
        (b"a: .inf\n", "1:4", "infinity"),
        (b"a: .NaN\n", "1:4", "infinity and NaN"),
        (b"a: !!binary '***'\n", "1:4", "base64"),
        (b"a: !!binary /w==\n", "1:4", "UTF-8"),
        (b"a: !!int x\n", "1:4", "!!int"),
        (b"~: a\n", "1:1", "reads as null"),
        (b"1.5: a\n", "1:1", "reads as a number"),
        (b"[a]: b\n", "1:1", "a key must be a scalar"),
        (b"<<: 1\n", "1:5", "<< takes a mapping"),
        (b"a: b\n...\nc: d\n", "3:1", ""),
        (b"%YAML 1.1\n---\na: b\n", "1:1", "directives"),
        (b"--- {a: b}\n", "1:5", "separator"),
        (b"a: b\n\tc: d\n", "2:1", "tab"),
        (b"a: [\n", "2:1", "not valid YAML"),
        (b"- a\n", "1", "a list, not an object"),
        (b"just text\n", "1", "a single value"),
        (b"a: b\n---\n- c\n", "3", "a list"),
        (b"a: \0\n", "1", "NUL"),
    ],
)
def test_what_the_server_would_guess_or_drop_is_refused_at_its_place(
    text: bytes, place: str, words: str
) -> None:
    error = refused(text)
    assert error.place == f"app/x.yaml:{place}"
    assert words in error.message


@pytest.mark.parametrize(
    "text", ["a: b\n".encode("utf-16"), "a: b\n".encode("utf-16-le"), "a: b\n".encode("utf-16-be")]
)
def test_utf_16_is_refused_with_what_to_do(text: bytes) -> None:
    assert refused(text).hint == "save it as UTF-8"


def test_a_word_in_an_error_is_never_a_value() -> None:
    for text in (b"p: hunter2\np: hunter2\n", b"p: !!int hunter2\n", b"p: !!binary hunter2*\n"):
        assert "hunter2" not in str(refused(text))


def test_aliases_are_counted_as_often_as_they_are_used() -> None:
    ten = b"a: &a [" + b"1," * 1000 + b"]\n"
    assert yamlio.documents(ten + b"b: [" + b"*a," * 100 + b"]", "f")
    assert "200,000" in refused(ten + b"b: [" + b"*a," * 300 + b"]").message


LONG = b"b: &a " + b"x" * (1 << 20) + b"\n"


@pytest.mark.parametrize(
    "text",
    [
        LONG + b"c:\n" + b"- *a\n" * 20,
        b"b: &a {? " + b"x" * 100_000 + b" : 1}\nc:\n" + b"- {<<: *a}\n" * 200,
        b"b: &a {k: " + b"x" * 100_000 + b"}\nc:\n" + b"- [*a]\n" * 200,
    ],
    ids=["scalar", "merge", "mapping"],
)
def test_a_long_value_is_counted_as_often_as_its_alias_is_used(text: bytes) -> None:
    error = refused(text)
    assert "16 MiB" in error.message
    line = int(error.place.split(":")[1])
    assert 2 < line < text.count(b"\n")


@pytest.mark.slow
def test_a_long_value_with_few_aliases_and_a_long_file_without_any_are_read() -> None:
    assert yamlio.documents(LONG + b"c: [*a, *a]\n", "f")[0].value["c"][1] == "x" * (1 << 20)
    assert len(yamlio.documents((LONG + b"---\n") * 20, "f")) == 20


def test_documents_that_grow_together_are_refused_too() -> None:
    each = LONG + b"c: [" + b"*a, " * 12 + b"]\n---\n"
    assert "64 MiB" in refused(each * 6).message


def test_an_index_may_be_as_long_as_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlio, "MAX_BYTES", 100)
    text = b"a: " + b"x" * 200 + b"\n"
    assert "once its aliases" in refused(text).message
    assert yamlio.documents(text, "f", nodes=yamlio.MAX_NODES + 1)


@pytest.mark.slow
@pytest.mark.parametrize("one", [b"a: 1\n---\n", b"---\n", b'{"a": 1}\n'])
def test_a_file_of_very_many_documents_is_refused(one: bytes) -> None:
    error = refused(one * (yamlio.MAX_DOCUMENTS + 1))
    assert "20,000 documents" in error.message
    assert int(error.place.split(":")[1]) > yamlio.MAX_DOCUMENTS


def test_objects_of_a_json_stream_know_their_lines_and_count_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = b'\n{"a":\n1}\n{"b": 2} {"c": [3]}\n'
    assert [document.line for document in yamlio.documents(text, "f")] == [2, 4, 4]
    monkeypatch.setattr(yamlio, "MAX_FILE_NODES", 5)
    assert refused(text).place == "app/x.yaml:4"


def test_lines_of_a_json_stream_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    class Counting(str):
        def count(self, sub: str, start: int = 0, end: int = 0) -> int:  # type: ignore[override]
            nonlocal read
            read += end - start
            return super().count(sub, start, end)

    text = Counting('{"a": 1}\n' * 1_000)
    assert [d.line for d in yamlio._json_stream(text, "f")] == list(range(1, 1_001))
    assert read <= len(text)


def test_an_anchor_may_be_used_again_for_something_else() -> None:
    read = yamlio.documents(b"a: &x 1\nb: *x\nc: &x 2\nd: *x\n", "f")
    assert read[0].value == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_an_anchor_does_not_outlive_its_document() -> None:
    assert "no anchor" in refused(b"a: &x 1\n---\nb: *x\n").message


def test_documents_know_their_line_and_lists_the_lines_of_their_items() -> None:
    text = b"# c\n---\n\na: 1\n---\nkind: List\nitems:\n- a: 1\n- a: 2\n---\n# none\n"
    first, second = yamlio.documents(text, "f")
    assert (first.line, first.index, first.starts) == (4, 0, ())
    assert (second.line, second.index, second.starts) == (6, 1, (8, 9))


def test_a_field_is_found_in_its_document_and_in_an_item_of_a_list() -> None:
    text = b"a: 1\n---\nkind: List\nitems:\n- spec:\n    x: [1, {y: 2}]\n"
    assert yamlio.locate(text, 5, ("spec", "x", 1, "y")) == (6, 12)
    assert yamlio.locate(text, 5, ("spec", "absent", "z")) == (5, 3)
    assert yamlio.locate(text, 1, ("a",)) == (1, 1)
    assert yamlio.locate(b"a: [", 1, ("a",)) == (1, 0)


def test_the_tree_says_the_same_as_the_documents() -> None:
    text = b"a: &x {b: [1, no, 012, ~]}\nc: *x\nd: {<<: *x, e: 1}\n"
    assert yamlio.tree(text, "f")[0].plain() == yamlio.documents(text, "f")[0].value


def test_canonical_json_is_one_line_with_sorted_keys() -> None:
    assert yamlio.canonical({"b": 1, "a": ["é", None]}) == '{"a":["é",null],"b":1}'.encode()


def test_canonical_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(RenderError):
        yamlio.canonical({"a": object()})

"""Raw commits, trees and logs, as hostile as they come."""

from __future__ import annotations

import pytest

from gitops.errors import RenderError
from gitops.model.source import EntryKind, Read, Signature
from gitops.sources.git.history import _Change, _Paths, _Reader, co_authors, describe
from gitops.sources.git.objects import Recent, parse_commit, parse_tree

OID = b"\x12" * 20


def tree(*rows: tuple[bytes, bytes]) -> bytes:
    return b"".join(mode + b" " + name + b"\0" + OID for mode, name in rows)


def test_every_mode_git_writes_has_its_kind() -> None:
    modes = [b"100644", b"100755", b"100664", b"120000", b"40000", b"040000", b"160000"]
    items = parse_tree(tree(*((mode, b"n%d" % n) for n, mode in enumerate(modes))), "t")
    kinds = [item.kind for item in items.values()]
    assert kinds == [
        EntryKind.BLOB,
        EntryKind.BLOB,
        EntryKind.BLOB,
        EntryKind.LINK,
        EntryKind.TREE,
        EntryKind.TREE,
        EntryKind.GITLINK,
    ]
    assert [item.executable for item in items.values()].count(True) == 1


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b".git", b".GiT"])
def test_names_that_lead_elsewhere_are_refused(name: bytes) -> None:
    with pytest.raises(RenderError, match="name git does not allow"):
        parse_tree(tree((b"100644", name)), "t")


def test_a_name_twice_an_odd_mode_and_a_cut_tree_are_refused() -> None:
    with pytest.raises(RenderError, match="does not allow"):
        parse_tree(tree((b"100644", b"a"), (b"40000", b"a")), "t")
    with pytest.raises(RenderError, match="of mode '60000'"):
        parse_tree(tree((b"060000", b"device")), "t")
    for cut in range(1, 27):
        with pytest.raises(RenderError):
            parse_tree(tree((b"100644", b"a"))[:cut], "t")


def test_names_keep_their_bytes_and_their_form() -> None:
    names = [b"caf\xc3\xa9", b"cafe\xcc\x81", b"caf\xe9", b"a\nb", b"-rf", b"x" * 4000]
    items = parse_tree(tree(*((b"100644", name) for name in names)), "t")
    assert [name.encode("utf-8", "surrogateescape") for name in items] == names


def test_a_commit_is_read_with_signature_encoding_and_odd_people() -> None:
    raw = parse_commit(
        b"tree " + b"1" * 40 + b"\nparent " + b"2" * 40 + b"\nparent " + b"3" * 40 + b"\n"
        b"author Ren\xe9 <rene@example.org> 1700000000 +0100\n"
        b"committer nobody\n"
        b"encoding latin-1\n"
        b"gpgsig -----BEGIN\n author Mallory <m@x> 1 +0000\n -----END\n\n"
        b"Subject\n\nbody\n"
    )
    commit = describe("c" * 40, raw)
    assert commit.author == Signature("René", "rene@example.org")
    assert commit.committer == Signature("nobody", "")
    assert commit.subject == "Subject"
    assert len(raw.parents) == 2


def test_what_cannot_be_decoded_is_replaced_never_raised() -> None:
    for encoding in (b"utf-8", b"no-such-codec", b"\xff", b"rot13", b"hex", b"undefined", b"idna"):
        raw = parse_commit(b"author \xff\xfe <\xff> x\nencoding " + encoding + b"\n\n\xff\x00\xfe")
        describe("c" * 40, raw)
        assert "\0" not in raw.message
    describe("c" * 40, parse_commit(b""))


def test_lengths_are_bounded() -> None:
    commit = describe(
        "c" * 40,
        parse_commit(
            b"author "
            + b"n" * 9000
            + b" <"
            + b"m" * 9000
            + b"> "
            + b"9" * 400
            + b" +0000\n\n"
            + b"s" * 9000
            + b"\n\n"
            + b"".join(b"Co-authored-by: P%d <p%d@x>\n" % (n, n) for n in range(5000))
        ),
    )
    assert (len(commit.author.name), len(commit.author.email)) == (256, 256)
    assert len(commit.subject) == 500
    assert len(commit.co_authors) == 1000


def test_co_authors_are_found_wherever_a_line_begins_with_it() -> None:
    message = (
        "Subject\n\nCO-AUTHORED-BY:Ann <a@x>\nnot Co-authored-by: No <no@x>\n"
        "  co-authored-by : Bob Bee  <b@x> \n\nmore\nCo-authored-by: justname\n"
        "Co-authored-by:\nCo-authored-by: Ann <a@x>\r\n"
    )
    assert co_authors(message) == (
        Signature("Ann", "a@x"),
        Signature("Bob Bee", "b@x"),
        Signature("justname", ""),
    )


def paths(*names: str) -> _Paths:
    return _Paths([Read(name, None) for name in names])


def test_a_change_concerns_what_is_read_beneath_it_and_above_it() -> None:
    read = paths("apps/web", "base/x.yaml")
    assert read.covers("apps/web/deep/file")
    assert read.covers("apps/web")
    assert read.covers("base/x.yaml")
    assert read.covers("base"), "a file where a folder is read through"
    assert not read.covers("apps/website")
    assert not read.covers("apps/db/x")
    assert paths("").covers("anything")
    assert not paths().covers("anything")


def test_a_log_is_read_the_same_wherever_the_chunks_break() -> None:
    one, two, blob = "1" * 40, "2" * 40, "b" * 40
    stream = (
        f"{one}\0\n:100644 100644 {'a' * 40} {blob} M\0{two}\0"
        f":000000 100644 {'0' * 40} {blob} A\0:new\nline\0"
        f"{two}\0\n::100644 100644 100644 {'a' * 40} {'c' * 40} {blob} MM\0x\0"
    ).encode()
    expected = [_Change(one, two, blob), _Change(one, ":new\nline", blob), _Change(two, "x", blob)]
    for size in (1, 7, 64, len(stream)):
        seen: list[_Change] = []

        def keep(change: _Change, into: list[_Change] = seen) -> bool:
            into.append(change)
            return True

        reader = _Reader(keep)
        assert all(reader.feed(stream[i : i + size]) for i in range(0, len(stream), size))
        assert seen == expected


def test_what_was_used_last_stays() -> None:
    recent: Recent[str, int] = Recent(10)
    for number, key in enumerate("abc"):
        recent.put(key, number, 4)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (None, 1, 2)
    recent.get("b")
    recent.put("d", 3, 4)
    assert (recent.get("b"), recent.get("c"), recent.get("d")) == (1, None, 3)
    recent.put("huge", 4, 1000)
    assert recent.get("huge") == 4

"""Our reading of YAML is kubectl's reading, or a refusal. ``kubectl label --local`` is the oracle:
it reads files with the parser the server uses and needs no server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gitops import yamlio
from gitops.errors import RenderError

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n"

SCALARS = """
no|y|Y|on|Off|n|True|TRUE|tRUE|012|08|0o12|0777|-012|09.5|012.5|00|0|-0|-0.0|1.0|12:30:45|1_000|1__0
|_1|0x_1|0x1F|0X1F|+0x10|-0x10|0xFFFFFFFFFFFFFFFF|0x1FFFFFFFFFFFFFFFFF|0b11|0B11|-0b11|0b|0b-1|0b+1
|-0b-1|0b12|0b_1|1e3|1E3|1e-7|1e21|1e22|1e400|1e-400|12e03|12e+3|1.e3|.e3|.5|5.|.|+|.1_0|._1|.1_|.1__0
|0.1_0|1_000.5|0x1p4|=|e3|1e|_|+.5|-.5|+1e3|nan|inf|0o|0o8|0_1|01e3|2020-01-01|2020-01-01T00:00:00Z
|2001-12-14t21:59:43.10-05:00|2020-13-45|~|null|Null|NULL|nUll|123456789012345678901234567890
|9223372036854775807|9223372036854775808|-9223372036854775808|-9223372036854775809
|18446744073709551615|18446744073709551616|+18446744073709551615|0777777777777777777777777
|!!str 12|!!int '12'|!!int 012|!!float 12|!!float 1.5|!!bool yes|!!null ""|!!binary aGVsbG8=|!!str
|'12'|"no"|'yes'|"\\x41"|a b|a:b|http://x/y|--|1,000|0.0.0|١٢|１２|é|[a:b, 1, no]|{a: 1, b: [2]}
|{<<: {a: 2}, a: 1}|{a: 1, <<: {a: 2, b: 3}}|{<<: [{a: 2}, {a: 3}]}|{"<<": 1}|{on: a}|{12: a}
|{012: a}|{2020-01-01: a}|{!!binary aGk=: a}|{a:b}|{? a : b}|{a, b}|[&x 1, *x]|{a: &x {b: 1}, c: *x}
|<<|1.|[1,2,]
"""


def documents(values: Sequence[str]) -> str:
    return "".join(f"---\n{HEAD}spec:\n  v: {value}\n" for value in values)


def asked(kubectl: Path, text: str, folder: Path) -> list[Any]:
    """What kubectl read, document by document. Fails with its complaint."""
    file = folder / "asked.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    done = subprocess.run(
        [kubectl, "label", "--local", "--dry-run=client", "-o", "json", "-f", file, "a=b"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[:2000]
    found, position, decoder = [], 0, json.JSONDecoder()
    while position < len(done.stdout):
        value, position = decoder.raw_decode(done.stdout, position)
        position += len(done.stdout[position:]) - len(done.stdout[position:].lstrip())
        found.append(value.get("spec"))
    return found


def same(value: Any) -> Any:
    """Numbers as JSON readers tell them apart: integers of 64 bits, floats beyond."""
    if isinstance(value, dict):
        return {key: same(each) for key, each in value.items()}
    if isinstance(value, list):
        return [same(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        value = float(value)
    return (type(value).__name__, value)


def ours(text: str) -> list[Any] | None:
    """None where we refuse."""
    try:
        read = yamlio.documents(text.encode(), "f.yaml")
    except RenderError:
        return None
    return [json.loads(yamlio.canonical(each.value)).get("spec") for each in read]


def check(kubectl: Path, values: Sequence[str], folder: Path) -> int:
    """Compares all values we accept, in one call; returns how many there were."""
    accepted = [value for value in values if ours(documents([value])) is not None]
    if not accepted:
        return 0
    theirs = asked(kubectl, documents(accepted), folder)
    mine = ours(documents(accepted))
    assert mine is not None
    for value, one, other in zip(accepted, mine, theirs, strict=True):
        assert same(one) == same(other), f"{value!r}: we read {one!r}, kubectl {other!r}"
    return len(accepted)


@pytest.fixture(scope="module")
def kubectl(tools: Any) -> Path:
    return tools.path("kubectl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity")


def test_every_scalar_of_the_table_reads_as_kubectl_reads_it(kubectl: Path, folder: Path) -> None:
    values = [value for value in SCALARS.replace("\n|", "|").strip().split("|") if value]
    assert check(kubectl, values, folder) == len(values)


@pytest.mark.parametrize(
    "spec",
    [
        "spec: |\n  a\n   b\n\n  c\n",
        "spec: >-\n  a\n  b\n\n  c\n",
        "spec: >+\n  a\n\n",
        'spec: "a\n\n  b"\n',
        "spec: a\n  b\n",
        "spec:\n- a\n- - b\n  - c: d\n",
        "spec: \ta\t\n",
        "spec: # comment\n  a: b # c\n",
        "spec: 'it''s'\n",
        'spec: "\\u00e9\\n\\t\\\n  x"\n',
        "spec: {a: [b, {c: d}], 'e': \"f\"}\n",
        "spec: &a {x: 1}\nother: *a\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_block_and_quoted_text_reads_as_kubectl_reads_it(
    kubectl: Path, folder: Path, spec: str, newline: str
) -> None:
    text = (HEAD + spec).replace("\n", newline)
    mine = ours(text)
    assert mine is not None
    assert same(mine) == same(asked(kubectl, text, folder))


JSONS = [
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"spec":{"v":1.0,"u":"\\ud83d\\ude00\\/"}}',
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"spec":[1e3,-0,123456789012345678901]}',
    '\n\n{"apiVersion": "v1", "kind": "ConfigMap",\n "metadata": {"name": "x"}, "spec": null}\n',
]


@pytest.mark.parametrize("text", [*JSONS, "".join(JSONS)])
def test_json_reads_as_kubectl_reads_it(kubectl: Path, folder: Path, text: str) -> None:
    mine = ours(text)
    assert mine is not None
    assert same(mine) == same(asked(kubectl, text, folder))


def test_a_byte_order_mark_and_empty_documents_change_nothing(kubectl: Path, folder: Path) -> None:
    text = f"\ufeff# only a comment\n---\n---\n{HEAD}spec: 1\n---\n# end\n"
    assert same(ours(text)) == same(asked(kubectl, text, folder))


SOUP = "0123456789_.+-eExXobBOfFyYnNtTrualsk~<=!:,'\" aé"
relaxed = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@relaxed
@given(values=st.lists(st.text(SOUP, min_size=1, max_size=9), min_size=150, max_size=200))
def test_made_up_scalars_read_as_kubectl_reads_them(
    kubectl: Path, folder: Path, values: list[str]
) -> None:
    check(kubectl, values, folder)


NUMBERS = st.from_regex(
    r"\A[-+]?(0[xXoObB]?)?[0-9a-f_]{1,20}(\.[0-9_]{0,5})?([eE][-+]?[0-9]{1,3})?\Z"
)


@relaxed
@given(values=st.lists(NUMBERS, min_size=150, max_size=200))
def test_made_up_numbers_read_as_kubectl_reads_them(
    kubectl: Path, folder: Path, values: list[str]
) -> None:
    check(kubectl, values, folder)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=30),
        st.sampled_from(["a\nb\n", "  lead", "trail ", "# no", "a: b", "- x", "012", "no", "\t"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text("abc-12. ", max_size=6), inner, max_size=4),
    ),
    max_leaves=12,
)


@relaxed
@given(
    values=st.lists(VALUES, min_size=30, max_size=60),
    flow=st.sampled_from([None, True, False]),
    width=st.sampled_from([20, 80]),
    unicode=st.booleans(),
)
def test_made_up_documents_read_as_kubectl_reads_them(
    kubectl: Path, folder: Path, values: list[Any], flow: bool | None, width: int, unicode: bool
) -> None:
    head = yaml.safe_load(HEAD)
    texts = [
        yaml.safe_dump(
            {**head, "spec": value}, default_flow_style=flow, width=width, allow_unicode=unicode
        )
        for value in values
    ]
    accepted = [text for text in texts if ours(text) is not None]
    joined = "".join(f"---\n{text}" for text in accepted)
    mine = ours(joined)
    assert mine is not None
    for text, one, other in zip(accepted, mine, asked(kubectl, joined, folder), strict=True):
        assert same(one) == same(other), text


FRAGMENTS = [
    *("a: b", "b: |", "c: >-", "  text", "- x", "- - y", "k: [1, 2", "]", "}", "{a: b}", "? k"),
    *(
        "'q",
        "q'",
        '"dq',
        'dq"',
        "# c",
        "x: # c",
        ": v",
        "&a z",
        "*a",
        "a: &x b",
        "a: *x",
        "-",
        "...",
    ),
    *("a : b", "  - a: 1", "    b: 2", "key:    v  ", "\tt", "a:\tb", "it''s", "a: x#y", "a: x #y"),
    *("<<: {z: 1}", "- a: b", "  c: d", "a: - b", "a: b: c", '"a":1', '{"a":1,b: 2}', "a: |+", ""),
    *("@x", "a: %x", "a: ! x", "\u2028x", "a: \u0085b", "a: !!seq [1]", "a: >\n\n    x\n     y"),
]
LINES = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(FRAGMENTS)), min_size=1, max_size=5)


@relaxed
@given(soups=st.lists(LINES, min_size=300, max_size=400))
def test_heaps_of_yaml_read_as_kubectl_reads_them_or_are_refused(
    kubectl: Path, folder: Path, soups: list[list[tuple[int, str]]]
) -> None:
    texts = ["\n".join("  " * depth + line for depth, line in soup) for soup in soups]
    whole = [f"---\n{HEAD}spec:\n{text}\n" for text in texts]
    accepted = [text for text in whole if len(ours(text) or ()) == 1]
    mine = [each for text in accepted for each in ours(text) or ()]
    theirs = asked(kubectl, "".join(accepted), folder) if accepted else []
    for text, one, other in zip(accepted, mine, theirs, strict=True):
        assert same(one) == same(other), text

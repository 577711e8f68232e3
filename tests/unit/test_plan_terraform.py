"""A plan of the tool becomes the rows people approve: nothing missing, nothing secret.

The documents in ``tests/golden/terraform`` were written by terraform 1.11.4 and OpenTofu 1.12.6,
``cloud.json`` excepted: what only real providers do is written there by hand. The ``.txt`` beside
each is what people see; all are rewritten with ``GITOPS_UPDATE_GOLDEN=1``.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gitops.cli import output
from gitops.errors import RenderError
from gitops.jsonable import to_json
from gitops.masking import Masker
from gitops.model.finding import Severity, blocking
from gitops.model.fleet import ApplicationSpec, DeleteBudget
from gitops.model.ids import ApplicationName, ChangeId, Digest, SourceName, TargetName
from gitops.model.plan import ABSENT, Action, Plan
from gitops.model.terraform import TerraformSpec
from gitops.ports.terraform import UNKNOWN, OutputValue
from gitops.records import dumps, loads
from planners.plan.terraform.document import natural
from planners.plan.terraform.fields import MOST_FIELDS
from planners.plan.terraform.outputs import known_outputs
from planners.plan.terraform.reading import Reading, read, read_drift
from planners.plan.terraform.veil import UNKNOWN_YET, Veil, secrets_of
from planners.plan.terraform.versions import versions_of

GOLDEN = Path(__file__).parent.parent / "golden" / "terraform"
DOCUMENTS = sorted(path.stem for path in GOLDEN.glob("*.json"))
APP = ApplicationSpec(
    ApplicationName("net"), SourceName("repo"), "roots/net", terraform=TerraformSpec()
)
Shown = dict[str, Any]


class Keyed:
    def of(self, data: bytes) -> Digest:
        return Digest(hashlib.blake2b(data, digest_size=32, key=b"k").hexdigest())


def document(name: str) -> Shown:
    loaded: Shown = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def veil_for(shown: Shown, masker: Masker | None = None) -> Veil:
    scope = (masker or Masker(Keyed())).scope("net")
    secrets = secrets_of(shown)
    for secret in secrets:
        scope.taint(secret.text, live=secret.live)
    return Veil(scope, Keyed(), secrets)


def reading(shown: Shown, application: ApplicationSpec = APP) -> Reading:
    return read(shown, application, veil_for(shown), Keyed())


def plan_of(shown: Shown, found: Reading) -> Plan:
    return Plan(
        ChangeId("c"),
        ApplicationName("net"),
        TargetName("default"),
        found.changes,
        found.digest,
        found.unchanged,
        found.findings,
        found.over_budget,
        versions_of(shown, "terraform 1.11.4", ()),
        hides=found.hides,
    )


def one(before: Any, after: Any, actions: str = "update", **more: Any) -> Shown:
    """A plan of one resource."""
    change = {
        "actions": actions.split("+"),
        "before": before,
        "after": after,
        "after_unknown": more.pop("unknown", {}),
        "before_sensitive": more.pop("before_sensitive", {}),
        "after_sensitive": more.pop("after_sensitive", {}),
        **{key: more.pop(key) for key in ("replace_paths", "importing") if key in more},
    }
    entry = {
        "address": "aws_thing.x",
        "mode": "managed",
        "type": "aws_thing",
        "name": "x",
        "provider_name": "p",
        "change": change,
        **more,
    }
    return {"format_version": "1.2", "resource_changes": [entry]}


def fields_of(shown: Shown) -> dict[str, tuple[Any, Any]]:
    [change] = reading(shown).changes
    return {field.path: (field.before, field.after) for field in change.fields}


# --- what people see --------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_looks_as_agreed(name: str) -> None:
    shown = document(name)
    plan = plan_of(shown, reading(shown))
    out = io.StringIO()
    output.show_plan(plan, Console(file=out, markup=False, highlight=False, soft_wrap=True))
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("GITOPS_UPDATE_GOLDEN") == "1":
        golden.write_text(out.getvalue(), encoding="utf-8")
    assert out.getvalue() == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_plan_holds_no_sensitive_value_anywhere(name: str) -> None:
    shown = document(name)
    assert "Canary" in json.dumps(shown)
    kept = dumps(Plan, plan_of(shown, reading(shown)))
    assert "Canary" not in kept
    assert "Canary" not in json.dumps(to_json(plan_of(shown, reading(shown))))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_plan_survives_being_kept(name: str) -> None:
    shown = document(name)
    plan = plan_of(shown, reading(shown))
    assert loads(Plan, dumps(Plan, plan)) == plan


def test_a_plan_without_changes_asks_nobody() -> None:
    found = reading(document("unchanged"))
    assert (found.changes, found.unchanged, found.findings) == ((), 12, ())


def test_a_plan_that_only_changes_an_output_is_not_empty() -> None:
    shown = document("unchanged")
    shown["output_changes"]["size"] |= {"actions": ["update"], "after": 4}
    [change] = reading(shown).changes
    assert (change.action, change.address) == (Action.UPDATE, "output.size")
    assert [(f.path, f.before, f.after) for f in change.fields] == [("value", 3, 4)]


def test_an_output_that_goes_destroys_nothing() -> None:
    rows = {row.address: row for row in reading(document("changes")).changes}
    gone = rows["output.gone"]
    assert (gone.action, gone.notes) == (Action.UPDATE, ("it is removed",))
    assert gone.fields[0].after is ABSENT


@pytest.mark.parametrize(
    ("actions", "action"),
    [
        ("create", Action.CREATE),
        ("update", Action.UPDATE),
        ("delete", Action.DELETE),
        ("delete+create", Action.REPLACE),
        ("create+delete", Action.REPLACE),
        ("forget", Action.UPDATE),
        ("create+forget", Action.CREATE),
    ],
)
def test_every_action_of_the_tool_has_its_row(actions: str, action: Action) -> None:
    [change] = reading(one({"id": "1"}, {"id": "2"}, actions)).changes
    assert change.action is action


@pytest.mark.parametrize("actions", ["no-op", "read"])
def test_what_stays_or_is_only_read_has_no_row(actions: str) -> None:
    assert reading(one({"id": "1"}, {"id": "1"}, actions)).changes == ()


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"previous_address": "aws_thing.old"}, "moved from aws_thing.old"),
        ({"importing": {"id": "i-1"}}, "imports i-1"),
        ({"importing": {"unknown": True}}, "imports what is there already"),
    ],
)
def test_what_alters_only_the_state_has_a_row_too(more: dict[str, Any], note: str) -> None:
    [change] = reading(one({"id": "1"}, {"id": "1"}, "no-op", **more)).changes
    assert (change.action, change.notes) == (Action.UPDATE, (note,))


def test_a_plan_the_tool_would_apply_is_never_empty() -> None:
    shown = document("unchanged") | {"applyable": True}
    [change] = reading(shown).changes
    assert change.address == "state"


def test_an_action_nobody_knows_blocks_the_plan_and_is_shown() -> None:
    found = reading(one({"id": "1"}, {"id": "2"}, "transmogrify"))
    assert [row.address for row in found.changes] == ["aws_thing.x"]
    [finding] = blocking(found.findings)
    assert "transmogrify" in finding.message


@pytest.mark.parametrize("version", ["2.0", "", None])
def test_a_format_nobody_knows_is_refused(version: str | None) -> None:
    with pytest.raises(RenderError, match="format"):
        reading({"format_version": version, "resource_changes": []})


def test_an_errored_plan_cannot_be_approved() -> None:
    found = reading(one({"a": 1}, {"a": 2}) | {"errored": True})
    assert len(blocking(found.findings)) == 1


def test_a_failed_check_block_warns_and_a_failed_condition_blocks() -> None:
    found = {f.message: f.severity for f in reading(document("cloud")).findings}
    assert found["check.health: it says <hidden>"] is Severity.WARNING
    assert found["aws_vpc.main: its condition does not hold"] is Severity.ERROR


def test_what_is_put_off_is_said_and_part_of_the_digest() -> None:
    shown = document("cloud")
    found = reading(shown)
    assert any("aws_eks_addon.later" in f.message for f in found.findings)
    shown["deferred_changes"] = []
    assert reading(shown).digest != found.digest


def test_drift_is_told_at_its_row_or_as_a_remark() -> None:
    found = reading(document("cloud"))
    [web] = [row for row in found.changes if row.address == "aws_instance.web"]
    assert "changed by somebody else since: tags" in web.notes
    remarks = [f.message for f in found.findings if f.severity is Severity.INFO]
    assert remarks == [
        "aws_route.gone: removed by somebody else since",
        'aws_vpc.main: changed by somebody else since: tags["Name"]',
    ]


def test_a_provisioner_is_shown_and_its_command_is_part_of_the_digest() -> None:
    shown = document("modules")
    found = reading(shown)
    [runs] = [row for row in found.changes if row.address == "terraform_data.runs"]
    assert "runs provisioners: local-exec" in runs.notes
    configured = shown["configuration"]["root_module"]["resources"]
    [resource] = [each for each in configured if each["name"] == "runs"]
    resource["provisioners"][0]["expressions"]["command"]["constant_value"] = "rm -rf /"
    assert reading(shown).digest != found.digest


def test_instances_are_in_the_order_people_count() -> None:
    addresses = ["x.a[10]", "x.a[2]", 'x.b["k"]', "x.a[1]"]
    assert sorted(addresses, key=natural) == ["x.a[1]", "x.a[2]", "x.a[10]", 'x.b["k"]']


# --- fields -----------------------------------------------------------------------------------


def test_paths_read_as_in_the_configuration() -> None:
    before = {
        "tags": {"Name": "a", "a b": "x"},
        "ingress": [{"cidr": "10.0.0.0/8", "n": 1}],
        "list": [1, 2],
    }
    after = {
        "tags": {"Name": "b", "a b": "y"},
        "ingress": [{"cidr": "10.0.0.0/16", "n": 1}],
        "list": [1, 3],
    }
    assert fields_of(one(before, after)) == {
        "ingress[0].cidr": ("10.0.0.0/8", "10.0.0.0/16"),
        "list[1]": (2, 3),
        'tags["Name"]': ("a", "b"),
        'tags["a b"]': ("x", "y"),
    }


def test_what_is_not_known_yet_says_so() -> None:
    unknown = {"id": True, "block": [{"arn": True}], "all": True}
    shown = one(
        {"id": "1", "block": [{"n": 1}], "all": {"x": 1}}, {"block": [{"n": 1}]}, unknown=unknown
    )
    assert fields_of(shown) == {
        "all": ({"x": 1}, UNKNOWN_YET),
        "block[0].arn": (ABSENT, UNKNOWN_YET),
        "id": ("1", UNKNOWN_YET),
    }


def test_a_null_is_an_attribute_that_is_not_set() -> None:
    shown = one({"a": None, "b": "x", "c": None}, {"a": 1, "b": None, "c": None})
    assert fields_of(shown) == {"a": (ABSENT, 1), "b": ("x", ABSENT)}


def test_a_set_that_only_gained_an_item_shows_that_item() -> None:
    rules = [{"port": port, "from": ["10.0.0.0/8"]} for port in (80, 443, 22)]
    shown = one({"r": rules[:2]}, {"r": [rules[2], rules[1], rules[0]]})
    assert fields_of(shown) == {"r[0].from": (ABSENT, ["10.0.0.0/8"]), "r[0].port": (ABSENT, 22)}


def test_a_list_whose_order_alone_changes_shows_it() -> None:
    rules = [{"port": 80}, {"port": 443}]
    assert fields_of(one({"r": rules}, {"r": rules[::-1]})) == {
        "r[0].port": (80, 443),
        "r[1].port": (443, 80),
    }


def test_one_is_not_true() -> None:
    assert fields_of(one({"a": 1}, {"a": True})) == {"a": (1, True)}


def test_long_texts_show_where_they_part() -> None:
    same = "line\n" * 3_000
    before, after = fields_of(one({"t": same + "old"}, {"t": same + "new"}))["t"]
    assert len(before) < 5_000
    assert before.endswith("old")
    assert after.endswith("new")
    assert before.startswith("(14800 characters)… ")


def test_a_text_too_long_to_be_looked_through_shows_size_and_tag() -> None:
    before, after = fields_of(one({"t": "a" * 300_000}, {"t": "b" * 300_000}))["t"]
    assert before.startswith("<hidden: 300000 bytes, #")
    assert before != after


def test_more_fields_than_anybody_reads_are_counted_and_keep_policies_from_approving() -> None:
    before = {f"k{i:04}": 1 for i in range(MOST_FIELDS + 10)}
    found = reading(one(before, dict.fromkeys(before, 2)))
    [change] = found.changes
    assert len(change.fields) == MOST_FIELDS
    assert any("not listed" in note for note in change.notes)
    assert found.hides


@pytest.mark.parametrize(
    "value",
    [10**30, -(2**80), 1e308, float("inf"), 2**63, "\ud800", "", "\x1b[31m", [[[]]], {"": {"": 0}}],
)
def test_odd_values_are_shown_kept_and_digested(value: Any) -> None:
    shown = one({"a": "x"}, {"a": value})
    found = reading(shown)
    plan = plan_of(shown, found)
    assert loads(Plan, dumps(Plan, plan)) == plan
    assert len(found.changes[0].fields) == 1


@pytest.mark.slow
def test_deep_values_are_shown_as_far_as_people_read_and_no_deeper() -> None:
    def nested(depth: int, end: Any) -> Any:
        for _ in range(depth):
            end = {"k": end}
        return end

    found = reading(one({"a": nested(200, 1)}, {"a": nested(200, 2)}))
    [field] = found.changes[0].fields
    assert len(json.dumps([field.before, field.after])) < 2_000
    with pytest.raises(RenderError, match="nested"):
        reading(one({"a": nested(100_000, 1)}, {"a": nested(100_000, 2)}))


# --- secrets ----------------------------------------------------------------------------------


def test_a_sensitive_value_is_shown_by_size_and_tag_only() -> None:
    mark = {"password": True}
    shown = one(
        {"password": "short"}, {"password": "other"}, before_sensitive=mark, after_sensitive=mark
    )
    before, after = fields_of(shown)["password"]
    assert before.startswith("<hidden: 5 bytes, #")
    assert before != after


def test_what_becomes_sensitive_is_hidden_as_it_was_too() -> None:
    shown = one({"p": "open sesame"}, {"p": "new sesame"}, after_sensitive={"p": True})
    assert "sesame" not in str(fields_of(shown))


def test_what_the_code_says_is_sensitive_is_never_approved_by_policy() -> None:
    """Its author may say so of anything: of what a role may do, say."""
    mark = {"policy": True}
    new = one(None, {"policy": "allow *"}, "create", after_sensitive=mark)
    assert reading(new).hides
    assert reading(one({"a": "1"}, {"a": "2"}, after_sensitive={"a": [True]})).hides
    unknown = one(None, {}, "create", unknown={"password": True}, after_sensitive=mark)
    assert not reading(unknown).hides, "nobody hid it: nobody knows it"
    still = one({"policy": "x", "a": 1}, {"policy": "x", "a": 2}, after_sensitive=mark)
    assert not reading(still).hides, "what is hidden does not change"


def test_a_program_that_runs_is_never_approved_by_policy() -> None:
    assert reading(document("modules")).hides


def test_an_import_takes_what_somebody_else_made() -> None:
    shown = one({"a": 1}, {"a": 1}, "no-op", importing={"id": "of-another-team"})
    assert plan_of(shown, reading(shown)).takes
    other = one({"a": 1}, {"a": 2})
    assert not plan_of(other, reading(other)).takes


def test_a_wholly_sensitive_resource_shows_nothing() -> None:
    shown = one({"a": "canary-1"}, {"a": "canary-2"}, before_sensitive=True, after_sensitive=True)
    assert "canary" not in str(reading(shown))


def test_a_computed_attribute_that_echoes_a_secret_is_hidden_and_expected() -> None:
    mark = {"input": True}
    shown = one(
        {"input": "s3cret", "output": "s3cret"},
        {"input": "other!", "output": None},
        unknown={"output": True},
        before_sensitive=mark,
        after_sensitive=mark,
    )
    found = reading(shown)
    assert "s3cret" not in str(found)
    assert not found.findings


def test_a_secret_of_elsewhere_is_hidden_said_and_never_approved_by_policy() -> None:
    mark = {"password": True}
    shown = one(
        {"password": "correct-horse"}, {"password": "correct-horse"}, "no-op", before_sensitive=mark
    )
    other = one({"script": "x"}, {"script": "login correct-horse now"})
    other["resource_changes"][0]["address"] = "aws_thing.y"
    shown["resource_changes"] += other["resource_changes"]
    found = reading(shown)
    assert fields_of_first(found) == {"script": ("x", "login <hidden> now")}
    assert found.hides
    assert any("aws_thing.y script" in f.message for f in found.findings)


def fields_of_first(found: Reading) -> dict[str, tuple[Any, Any]]:
    return {field.path: (field.before, field.after) for field in found.changes[0].fields}


def test_secrets_of_data_sources_and_variables_are_known_too() -> None:
    shown = one({"a": "x"}, {"a": "from-the-vault and from-variables"})
    shown["prior_state"] = {
        "values": {
            "root_module": {
                "child_modules": [
                    {
                        "resources": [
                            {"values": {"p": "from-the-vault"}, "sensitive_values": {"p": True}}
                        ]
                    }
                ]
            }
        }
    }
    shown["variables"] = {"v": {"value": "from-variables"}}
    shown["configuration"] = {"root_module": {"variables": {"v": {"sensitive": True}}}}
    assert fields_of(shown) == {"a": ("x", "<hidden> and <hidden>")}


def test_what_is_sensitive_in_a_plan_is_lost_to_every_log() -> None:
    masker = Masker(Keyed())
    veil_for(document("changes"), masker)
    assert masker.text("it is s3cr3t-Canary-0002") == "it is <hidden>"


def test_two_values_that_look_alike_when_hidden_show_that_they_differ() -> None:
    mark = {"p": True}
    values = {"p": ["first-secret", "other-secret"]}
    shown = one(
        {**values, "q": "x first-secret"}, {**values, "q": "x other-secret"}, before_sensitive=mark
    )
    before, after = fields_of(shown)["q"]
    assert before != after
    assert "secret" not in before + after


def test_an_address_never_shows_a_secret() -> None:
    shown = one({"p": "sekret-key-1"}, {"p": "sekret-key-2"}, before_sensitive={"p": True})
    shown["resource_changes"][0]["address"] = 'aws_thing.x["sekret-key-1"]'
    assert "sekret" not in str(reading(shown))


def test_numbers_that_are_secret_are_hidden() -> None:
    mark = {"pin": True}
    shown = one(
        {"pin": 1234567890, "n": 1},
        {"pin": 9876543210, "n": 9876543210},
        before_sensitive=mark,
        after_sensitive=mark,
    )
    assert "9876543210" not in str(reading(shown))


# --- the budget -------------------------------------------------------------------------------


def test_losing_a_stateful_resource_needs_a_typed_confirmation() -> None:
    found = reading(document("cloud"))
    assert "replaces aws_db_instance.main: a stateful resource" in found.over_budget
    assert 'deletes aws_s3_bucket.old["x"]: a stateful resource' in found.over_budget
    stateful = {row.address for row in found.changes if row.stateful and row.action.destroys}
    assert stateful == {"aws_db_instance.main", 'aws_s3_bucket.old["x"]'}


def many(count: int, actions: str, before: Any, after: Any) -> Shown:
    shown = one(before, after, actions)
    [entry] = shown["resource_changes"]
    shown["resource_changes"] = [entry | {"address": f"aws_thing.x[{i}]"} for i in range(count)]
    return shown


def test_destroys_count_against_the_budget_and_outputs_do_not() -> None:
    budget = ApplicationSpec(
        ApplicationName("net"),
        SourceName("repo"),
        "",
        terraform=TerraformSpec(),
        delete_budget=DeleteBudget(objects=3, fraction=1.0),
    )
    assert reading(many(3, "delete", {"id": "x"}, None), budget).over_budget == ()
    assert reading(many(4, "delete", {"id": "x"}, None), budget).over_budget == (
        "4 resources would be deleted, more than 3",
    )
    shown = many(3, "delete", {"id": "x"}, None)
    shown["output_changes"] = {
        f"o{i}": {"actions": ["delete"], "before": "x", "after": None} for i in range(9)
    }
    assert reading(shown, budget).over_budget == ()


def test_many_stateful_losses_are_named_and_counted() -> None:
    shown = many(8, "delete+create", {"id": "x"}, {"id": "y"})
    for entry in shown["resource_changes"]:
        entry["type"] = "aws_db_instance"
    assert reading(shown).over_budget[-1] == "and 3 more stateful resources"


# --- the digest -------------------------------------------------------------------------------


def shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        dice.shuffle(names)
        return {name: shuffled(value[name], dice) for name in names}
    return [shuffled(item, dice) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", DOCUMENTS)
def test_order_time_and_version_do_not_move_the_digest(name: str) -> None:
    shown = document(name)
    other = shuffled(shown, random.Random(7))
    random.Random(8).shuffle(other.get("resource_changes", []))
    other |= {"timestamp": "2031-01-01T00:00:00Z", "terraform_version": "9.9.9"}
    assert reading(other).digest == reading(shown).digest


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[step], (*path, step))
    else:
        yield path


def changed(shown: Shown, path: tuple[Any, ...], alter: Callable[[Any], Any]) -> Shown:
    other = copy.deepcopy(shown)
    holder: Any = other
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = alter(holder[path[-1]])
    return other


@pytest.mark.slow
def test_any_other_value_moves_the_digest() -> None:
    shown = document("changes")
    digest = reading(shown).digest
    seen = 0
    for section in ("resource_changes", "output_changes"):
        parts = shown[section] if section == "output_changes" else dict(enumerate(shown[section]))
        for key, part in parts.items():
            change = part["change"] if section == "resource_changes" else part
            row = change["actions"] != ["no-op"] or "importing" in change
            if not row and "previous_address" not in part:
                continue
            inside = ("change",) if section == "resource_changes" else ()
            for path in leaves(change):
                if path[0] in ("actions", "after_unknown"):
                    continue
                other = changed(shown, (section, key, *inside, *path), lambda v: [v, "moved"])
                assert reading(other).digest != digest, (key, path)
                seen += 1
    assert seen > 60


def test_the_digest_of_a_secret_needs_the_key() -> None:
    class Other(Keyed):
        def of(self, data: bytes) -> Digest:
            return Digest(hashlib.blake2b(data, digest_size=32, key=b"other").hexdigest())

    shown = document("changes")
    assert read(shown, APP, veil_for(shown), Other()).digest != reading(shown).digest


# --- outputs, versions, drift -----------------------------------------------------------------


def test_outputs_are_given_out_as_they_will_be() -> None:
    assert known_outputs(document("changes")) == {
        "fresh": UNKNOWN,
        "name": UNKNOWN,
        "pass": OutputValue("s3cr3t-Canary-0002", sensitive=True),
        "size": OutputValue(7, sensitive=False),
    }
    assert known_outputs(document("unchanged"))["name"] == OutputValue("web", sensitive=False)


def test_versions_name_tool_providers_and_modules_but_no_password() -> None:
    providers = (("registry.terraform.io/hashicorp/aws", "6.1.0"),)
    assert versions_of(document("cloud"), "tofu 1.12.6", providers) == (
        ("module git::https://git.example.com/x.git", "v1.2"),
        ("module terraform-aws-modules/vpc/aws", "5.1.0"),
        ("registry.terraform.io/hashicorp/aws", "6.1.0"),
        ("tofu", "1.12.6"),
    )


def test_drift_shows_the_states_value_and_the_real_one() -> None:
    shown = document("cloud")
    rows, digest = read_drift(shown, veil_for(shown), Keyed())
    assert [(row.address, row.action) for row in rows] == [
        ("aws_instance.web", Action.UPDATE),
        ("aws_route.gone", Action.DELETE),
        ("aws_vpc.main", Action.UPDATE),
    ]
    assert [(f.path, f.before, f.after) for f in rows[2].fields] == [('tags["Name"]', "a", "b")]
    shown["timestamp"] = "another"
    assert read_drift(shown, veil_for(shown), Keyed())[1] == digest
    shown["resource_drift"][0]["change"]["after"]["tags"]["Name"] = "c"
    assert read_drift(shown, veil_for(shown), Keyed())[1] != digest


# --- hostile and large ------------------------------------------------------------------------


@pytest.mark.parametrize("junk", [None, 3, "x", [], {}, [None], {"a": None}, True])
def test_a_document_with_parts_of_any_shape_is_read_or_refused_in_words(junk: Any) -> None:
    shown = document("cloud")
    paths = [(key,) for key in shown if key != "format_version"]
    paths += [("resource_changes", 0, key) for key in shown["resource_changes"][0]]
    paths += [("resource_changes", 0, "change", k) for k in shown["resource_changes"][0]["change"]]
    paths += [("checks", 0, key) for key in shown["checks"][0]]
    paths += [("configuration", "root_module"), ("output_changes", "url")]
    for path in paths:
        other = changed(shown, path, lambda _: junk)
        found = reading(other)
        dumps(Plan, plan_of(other, found))
        read_drift(other, veil_for(other), Keyed())
        known_outputs(other)


@pytest.mark.slow
def test_thousands_of_resources_are_all_there() -> None:
    body = {f"attribute_{i}": f"some value of number {i}" for i in range(20)}
    shown = many(2_000, "create", None, body)
    for entry in shown["resource_changes"]:
        entry["change"]["after_sensitive"] = {"attribute_3": True}
    found = reading(shown)
    assert [row.address for row in found.changes] == [f"aws_thing.x[{i}]" for i in range(2_000)]
    assert all(len(row.fields) == 20 for row in found.changes)
    assert not found.findings

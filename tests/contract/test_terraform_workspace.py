"""Plans and applies of real roots with the real tools: what the port promises when all goes well,
and what it says when the configuration, the state or the machine is not as it should be."""

from __future__ import annotations

import asyncio
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from gitops.errors import (
    ChildTimeout,
    ConfigError,
    RenderError,
    StalePlan,
    StateLocked,
    ToolMissing,
    Transient,
)
from gitops.model.sealed import SealedFile, StateFacts
from gitops.model.secret import SecretRef
from gitops.model.terraform import Backend, Deadlines, Environment
from tests.conftest import absent
from tests.contract.terraform_rig import (
    FOLDER,
    ONE,
    Host,
    find,
    no_zombie,
    root_of,
    settings,
    until,
)

CANARY = "canary-7f3a\"<&>'9c"


@pytest.fixture(params=["terraform", "tofu"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    binary = find(request.param)
    if binary is None:
        absent(f"{request.param} is not here; run: gitops sandbox tools {request.param}")
    return Host(tmp_path / "state", request.param, binary)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes requests and never answers."""
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            done.wait(60)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    done.set()
    server.shutdown()
    thread.join()
    server.server_close()


def slow_plan(url: str) -> str:
    """A root that reads another's state from there while it is planned."""
    return f"""data "terraform_remote_state" "other" {{
  backend = "http"
  config = {{
    address = "{url}"
  }}
}}
"""


async def test_a_first_apply_makes_the_state_and_the_next_plan_has_no_changes(host: Host) -> None:
    hidden = 'output "two" {\n  value     = "y"\n  sensitive = true\n}\n'
    workspaces, root = host.workspaces(), host.root(ONE + hidden)
    plan = await workspaces.plan(root)
    assert plan.state == StateFacts()
    assert plan.shown["resource_changes"][0]["change"]["actions"] == ["create"]
    applied = await workspaces.apply(root, plan.plan_file, "run-1")
    assert applied.done
    assert [(each.address, each.done) for each in applied.outcomes] == [
        ("terraform_data.one", True)
    ]
    again = await workspaces.plan(root)
    assert again.shown["resource_changes"][0]["change"]["actions"] == ["no-op"]
    assert again.state == applied.state == await workspaces.state(root)
    outputs = await workspaces.outputs(root)
    assert outputs["one"].value == "x"
    assert [outputs[name].sensitive for name in ("one", "two")] == [False, True]
    assert await workspaces.reached(root) == (outputs, again.state)


async def test_an_apply_of_the_same_name_is_not_done_twice(host: Host, tmp_path: Path) -> None:
    count = tmp_path / "count"
    text = (
        'resource "terraform_data" "one" {\n  provisioner "local-exec" {\n'
        f'    command = "echo once >> {count}"\n  }}\n}}\n'
    )
    workspaces, root = host.workspaces(), host.root(text)
    plan = await workspaces.plan(root)
    assert not await workspaces.begun(root, "delivery/1 …")
    first = await workspaces.apply(root, plan.plan_file, "delivery/1 …")
    assert await host.workspaces().begun(root, "delivery/1 …")
    second = await host.workspaces().apply(root, plan.plan_file, "delivery/1 …")
    assert first == second
    assert count.read_text() == "once\n"


async def test_a_plan_is_stale_once_the_state_has_moved(host: Host) -> None:
    workspaces, root = host.workspaces(), host.root(ONE)
    plan = await workspaces.plan(root)
    await workspaces.apply(root, plan.plan_file, "run-1")
    for _ in range(2):
        with pytest.raises(StalePlan, match="Saved plan is stale"):
            await workspaces.apply(root, plan.plan_file, "run-2")


async def test_a_tampered_plan_file_applies_nothing(host: Host) -> None:
    workspaces, root = host.workspaces(), host.root(ONE)
    plan = (await workspaces.plan(root)).plan_file
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plan)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[:-9] if name == "tfplan" else content)
    applied = await workspaces.apply(root, changed.getvalue(), "run-1")
    assert not applied.done
    assert applied.outcomes == ()
    assert applied.message
    with pytest.raises(RenderError, match="no saved plan"):
        await workspaces.apply(root, b"no zip", "run-2")
    assert await workspaces.state(root) == StateFacts()


async def test_two_roots_are_applied_at_the_same_time(host: Host, tmp_path: Path) -> None:
    def meets(me: str, other: str) -> str:
        command = f"touch {tmp_path}/{me}; while [ ! -e {tmp_path}/{other} ]; do sleep 0.05; done"
        return (
            'resource "terraform_data" "one" {\n  provisioner "local-exec" {\n'
            f'    command = "{command}"\n  }}\n}}\n'
        )

    workspaces = host.workspaces()
    roots = [host.root(meets("a", "b"), "a"), host.root(meets("b", "a"), "b")]
    plans = [await workspaces.plan(root) for root in roots]
    async with asyncio.timeout(60):
        applied = await asyncio.gather(
            *(workspaces.apply(r, p.plan_file, "1") for r, p in zip(roots, plans, strict=True))
        )
    assert all(each.done for each in applied)


async def test_the_queue_says_who_waits_for_whom(host: Host, tmp_path: Path) -> None:
    signs = tmp_path / "signs"
    workspaces, root = host.workspaces(parallel=1), host.slow(signs)
    plan = await workspaces.plan(root)
    assert workspaces.queue() == ()
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "1"))
    await until((signs / "begun").exists)
    same = asyncio.create_task(workspaces.plan(root))
    other = asyncio.create_task(workspaces.plan(host.root(ONE, "other")))
    await until(lambda: len(workspaces.queue()) == 3)
    assert [str(place) for place in workspaces.queue()] == [
        "apply of net@default runs",
        "plan of net@default waits for net@default",
        "plan of other@default waits for net@default",
    ]
    (signs / "go").touch()
    assert (await applying).done
    assert (await same).state != StateFacts()
    await other
    assert workspaces.queue() == ()


async def test_an_apply_past_its_deadline_is_said_to_be_late_and_goes_on(
    host: Host, tmp_path: Path
) -> None:
    signs = tmp_path / "signs"
    workspaces = host.workspaces(parallel=1)
    root = host.slow(signs, deadlines=Deadlines(apply=timedelta(seconds=0)))
    plan = await workspaces.plan(root)
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "1"))
    await until(lambda: any(place.late for place in workspaces.queue()))
    await workspaces.plan(host.root(ONE, "other"))  # it no longer keeps others waiting
    (signs / "go").touch()
    assert (await applying).done


@pytest.mark.slow
async def test_a_plan_past_its_deadline_is_interrupted(host: Host, silent_server: str) -> None:
    root = host.root(
        slow_plan(silent_server), deadlines=Deadlines(plan=timedelta(milliseconds=700))
    )
    with pytest.raises(ChildTimeout, match="plan did not finish in time"):
        await host.workspaces().plan(root)
    assert not list(host.state_dir.glob("terraform/.calls/*/*"))


async def test_a_cancelled_plan_leaves_no_process_and_no_file(
    host: Host, silent_server: str
) -> None:
    root = host.root(slow_plan(silent_server))
    planning = asyncio.create_task(host.workspaces().plan(root))
    pattern = "terraform/.calls/*/*/run-*-plan/started"
    await until(lambda: list(host.state_dir.glob(pattern)))
    (record,) = host.state_dir.glob(pattern)
    pids = [json.loads(record.read_text())[name]["pid"] for name in ("supervisor", "tool")]
    planning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await planning
    await until(lambda: all(no_zombie(pid) for pid in pids))
    await until(lambda: not list(host.state_dir.glob("terraform/.calls/*/*")))


@pytest.mark.slow
async def test_a_held_state_is_shown_with_its_holder(host: Host, tmp_path: Path) -> None:
    signs = tmp_path / "signs"
    root = host.slow(signs)
    plan = await host.workspaces().plan(root)
    first = host.workspaces()
    applying = asyncio.create_task(first.apply(root, plan.plan_file, "1"))
    await until((signs / "begun").exists)
    with pytest.raises(StateLocked) as caught:  # another controller, which knows of no queue
        await host.workspaces().plan(root)
    assert len(caught.value.lock) == 36
    assert "@" in caught.value.who
    assert caught.value.since.startswith("20")
    assert caught.value.who in caught.value.message
    with pytest.raises(StateLocked):
        await host.workspaces().apply(root, plan.plan_file, "2")
    (signs / "go").touch()
    assert (await applying).done
    assert not await first.begun(root, "2")
    with pytest.raises(StalePlan):  # it was refused before anything began: tried again, not told
        await host.workspaces().apply(root, plan.plan_file, "2")


@pytest.mark.slow
@pytest.mark.postgres
async def test_states_and_locks_live_in_postgresql(
    host: Host, tmp_path: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_database.replace("postgresql+psycopg", "postgres") + "&sslmode=disable"
    monkeypatch.setenv("STATE_DATABASE", url)
    signs = tmp_path / "signs"
    root = host.slow(
        signs,
        backend=Backend("pg", {"schema_name": "net"}),
        environment=Environment(plan={"PG_CONN_STR": SecretRef(env="STATE_DATABASE")}),
        workspace="prod",
    )
    workspaces = host.workspaces()
    plan = await workspaces.plan(root)
    applying = asyncio.create_task(workspaces.apply(root, plan.plan_file, "1"))
    await until((signs / "begun").exists)
    with pytest.raises(StateLocked):
        await host.workspaces().plan(root)
    (signs / "go").touch()
    applied = await applying
    assert applied.done
    assert applied.state == await workspaces.state(root) != StateFacts()
    states = [p for p in host.state_dir.rglob("*.tfstate") if p.parent.name != "data"]
    assert not states, "what init leaves in its data folder names the backend and is no state"
    assert url.encode() not in host.everything()


async def test_every_workspace_has_a_state_of_its_own(host: Host) -> None:
    text = ONE.replace('"x"', "terraform.workspace")
    workspaces = host.workspaces()
    for name in ("default", "blue"):
        root = host.root(text, workspace=name)
        plan = await workspaces.plan(root)
        assert (await workspaces.apply(root, plan.plan_file, "1")).done
        assert (await workspaces.outputs(root))["one"].value == name
        assert (host.state_dir / f"terraform/net/{name}/terraform.tfstate").is_file()
    assert workspaces.identity(root) != workspaces.identity(settings(root, workspace="default"))


async def test_the_operators_backend_wins_over_the_repositorys(host: Host, tmp_path: Path) -> None:
    text = 'terraform {\n  backend "http" {\n    address = "http://127.0.0.1:9/x"\n  }\n}\n' + ONE
    root = host.root(text, backend=Backend("local", {"path": str(tmp_path / "here.tfstate")}))
    workspaces = host.workspaces()
    plan = await workspaces.plan(root)
    assert (await workspaces.apply(root, plan.plan_file, "1")).done
    assert (tmp_path / "here.tfstate").is_file()


@pytest.mark.parametrize(
    "name",
    ["zz_gitops_override.tf.json", "zz_gitops_override.tofu.json", "zzz_override.tf"],
)
async def test_no_file_of_a_repository_replaces_the_backend(host: Host, name: str) -> None:
    root = root_of({"main.tf": ONE, name: "{}"}, binary=host.tool)
    with pytest.raises(RenderError, match="would replace the backend"):
        await host.workspaces().plan(root)


async def test_a_local_state_nobody_would_find_again_is_refused(host: Host) -> None:
    root = host.root(ONE, backend=Backend("local", {"path": "terraform.tfstate"}))
    with pytest.raises(ConfigError, match="absolute path"):
        await host.workspaces().plan(root)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('resource "terraform_data" "one" {\n  input = var.nope\n}\n', f"{FOLDER}/main.tf:2:11"),
        ('resource "terraform_data" "one" {\n', f"{FOLDER}/main.tf:1:33"),
    ],
)
async def test_a_refused_configuration_is_refused_at_file_line_and_column(
    host: Host, text: str, place: str
) -> None:
    workspaces, root = host.workspaces(), host.root(text)
    with pytest.raises(RenderError) as caught:
        await workspaces.plan(root)
    assert caught.value.place == place
    (finding,) = [each for each in await workspaces.validate(root) if each.line]
    assert finding.place == place


async def test_a_sound_configuration_has_no_findings(host: Host) -> None:
    workspaces, root = host.workspaces(), host.root(ONE)
    assert await workspaces.validate(root) == []
    assert await workspaces.fmt(root) == []


async def test_a_file_out_of_form_is_shown_with_its_diff(host: Host) -> None:
    root = root_of(
        {"main.tf": ONE, "sub/other.tf": 'variable "a" {\ntype = string\n}\n'}, binary=host.tool
    )
    ((path, diff),) = await host.workspaces().fmt(root)
    assert path == f"{FOLDER}/sub/other.tf"
    assert "-type = string\n+  type = string" in diff


async def test_fmt_says_where_a_file_cannot_be_parsed(host: Host) -> None:
    with pytest.raises(RenderError) as caught:
        await host.workspaces().fmt(host.root('resource "x" {\n'))
    assert caught.value.place.endswith("main.tf:1")


async def test_only_the_named_test_files_are_run(host: Host, tmp_path: Path) -> None:
    good = 'run "plans" {\n  command = plan\n  assert {\n'
    good += (
        '    condition     = terraform_data.one.input == "y"\n    error_message = "no y"\n  }\n}\n'
    )
    evil = 'run "applies" {\n}\n'
    text = (
        'resource "terraform_data" "one" {\n  input = "x"\n  provisioner "local-exec" {\n'
        f'    command = "touch {tmp_path}/applied"\n  }}\n}}\n'
    )
    root = root_of(
        {"main.tf": text, "good.tftest.hcl": good, "tests/evil.tftest.hcl": evil},
        binary=host.tool,
    )
    found = await host.workspaces().test(root, [f"{FOLDER}/good.tftest.hcl"])
    assert [(each.message, each.place) for each in found] == [
        ("Test assertion failed: no y", f"{FOLDER}/good.tftest.hcl:4:21")
    ]
    assert not (tmp_path / "applied").exists()
    fixed = root_of({"main.tf": text, "good.tftest.hcl": good.replace('"y"', '"x"')})
    fixed = settings(fixed, binary=host.tool)
    assert await host.workspaces().test(fixed, [f"{FOLDER}/good.tftest.hcl"]) == []


async def test_a_provider_that_the_mirror_lacks_is_named(host: Host, tmp_path: Path) -> None:
    text = (
        "terraform {\n  required_providers {\n    aws = {\n"
        '      source = "hashicorp/aws"\n    }\n  }\n}\n'
    )
    (tmp_path / "mirror").mkdir()
    with pytest.raises(RenderError, match="hashicorp/aws"):
        await host.workspaces(mirror=tmp_path / "mirror").plan(host.root(text))


async def test_a_wrong_version_says_what_was_found_and_what_to_write(host: Host) -> None:
    with pytest.raises(ToolMissing) as caught:
        await host.workspaces().tool(host.root(ONE, version="0.0.1"))
    assert f"{host.tool} 0.0.1 is not here" in str(caught.value)
    version = (await host.workspaces().tool(host.root(ONE))).split()[1]
    assert f"is {version}" in str(caught.value)
    assert f"F/{host.tool}-0.0.1" in str(caught.value)


async def test_a_binary_of_a_folder_comes_before_the_one_on_path(
    host: Host, tmp_path: Path
) -> None:
    version = (await host.workspaces().tool(host.root(ONE))).split()[1]
    place = tmp_path / "bin" / version / host.tool
    place.parent.mkdir(parents=True)
    place.symlink_to(host.binary)
    root = host.root(ONE, version=version)
    workspaces = host.workspaces(folders=(tmp_path / "bin",))
    await workspaces.plan(root)
    assert await workspaces.tool(root) == f"{host.tool} {version}"


async def test_an_output_of_another_application_is_a_variable(host: Host) -> None:
    text = 'variable "given" {\n  type = any\n}\n' + ONE.replace('"x"', "var.given")
    value = MappingProxyType({"a": ["${not a template}", 1]})
    root = replace(host.root(text), variables=MappingProxyType({"given": value}))
    plan = await host.workspaces().plan(root)
    (resource,) = plan.shown["planned_values"]["root_module"]["resources"]
    assert resource["values"]["input"] == {"a": ["${not a template}", 1]}


async def test_a_variable_file_outside_the_source_is_refused(host: Host) -> None:
    for name in ("../../../etc/passwd", "/etc/passwd", "nope.tfvars"):
        with pytest.raises(RenderError):
            await host.workspaces().plan(host.root(ONE, variable_files=(name,)))


@pytest.mark.parametrize("path", ["../x.tf", "/x.tf", "a/../../x.tf", "a//b.tf", "", "a\0b"])
async def test_no_file_is_written_outside_the_folder(host: Host, path: str) -> None:
    root = replace(host.root(ONE), files=(SealedFile(path, b""),))
    with pytest.raises(RenderError):
        await host.workspaces().plan(root)


async def test_what_a_tool_left_in_the_repository_is_not_believed(host: Host) -> None:
    workspaces = host.workspaces()
    foreign = {"serial": 9, "lineage": "foreign", "version": 4, "resources": [], "outputs": {}}
    backend = {"version": 3, "backend": {"type": "http", "config": {"address": "http://x"}}}
    root = root_of(
        {
            "main.tf": ONE,
            "terraform.tfstate": json.dumps(foreign),
            ".terraform/terraform.tfstate": json.dumps(backend),
            ".terraform/environment": "stolen",
        },
        binary=host.tool,
    )
    assert (await workspaces.plan(root)).state == StateFacts()


async def test_no_secret_is_left_anywhere(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", CANARY)
    monkeypatch.setenv("UNRELATED", "canary-of-the-controller")
    secret = SecretRef(env="THE_SECRET")
    text = (
        'variable "pin" {\n  type = string\n}\n'
        'resource "terraform_data" "one" {\n  provisioner "local-exec" {\n'
        f'    command = "env > {tmp_path}/environment; echo $PASSWORD; echo ${{var.pin}};'
        ' echo $PASSWORD >&2; exit 3"\n  }\n}\n'
    )
    environment = Environment(plan={"PASSWORD": "planned"}, apply={"PASSWORD": secret})
    root = replace(host.root(text, environment=environment), variables={"pin": "canary-pin-42"})
    workspaces = host.workspaces()
    plan = await workspaces.plan(root)
    applied = await workspaces.apply(root, plan.plan_file, "1")
    assert not applied.done
    assert "exit status 3" in applied.message
    assert CANARY in (tmp_path / "environment").read_text()
    assert "UNRELATED" not in (tmp_path / "environment").read_text()
    told = repr(applied)
    kept = host.everything()
    records = b"".join(path.read_bytes() for path in host.state_dir.rglob("started"))
    for value in (CANARY, "canary-pin-42"):
        escaped = json.dumps(value)[1:-1]
        assert value not in told
        assert escaped not in told
        assert value.encode() not in kept.replace(state_bytes(host), b"")
        assert escaped.encode() not in kept.replace(state_bytes(host), b"")
        assert value.encode() not in records
    assert not list(host.state_dir.rglob("*.tfplan"))
    assert not list(host.state_dir.rglob("*.tfvars.json"))


def state_bytes(host: Host) -> bytes:
    (state,) = host.state_dir.glob("terraform/net/**/terraform.tfstate")
    return state.read_bytes()


async def test_the_credentials_of_an_apply_are_not_there_when_planning(
    host: Host, tmp_path: Path
) -> None:
    missing = SecretRef(file=tmp_path / "not-there-before-an-approval")
    root = host.root(ONE, environment=Environment(apply={"TF_VAR_x": missing}))
    workspaces = host.workspaces()
    plan = await workspaces.plan(root)
    await workspaces.state(root)
    with pytest.raises(ConfigError, match="cannot be read"):
        await workspaces.apply(root, plan.plan_file, "1")


async def test_no_apply_begins_without_room_for_the_state(host: Host) -> None:
    root = host.root(ONE)
    plan = await host.workspaces().plan(root)
    with pytest.raises(Transient, match="no apply begins"):
        await host.workspaces(reserve=1 << 60).apply(root, plan.plan_file, "1")
    assert not list(host.state_dir.rglob(".gitops-reserve-*"))
    assert (await host.workspaces().apply(root, plan.plan_file, "1")).done
    assert not list(host.state_dir.rglob(".gitops-reserve-*"))


async def test_a_state_folder_that_is_none_is_named_as_trouble(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = replace(host, state_dir=tmp_path / "file")
    with pytest.raises(Transient, match="could not be used: Not a directory"):
        await broken.workspaces().plan(host.root(ONE))


async def test_a_kept_plan_is_shown_again(host: Host) -> None:
    workspaces, root = host.workspaces(), host.root(ONE)
    plan = await workspaces.plan(root)
    shown = await workspaces.show(root, plan.plan_file)
    assert shown["resource_changes"] == plan.shown["resource_changes"]


async def test_a_refresh_only_plan_keeps_no_plan_file(host: Host) -> None:
    workspaces, root = host.workspaces(), host.root(ONE)
    await workspaces.apply(root, (await workspaces.plan(root)).plan_file, "1")
    refreshed = await workspaces.plan(root, refresh_only=True)
    assert refreshed.plan_file == b""
    assert refreshed.state.serial > 0
    assert not refreshed.shown.get("resource_drift")


@pytest.mark.parametrize("lock", ["-help", "", "a b", "x" * 500])
async def test_only_the_id_of_a_lock_releases_one(host: Host, lock: str) -> None:
    with pytest.raises(RenderError, match="no id of a lock"):
        await host.workspaces().unlock(host.root(ONE), lock)


async def test_a_lock_nobody_holds_is_not_released(host: Host) -> None:
    workspaces, root = host.workspaces(), host.root(ONE)
    await workspaces.apply(root, (await workspaces.plan(root)).plan_file, "1")
    with pytest.raises(RenderError):
        await workspaces.unlock(root, "5f5dd8ab-0000-4000-8000-000000000000")

"""Rendering a folder of files with the real tools, for the renderers' contract tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gitops.children import Runner
from gitops.errors import RenderError
from gitops.model.cluster import ClusterFacts
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName
from gitops.model.manifest import Desired
from gitops.plugins import Services
from gitops.ports import Command, Completed, RenderJob
from gitops.sources.directory import DirectorySnapshot
from gitops.vault import Keyring
from tests.unit.check_cases import Frozen, Keyed

FACTS = ClusterFacts("uid", "v1.35.4", ("example.com/v1/Widget", "v1"))


class Counting:
    """The real runner, counting what it ran; versions aside."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._runner = Runner(folder, allow_unisolated=True)
        self.ran: list[Command] = []

    async def run(self, command: Command) -> Completed:
        if "version" not in command.argv:
            self.ran.append(command)
        return await self._runner.run(command)


class Rig:
    """A source's folder and the services a renderer is lent."""

    def __init__(self, folder: Path, tools: Any, hosts: Sequence[str] = ()) -> None:
        self.root = folder / "source"
        self.root.mkdir()
        self.children = Counting(folder / "scratch")
        self.services = Services(
            self.children,
            Keyed(),
            Frozen(),
            folder / "state",
            folder / "cache",
            tool=tools.path,
            cipher=Keyring.throwaway(),
            chart_hosts=tuple(hosts),
        )

    def write(self, files: Mapping[str, str | bytes]) -> Rig:
        for path, text in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode() if isinstance(text, str) else text)
        return self

    async def render(
        self,
        plugin: ModuleType,
        path: str = "",
        options: Mapping[str, Any] | None = None,
        facts: ClusterFacts | None = FACTS,
        namespace: str = "default",
    ) -> Desired:
        spec = ApplicationSpec(ApplicationName("shop"), SourceName("s"), path, namespace=namespace)
        renderer = plugin.build(plugin.Options(**(options or {})), self.services)
        made = await renderer.render(RenderJob(spec, self.snapshot, facts))
        assert isinstance(made, Desired)
        return made

    async def refused(self, plugin: ModuleType, path: str = "", **options: Any) -> RenderError:
        with pytest.raises(RenderError) as caught:
            await self.render(plugin, path, options)
        text = str(caught.value)
        assert "/tmp" not in text
        assert str(self.root) not in text
        return caught.value

    @property
    def snapshot(self) -> DirectorySnapshot:
        return DirectorySnapshot.of(self.root)

    def other_services(self, **changes: Any) -> Services:
        self.services = replace(self.services, **changes)
        return self.services


def named(made: Desired) -> list[str]:
    return [str(manifest.id) for manifest in made.manifests]


def body(made: Desired, name: str) -> dict[str, Any]:
    found = [json.loads(m.body) for m in made.manifests if m.id.name == name]
    assert len(found) == 1, named(made)
    value = found[0]
    assert isinstance(value, dict)
    return value


def config_map(name: str, **data: str) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in data.items())
    return (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{lines or '  a: b'}\n"
    )

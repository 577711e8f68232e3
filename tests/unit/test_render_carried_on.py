"""A folder rendered again gives what a first rendering gives, whatever moved in it."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops.errors import RenderError
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName
from gitops.model.manifest import Desired
from gitops.ports import RenderJob
from gitops.sources.directory import DirectorySnapshot
from planners.render.plain import Options, Plain, build
from tests.unit.check_cases import services

FOLDERS = ("app", "app/a", "app/a-b", "app/a/deep", "app/.dot", "app/b", "shared", "other")
NAMES = ("x.yaml", "y.yml", "z.json", "a.yaml", "Chart.yaml", "kustomization.yaml", "README")
LINKS = {"app/l": "../shared", "app/m.yaml": "../shared/x.yaml", "app/a/up": "../b"}
OPTIONS = (Options(), Options(exclude=("a/**",)), Options(include=("x.yaml", "b/*")))


class World:
    """A folder that people work in."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.dice = random.Random(seed)
        self.count = 0

    def move(self) -> None:
        match self.dice.randrange(12):
            case 0:
                shutil.rmtree(self.root / self.dice.choice(FOLDERS[1:]), ignore_errors=True)
            case 1:
                self.link()
            case 2 | 3:
                (self.root / self.dice.choice(FOLDERS) / self.dice.choice(NAMES)).unlink(True)
            case 4:
                self.rename()
            case _:
                self.write()

    def write(self) -> None:
        path = self.root / self.dice.choice(FOLDERS) / self.dice.choice((*NAMES[:4], *NAMES))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():
            path.write_text(self.text(path.suffix))

    def text(self, suffix: str) -> str:
        self.count += 1
        if suffix not in (".yaml", ".yml") or self.dice.random() < 0.02:
            return "{}"
        name, value = self.dice.choice("pqrs") + str(self.dice.randrange(4)), self.count % 5
        one = (
            f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{v: '{value}'}}\n"
        )
        return one + ("status: {a: b}\n" if self.dice.random() < 0.2 else "")

    def link(self) -> None:
        name = self.dice.choice(sorted(LINKS))
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        elif not path.exists():
            path.symlink_to(LINKS[name])

    def rename(self) -> None:
        files = sorted(p for p in self.root.rglob("*.y*ml") if p.is_file() and not p.is_symlink())
        if files:
            old = self.dice.choice(files)
            new = self.root / self.dice.choice(FOLDERS) / old.name
            new.parent.mkdir(parents=True, exist_ok=True)
            if not new.exists():
                old.rename(new)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.sampled_from(OPTIONS))
def test_rendering_again_is_rendering_anew(seed: int, rounds: int, options: Options) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_live_on(Path(folder), seed, rounds, options))


async def _live_on(folder: Path, seed: int, rounds: int, options: Options) -> None:
    world, lent = World(folder, seed), services(folder)
    (folder / "app").mkdir()
    kept = build(options, lent)
    for _ in range(rounds):
        for _ in range(world.dice.randrange(4)):
            world.move()
        job = RenderJob(
            ApplicationSpec(ApplicationName("shop"), SourceName("s"), "app"),
            DirectorySnapshot.of(folder),
            None,
        )
        assert await _told(kept, job) == await _told(build(options, services(folder)), job)


async def _told(renderer: Plain, job: RenderJob) -> Desired | str:
    try:
        return await renderer.render(job)
    except RenderError as error:
        return f"{error.place}: {error.message}"

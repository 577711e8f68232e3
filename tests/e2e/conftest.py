from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitops.logs import configure
from gitops.sandbox.layout import SandboxInfo
from tests.e2e.process import begun, end_leftovers
from tests.e2e.rig import Rig


@pytest.fixture(autouse=True)
def readable_log() -> None:
    configure(json=False, color=False)


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    before = begun()
    yield
    end_leftovers(before)


@pytest.fixture
def rig(tmp_path: Path, sandbox: SandboxInfo, tools: Any, namespace: str) -> Rig:
    return Rig(tmp_path, sandbox, tools.path("kubectl"), namespace)

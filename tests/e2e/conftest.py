from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitops.sandbox.layout import SandboxInfo
from tests.e2e.rig import Rig


@pytest.fixture
def rig(tmp_path: Path, sandbox: SandboxInfo, tools: Any, namespace: str) -> Rig:
    return Rig(tmp_path, sandbox, tools.path("kubectl"), namespace)

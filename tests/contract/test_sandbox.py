"""The sandbox is a real control plane that starts, answers and leaves nothing behind."""

from __future__ import annotations

import pytest

from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.seed import Api

pytestmark = pytest.mark.e2e


def test_answers_its_admin_over_verified_tls(sandbox: SandboxInfo) -> None:
    status, version = Api(sandbox).ask("GET", "/version")
    assert (status, version["gitVersion"]) == (200, "v1.35.4")


@pytest.mark.postgres
def test_pg(postgres_database: str) -> None:
    import sqlalchemy as sa

    e = sa.create_engine(postgres_database)
    with e.connect() as c:
        assert c.execute(sa.text("select 1")).scalar() == 1
    e.dispose()

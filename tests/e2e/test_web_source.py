"""Configuration on a plain web host, from the archive to the cluster."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator

import pytest

from gitops.model.delivery import ChangeState
from gitops.model.source import SourceState
from tests.contract.lying_host import Host, host
from tests.e2e.rig import Rig, System, config_map

pytestmark = pytest.mark.e2e


@pytest.fixture
def served() -> Iterator[Host]:
    with host() as made:
        yield made


def packed(files: dict[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(raw.getvalue(), mtime=0)


def state(system: System) -> SourceState:
    (watch,) = system.controller.watches.values()
    return watch.status.state


async def test_an_archive_is_delivered_asked_again_when_it_changes_and_a_page_deletes_nothing(
    rig: Rig, served: Host
) -> None:
    both = {"app/one.yaml": config_map("one", a="1"), "app/two.yaml": config_map("two", a="1")}
    served.content["/config.tar.gz"] = packed(both)
    rig.fleet["sources"] = {
        "config": {"web": served.url(), "interval": "1h", "authors": ["ada"]},
    }
    async with rig.controller() as system:
        await system.deliver()
        assert rig.data("one") == {"a": "1"}

        served.always(200, b"<!DOCTYPE html><html>Please log in</html>", ETag='"login"')
        await system.nudge()
        assert state(system) is SourceState.INVALID
        assert not await system.requests()
        assert rig.data("two") == {"a": "1"}

        served.answer = served.honest
        served.content["/config.tar.gz"] = packed(
            {**both, "app/one.yaml": config_map("one", a="2")}
        )
        await system.nudge()
        assert rig.data("one") == {"a": "1"}, "it is asked first"
        authors = (await system.last()).change.authorship
        assert authors.people == ("ada",)

    served.always(503)
    async with rig.controller() as system:
        await system.until(lambda: state(system) is SourceState.UNREACHABLE)
        record = await system.approve()
        assert record.state is ChangeState.HEALTHY, record
    assert rig.data("one") == {"a": "2"}
    assert rig.data("two") == {"a": "1"}

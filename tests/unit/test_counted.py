"""Clusters and sources are counted as they are asked, whatever they answer."""

from __future__ import annotations

import pytest

from gitops.engine.watches import SourceWatch
from gitops.errors import ClusterRefused, ClusterUnavailable, SourceProblem, SourceUnavailable
from gitops.kube.transport import Call, Transport
from gitops.model.source import SourceState
from tests.unit.test_kube_transport import (  # noqa: F401 - fixtures
    Server,
    hangs_up,
    says,
    server,
    transport,
)
from tests.unit.test_watches import Told, source, watch  # noqa: F401 - fixtures


def counts(transport: Transport) -> dict[tuple[str, str], int]:  # noqa: F811
    return dict(transport._standing.requests)


class TestRequestsToClusters:
    async def test_are_counted_by_verb_and_answer(
        self,
        server: Server,  # noqa: F811
        transport: Transport,  # noqa: F811
    ) -> None:
        server.script = [says(200), says(201), says(403)]
        await transport.send(Call("GET", "/a"))
        await transport.send(Call("PATCH", "/a", body=b"{}", writes=True))
        with pytest.raises(ClusterRefused):
            await transport.send(Call("DELETE", "/a", writes=True))
        assert counts(transport) == {("get", "200"): 1, ("apply", "201"): 1, ("delete", "403"): 1}

    async def test_that_are_tried_again_are_counted_each_time(
        self,
        server: Server,  # noqa: F811
        transport: Transport,  # noqa: F811
    ) -> None:
        server.script = [says(503), hangs_up, says(200)]
        await transport.send(Call("PATCH", "/a", (("dryRun", "All"),), b"{}"))
        assert counts(transport) == {
            ("dry-run", "503"): 1,
            ("dry-run", "lost"): 1,
            ("dry-run", "200"): 1,
        }

    async def test_that_watch_are_counted_when_they_begin(
        self,
        server: Server,  # noqa: F811
        transport: Transport,  # noqa: F811
    ) -> None:
        server.script = [says(200, b"{}\n"), says(410)]
        call = Call("GET", "/a", (("watch", "1"),))
        async with transport.stream(call, silence=5) as lines:
            async for _ in lines:
                pass
        with pytest.raises((ClusterRefused, ClusterUnavailable)):
            async with transport.stream(call, silence=5):
                pass
        assert counts(transport) == {("watch", "200"): 1, ("watch", "410"): 1}


class TestLooksAtSources:
    async def test_are_counted_by_what_they_said(
        self,
        source: Told,  # noqa: F811
        watch: SourceWatch,  # noqa: F811
    ) -> None:
        for answer in (
            None,
            SourceUnavailable("away"),
            SourceProblem("no such branch", state=SourceState.GONE),
            None,
        ):
            source.answer = answer
            await watch.look()
        assert watch.polls == {"ready": 2, "unreachable": 1, "gone": 1}

    async def test_keep_the_time_of_the_last_good_one(
        self,
        source: Told,  # noqa: F811
        watch: SourceWatch,  # noqa: F811
    ) -> None:
        assert watch.answered_at is None
        await watch.look()
        good = watch.answered_at
        source.answer = SourceUnavailable("away")
        await watch.look()
        assert good is not None
        assert watch.answered_at == good

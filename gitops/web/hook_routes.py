"""The API's side of webhooks: what came in, once more, and a signed sample to try one with.

Added to the API by :mod:`gitops.web.api`, behind its guard. A sample can be made through the
operator's own socket only: whoever has one can speak as the forge.
"""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gitops.controller import Controller
from gitops.engine.repositories import place
from gitops.errors import ConfigError, Unknown
from gitops.foreign import one_line
from gitops.model.fleet import SourceSpec, WebhookSpec
from gitops.model.ids import SourceName
from gitops.ports.inbound import Absent
from gitops.web.auth.viewer import account, operator, viewer
from gitops.web.client import reached_at
from gitops.web.hooks import PREFIX
from gitops.web.responses import as_json, page_size


class SampleBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str = Field("", max_length=100, description="Whose repository; default: the first.")


def add_hook_routes(app: FastAPI, controller: Controller) -> None:
    looks, operates, owns = [Depends(viewer)], [Depends(operator)], [Depends(account)]

    @app.get("/api/v1/webhooks", dependencies=looks)
    async def webhooks() -> JSONResponse:
        """Every endpoint, how it fares, and when each source was last heard of."""
        return as_json({"webhooks": controller.inbox.tallies.status()})

    @app.get("/api/v1/webhooks/deliveries", dependencies=looks)
    async def deliveries(limit: int = 50) -> JSONResponse:
        """Verified requests of the last 30 days, newest first."""
        found = await controller.inbox.deliveries(page_size(limit))
        return as_json({"deliveries": found})

    @app.post("/api/v1/webhooks/deliveries/{id}/replay", dependencies=operates)
    async def replay(id: str) -> JSONResponse:
        """Have what a delivery said done once more."""
        return as_json({"delivery": await controller.inbox.replay(id)})

    @app.post("/api/v1/webhooks/{name}/sample", dependencies=owns)
    async def sample(name: str, body: SampleBody) -> JSONResponse:
        """A signed request as the provider would send it, about a source's repository."""
        return as_json(_sample(controller, name, body.source))


def _sample(controller: Controller, name: str, source: str) -> dict[str, Any]:
    webhook = controller.inbox.spec(name)
    if webhook is None:
        known = ", ".join(spec.name for spec in controller.fleet.webhooks) or "none"
        raise Unknown(f"there is no webhook {one_line(name, 40)!r}", hint=f"webhooks: {known}")
    chosen = _chosen(controller, webhook, source)
    ref = chosen.ref or "main"
    ref = ref if ref.startswith("refs/") else f"refs/heads/{'main' if ref == 'HEAD' else ref}"
    try:
        letter = controller.parts.receivers()[name].sample(chosen.url, ref)
    except Absent as missing:
        hint = "the endpoint answers 404 until the secret is there; see `gitops config check`"
        raise ConfigError(str(missing), hint=hint) from None
    return {
        "path": f"{PREFIX}{name}",
        "listen": controller.fleet.api.listen,
        "url": reached_at(controller.fleet.api),
        "at": controller.parts.clock.now(),
        "source": chosen.name,
        "address": chosen.url,
        "ref": ref,
        "headers": {key: values[0] for key, values in letter.headers.items()},
        "body": letter.body.decode(),
    }


def _chosen(controller: Controller, webhook: WebhookSpec, source: str) -> SourceSpec:
    """The source that is asked for, else the first that a request could be about."""
    sources = controller.fleet.sources
    if source:
        if SourceName(source) not in sources:
            known = ", ".join(sorted(sources)) or "none"
            raise Unknown(f"there is no source {one_line(source, 40)!r}", hint=f"sources: {known}")
        return sources[SourceName(source)]
    named = [sources[name] for name in webhook.sources if name in sources]
    pushed_to = (spec for spec in sources.values() if spec.kind == "git")
    found = named or [spec for spec in pushed_to if place(spec.url)]
    if not found:
        hint = "a path on this machine has no forge; name the sources: webhooks: … sources: [NAME]"
        raise Unknown("no source lies at a forge", hint=hint)
    return found[0]

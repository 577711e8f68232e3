"""Which versions go out together: container images and what Helm's labels say. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gitops.summary import split_image

_CHART = re.compile(r"^(?P<name>.+?)-(?P<version>v?\d.*)$")


def versions_of(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(name, version) of images and charts named in one object, sorted."""
    return tuple(sorted({*_labels(body), *_images(body)}))


def _labels(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    labels = body.get("metadata", {}).get("labels")
    if not isinstance(labels, Mapping):
        return
    chart = _CHART.match(str(labels.get("helm.sh/chart", "")))
    if chart:
        yield f"chart {chart['name']}", chart["version"].replace("_", "+")
    name, version = labels.get("app.kubernetes.io/name"), labels.get("app.kubernetes.io/version")
    if isinstance(name, str) and isinstance(version, str):
        yield name, version


def _images(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for spec in _pod_specs(body.get("spec")):
        for field in ("initContainers", "containers"):
            for container in spec.get(field) or ():
                image = container.get("image") if isinstance(container, Mapping) else None
                if isinstance(image, str) and image:
                    yield split_image(image)


def _pod_specs(spec: Any) -> Iterator[Mapping[str, Any]]:
    """A pod's own spec, a workload's template, a cron job's job's template."""
    while isinstance(spec, Mapping):
        if isinstance(spec.get("containers"), list):
            yield spec
        deeper = spec.get("template") or spec.get("jobTemplate")
        spec = deeper.get("spec") if isinstance(deeper, Mapping) else None

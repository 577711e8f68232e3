"""Roots written inline, and what the rules say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops.hcl import policy
from gitops.model.finding import Finding
from gitops.model.sealed import SealedFile
from gitops.model.terraform import Allowed, TerraformSpec

CLEAN = 'resource "terraform_data" "x" {}\n'


def sealed(files: Mapping[str, str | bytes]) -> tuple[SealedFile, ...]:
    return tuple(
        SealedFile(path, text.encode() if isinstance(text, str) else text)
        for path, text in sorted(files.items())
    )


def judged(
    files: Mapping[str, str | bytes], path: str = "root", **spec: Any
) -> tuple[Finding, ...]:
    if "allow" in spec:
        spec["allow"] = Allowed(**spec["allow"])
    return policy(sealed(files), path, TerraformSpec(**spec))


def of_code(text: str, **spec: Any) -> tuple[Finding, ...]:
    """About a root whose main.tf is this."""
    return judged({"root/main.tf": text}, **spec)


def remarks(found: tuple[Finding, ...]) -> list[str]:
    return [f"{each.severity} {each.place} {each.message}" for each in found]

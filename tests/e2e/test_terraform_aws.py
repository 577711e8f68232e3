"""The hashicorp/aws provider against a moto server, on machines that have both.

The provider is downloaded from no registry here: it is looked for where Terraform looks for local
copies (its documentation, "Implied Local Mirror Directories"), or where GITOPS_TEST_MIRROR points.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops.model.delivery import ChangeState
from gitops.model.plan import Action
from tests.e2e.root_rig import RootRig

pytestmark = pytest.mark.slow

_PLACES = (
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
)
_ADDRESS = "registry.terraform.io/hashicorp/aws"


@pytest.fixture(scope="module")
def mirror() -> Path:
    named = os.environ.get("GITOPS_TEST_MIRROR")
    for place in [*([named] if named else []), *_PLACES]:
        folder = Path(place).expanduser()
        if (folder / _ADDRESS).is_dir():
            return folder
    pytest.skip(
        "the hashicorp/aws provider is not on this machine; in a folder with a configuration that"
        " requires it run: terraform providers mirror ~/.terraform.d/plugins"
    )


@pytest.fixture(scope="module")
def moto(mirror: Path) -> Iterator[str]:
    """URL of a server that plays AWS."""
    program = shutil.which("moto_server")
    if program is None:
        pytest.skip("moto is not on this machine; install it: pip install 'moto[server]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/moto-api/").close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(10)


async def test_a_bucket_is_made_and_its_loss_has_to_be_confirmed(
    tmp_path: Path, terraform_binaries: dict[str, Path], mirror: Path, moto: str
) -> None:
    root = RootRig(tmp_path, binary="terraform", path=terraform_binaries["terraform"])
    root.fleet["terraform"]["mirror"] = str(mirror)
    keys = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": {"file": str(tmp_path / "key")},
    }
    (tmp_path / "key").write_text("testing")
    (tmp_path / "key").chmod(0o600)
    root.terraform["environment"] = {"plan": keys}
    root.terraform["allow"] = {"providers": ["hashicorp/aws"]}
    root.write("infra/main.tf", _bucket(moto))
    lock = ["providers", "lock", f"-fs-mirror={mirror}"]
    root.by_hand(*lock, folder=root.work / "infra")
    root.commit("a bucket")
    async with root.controller() as system:
        await system.nudge()
        assert {c.address: c.action for c in (await system.plan()).changes} == {
            "aws_s3_bucket.logs": Action.CREATE
        }
        assert (await system.approve("bob")).state is ChangeState.HEALTHY
        urllib.request.urlopen(f"{moto}/logs-of-the-shop").close()
        root.write("infra/main.tf", _bucket(moto, resource=""))
        root.commit("no bucket")
        await system.nudge()
        plan = await system.plan()
        assert plan.over_budget
        record = await system.approve("bob", confirmation="delete 1")
        assert record.state is ChangeState.HEALTHY
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{moto}/logs-of-the-shop")


_RESOURCE = 'resource "aws_s3_bucket" "logs" {\n  bucket = "logs-of-the-shop"\n}\n'


def _bucket(moto: str, resource: str = _RESOURCE) -> str:
    return f"""\
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
}}

provider "aws" {{
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  s3_use_path_style           = true
  endpoints {{
    s3  = "{moto}"
    sts = "{moto}"
  }}
}}

{resource}"""

"""What we read of a file is what Terraform and OpenTofu read of it, in text made to part us."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gitops.hcl import reading

NATIVE = [
    'output "a" {\n value = <<E\nfoo$\nE\n}\noutput "b" { value = 1 }\n',
    'output "a" {\n value = <<E\nfoo%\nE\n}\noutput "b" { value = 1 }\n',
    'output "a" {\n value = <<E\nfoo$$\nE\n}\noutput "b" { value = 1 }\n',
    'output "a" {\n value = <<E\nE  \n}\noutput "b" {\n value = <<E\nE\n}\n',
    'output "a" {\n value = <<E\n${1}E\nE\n}\noutput "b" { value = 1 }\n',
    'output "a" {\n value = <<E\n${\n"E"\n}\nE\n}\noutput "b" { value = 1 }\n',
    'output "a" {\n value = <<E\n\u00a0E\u2003\n}\noutput "b" { value = 1 }\n',
    'output "a" {\n value = <<-E\n  x\n  E\n}\noutput "b" { value = 1 }',
    'output "a" {\n value = <<E\r\nx\r\nE\r\n}\r\noutput "b" { value = 1 }\r\n',
    'output "a" { value = "$${" }\noutput "b" { value = "}" }\n',
    'output "a" { value = "%%{\\"" }\noutput "b" { value = "}" }\n',
    'output "a" { value = "$$${1}" }\noutput "b" { value = 1 }\n',
    'output "a" { value = "$" }\noutput "b" { value = "%" }\n',
    'output "a" { value = "\\\\" }\noutput "b" { value = "\\"" }\n',
    'output "a" { value = 1 /* \n */ }\noutput "b" { value = 1 }\n',
    'output "a" { value = 1 } # \\ /* "\noutput "b" { value = 1 } // */\n',
    "output a { value = 1 }\noutput b { value = 1 }\n",
    'output "a" { value = "\\u0041" }\noutput "\\u0062" { value = 1 }\n',
    'output "a" { value = [1\n,2\n] }\noutput "b" { value = { a : 1, b = 2 } }\n',
    'output "a" { value = "${~ 1 ~}" }\noutput "b" { value = "%{ if true ~} x %{~ endif }" }\n',
    '\ufeffoutput "a" { value = 1 }\noutput "b" { value = 1 }\n',
    'output "a" { value = -(-1) }\noutput "b" { value = !(!true) }\n',
    'output "a" {\n value = {\nfor k, v in {a=1} :\n k => v... }\n}\noutput "b" { value = 1 }\n',
    'output "a" { value = core::length([1]) }\noutput "b" { value = max([1]...) }\n',
    'output "a" {\n value = (\n1\n+\n2)\n}\noutput "b" { value = 1 }\n',
    'output "a" { value = "${"${"x"}"}" }\noutput "b" { value = "${ {a=1}.a }" }\n',
    'locals { é = 1 }\noutput "a" { value = local.é }\noutput "b" { value = 1 }\n',
    'output "a" { value = [{x=[1]}].*.x.0 }\noutput "b" { value = [[1,2],[3]][*][0] }\n',
]
JSON = [
    '{"output": {"a": {"value": 1}}, "output": {"b": {"value": 1}}}',
    '{"output": [{"a": {"value": 1}}, {"b": [{"value": 1}]}]}',
    '{"output": {"a": {"value": "${1}"}, "b": {"value": "$${x}"}}, "//": "c"}',
    '[{"output": {"a": {"value": 1}}}, {"output": {"b": {"value": 1}}}]',
    '{"output": {"\\u0061": {"value": "\\u0024{1}"}, "b": {"value": 1}}}',
]


CASES = {
    f"m{number}": case
    for number, case in enumerate(
        [*(("main.tf", text) for text in NATIVE), *(("main.tf.json", text) for text in JSON)]
    )
}


@pytest.mark.slow
def test_blocks_are_where_the_tool_sees_them(terraform: tuple[str, Path], tmp_path: Path) -> None:
    root = "".join(
        f'module "{name}" {{\n  source = "./{name}"\n}}\n'
        f'output "{name}" {{\n  value = keys(module.{name})\n}}\n'
        for name in CASES
    )
    (tmp_path / "main.tf").write_text(root)
    for name, (file, text) in CASES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(text.encode())

    def tool(*arguments: str) -> str:
        env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "CHECKPOINT_DISABLE": "1"}
        argv = [str(terraform[1]), *arguments]
        done = subprocess.run(
            argv, cwd=tmp_path, capture_output=True, text=True, env=env, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    tool("init", "-input=false", "-no-color")
    tool("plan", "-input=false", "-no-color", "-out=plan")
    real = json.loads(tool("show", "-json", "plan"))["planned_values"]["outputs"]
    for name, (file, text) in CASES.items():
        ours = reading.parse(text.encode(), file)
        labels = sorted(block.label for block in ours.of("output"))
        assert labels == sorted(real[name]["value"]) == ["a", "b"], text

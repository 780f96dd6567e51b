"""The program of a server's command is looked for before a trial needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.backends import builds
from harness.contract.errors import ServerFault


@pytest.mark.parametrize(
    ("command", "told", "hint"),
    [
        ("python3 server.py", "is not on PATH", 'command = ["python3", "server.py"]'),
        ("no-such-program", "is not on PATH", "Install it, or build it"),
        ("./no-such-file", "nor a path below", "Install it, or build it"),
        ("./plain.sh", "is not executable", "chmod +x "),
        (".", "is not on PATH", "Install it"),
    ],
)
def test_a_command_that_cannot_be_started_is_told_with_what_to_do(
    tmp_path: Path, command: str, told: str, hint: str
) -> None:
    (tmp_path / "plain.sh").write_text("exec ./server\n")

    with pytest.raises(ServerFault, match="its command") as raised:
        builds.require_program("mine", [command], tmp_path)

    assert f"`{command}` {told}" in raised.value.message or told in raised.value.message
    assert hint in raised.value.hint
    assert raised.value.code == "not-started"


def test_a_program_on_path_or_in_the_directory_is_found(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)

    builds.require_program("mine", ["sh", "-c", "true"], tmp_path)
    builds.require_program("mine", ["./run.sh"], tmp_path)

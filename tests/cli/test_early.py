"""SIGINT in the moments in which no command of the command line runs yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.contract.errors import Exit

# Imported by the command line itself, and by a command
IMPORTED = (
    "click",
    "harness.cli.output",
    "harness.cli.commands.servers",
    "harness.variants.groups",
)


@pytest.mark.parametrize("module", IMPORTED)
def test_sigint_during_the_imports_ends_with_130_and_no_traceback(
    tmp_path: Path, module: str
) -> None:
    """A finder that Python asks first sends the signal when the module is looked for."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    done = subprocess.run(
        ["env", "--default-signal=INT", sys.executable, "-m", "harness.cli", "servers"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == Exit.INTERRUPTED, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "exit 130: interrupted, partial results saved"


def test_where_sigint_is_ignored_the_command_runs() -> None:
    done = subprocess.run(
        ["env", "--ignore-signal=INT", sys.executable, "-m", "harness.cli", "--version"],
        capture_output=True,
        timeout=60,
    )

    assert done.returncode == 0


def test_sigint_ends_with_130_also_where_standard_error_is_closed() -> None:
    program = (
        "import os, signal\n"
        "from harness.cli import early\n"
        "early.end_at_once()\n"
        "os.close(2)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run(
        ["env", "--default-signal=INT", sys.executable, "-c", program], timeout=60
    )

    assert done.returncode == Exit.INTERRUPTED

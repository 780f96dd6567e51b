"""Completion in real shells: what a shell types for a person at Tab."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.completion_scripts import SCRIPTS

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60
CAMPAIGN = "20260301-140200-quick"
# What is typed, and the command line after Tab: one completion each, so the shell writes it whole
CASES = {
    "a command": ("sel", "selftest"),
    "a server": ("run --servers epoll-l", "run --servers epoll-lt"),
    "a server after a comma": ("run --servers poll,epoll-l", "run --servers poll,epoll-lt"),
    "a group": ("run --servers @clas", "run --servers @classic"),
    "a group after a comma": ("run --servers poll,@clas", "run --servers poll,@classic"),
    "a profile": ("run --profile stan", "run --profile standard"),
    "a profile by =": ("run --profile=stan", "run --profile=standard"),
    "a campaign": ("report 2026", f"report {CAMPAIGN}"),
    "latest": ("run --resume la", "run --resume latest"),
    "a file": ("run --profile mine.t", "run --profile mine.toml"),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to type in: the command, the servers, a campaign and a profile of one's own."""
    made = tmp_path_factory.mktemp("typing")
    (made / "bin").mkdir()
    (made / "bin" / "c10k").write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m harness.cli "$@"\n'
    )
    (made / "bin" / "c10k").chmod(0o755)
    (made / "servers").symlink_to(ROOT / "servers")
    (made / "mine.toml").touch()
    shutil.copytree(ROOT / "tests" / "data" / "kept", made / "reports" / CAMPAIGN)
    return made


class Shell:
    """A real shell at a terminal."""

    def __init__(self, program: list[str], directory: Path, script: str) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            program,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=directory,
            env={
                "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
                "HOME": str(directory),
                "TERM": "dumb",
                "PS1": "> ",
            },
            start_new_session=True,
        )
        os.close(theirs)
        (directory / "script").write_text(script)
        self.type(". ./script; echo read''y\n")
        self.until("ready")

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def until(self, pattern: str) -> str:
        """Return what the shell shows until the pattern comes."""
        shown, deadline = "", time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.2)[0]:
                shown += os.read(self._ours, 4096).decode(errors="replace")
            if re.search(pattern, shown):
                return shown
        pytest.fail(f"no {pattern!r} in {shown!r}")

    def end(self) -> None:
        self._process.kill()
        self._process.wait(TIMEOUT_S)
        os.close(self._ours)


# How each starts without the settings of its user, and with its completion system
STARTS = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), ""),
    "zsh": (("zsh", "-f", "-i"), "autoload -U compinit; compinit -u -D\n"),
}


@pytest.fixture(scope="module", params=STARTS)
def shell(request: pytest.FixtureRequest, directory: Path) -> Iterator[Shell]:
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    program, first = STARTS[name]
    started = Shell([*program], directory, first + SCRIPTS[name])
    yield started
    started.end()


@pytest.mark.parametrize(("typed", "completed"), CASES.values(), ids=CASES)
def test_a_shell_completes(shell: Shell, typed: str, completed: str) -> None:
    # Ctrl-A and Ctrl-E: `echo` in front shows the words that the shell made
    shell.type(f"c10k {typed}\t\x01echo got: \x05\n")

    assert f"got: c10k {completed}" in shell.until(r"\ngot: .*\n")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("typed", "completed"), CASES.values(), ids=CASES)
def test_fish_completes(directory: Path, typed: str, completed: str) -> None:
    (directory / "c10k.fish").write_text(SCRIPTS["fish"])
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source c10k.fish; complete -C 'c10k {typed}'"],
        cwd=directory,
        env={**os.environ, "PATH": f"{directory / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]

    assert completed.split()[-1] in offered, done.stderr

"""Runs `c10k` as a person does: a process of its own, real servers, a directory of its own.

The host's lock allows one campaign at a time, so these tests cannot run in parallel; a campaign
that somebody else runs on this machine makes them fail with its owner's name.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.backends.roster import TOKEN_VARIABLE
from harness.host import procfs
from harness.host.lock import LOCK_VARIABLE
from harness.load import forkserver

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 180
CELL_S = 120

PROFILE = """
summary = "A few connections for a moment."
ranked = false
selftest = {selftest}
xray = {xray}
trials = {trials}
conformance = "{conformance}"

[traffic]
spin = {spin}

[timing]
warmup_s = 0.1
window_s = {window_s}

[timeouts]
ready_s = {ready_s}
connect_s = 6
settle_s = 2
stop_s = 3

[[scenarios]]
name = "ramp"
connections = [{connections}]

[[scenarios]]
name = "idle"
connections = [{connections}]
active = {active}
"""

USUAL = {"trials": 1, "window_s": 0.4, "connections": "50", "active": 10, "conformance": "off"}
USUAL |= {"selftest": "false", "xray": "false", "spin": "true", "ready_s": 3}


@dataclass(frozen=True)
class Finished:
    """One run of the command."""

    code: int
    out: str
    err: str
    reports: Path

    @property
    def directory(self) -> Path:
        """The one campaign's directory."""
        (head,) = self.reports.glob("*/campaign.json")
        return head.parent

    def head(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.directory / "campaign.json").read_text())
        return loaded

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.directory / name
        return [json.loads(line) for line in path.read_text().splitlines()]

    @property
    def cells(self) -> list[dict[str, Any]]:
        return self.lines("trials.jsonl")

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        return self.lines("outcomes.jsonl")


@contextmanager
def commands(directory: Path) -> Iterator[C10k]:
    """The command in a directory of its own; what it started is killed at the end."""
    c10k = C10k(directory, [])
    try:
        yield c10k
    finally:
        for process in c10k.started:
            if process.poll() is None:
                process.kill()
            process.wait(30)


@dataclass
class C10k:
    """The command with a profile and servers of the test."""

    directory: Path
    started: list[subprocess.Popen[str]]
    program: tuple[str, ...] = ("-m", "harness.cli")

    @property
    def reports(self) -> Path:
        return self.directory / "reports"

    @property
    def servers(self) -> Path:
        return self.directory / "servers"

    def profile(self, **settings: object) -> Path:
        path = self.directory / "tiny.toml"
        path.write_text(PROFILE.format(**{**USUAL, **settings}))
        return path

    def add_server(self, name: str, program: str, extra: str = "") -> Path:
        """A variant in Python, with the source `program`."""
        directory = self.servers / name
        directory.mkdir(parents=True)
        (directory / "server.py").write_text(program)
        (directory / "Dockerfile").write_text(
            "ARG BASE=debian:bookworm-slim\n"
            "FROM ${BASE}\n"
            "RUN apt-get update && apt-get install -y --no-install-recommends python3\n"
            "COPY server.py /server.py\n"
            'ENTRYPOINT ["python3", "/server.py"]\n'
        )
        (directory / "variant.toml").write_text(
            f'title = "{name}"\narchitecture = "test"\nlanguage = "Python"\nsummary = "A test."\n'
            f"{extra}\n[process]\ncommand = [{json.dumps(sys.executable)}, "
            '"server.py"]\n'
        )
        return directory

    def start(
        self, *arguments: str | Path, under: tuple[str, ...] = (), terminal: int | None = None
    ) -> Any:
        """Start it without waiting; `terminal` is a descriptor that its streams are then."""
        process = subprocess.Popen(
            # A shell's background job inherits an ignored SIGINT, which c10k leaves ignored.
            [
                *("env", "--default-signal=INT,HUP", *under),
                *(sys.executable, *self.program, *map(str, arguments)),
            ],
            cwd=ROOT,
            env={**os.environ, "C10K_REPORTS": str(self.reports)},
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.PIPE if terminal is None else terminal,
            text=True,
        )
        self.started.append(process)
        return process

    def await_cell(self, process: Any) -> None:
        """Wait until a campaign has measured a cell; fail with what it printed if it does not."""
        cells = partial(self.reports.glob, "*/trials.jsonl")
        deadline = time.monotonic() + CELL_S
        while process.poll() is None and not any(cells()):
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGINT)  # it then says where it stood
                break
            time.sleep(0.05)
        if not any(cells()):
            pytest.fail(f"no cell was measured: {self.finish(process)}")

    def finish(self, process: Any) -> Finished:
        out, err = process.communicate(timeout=TIMEOUT_S)
        return Finished(process.returncode, out, err, self.reports)

    def __call__(self, *arguments: str | Path, under: tuple[str, ...] = ()) -> Finished:
        return self.finish(self.start(*arguments, under=under))

    def run(self, profile: Path, *arguments: str | Path, under: tuple[str, ...] = ()) -> Finished:
        """`c10k run` in the process backend with the test's own servers if it has any."""
        if self.servers.is_dir():
            arguments = ("--servers-dir", self.servers, *arguments)
        usual = ("--backend", "process", "--profile", profile, "--seed", "7")
        return self("run", *usual, *arguments, under=under)


def wait_for(condition: Callable[[], Any], timeout_s: float = 60) -> Any:
    """Poll until `condition` gives something true; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"waited {timeout_s} s in vain")


def is_forked(process: Path) -> bool:
    """Whether a directory of /proc is that of a fork server of loads, or of what it forked.

    The fork server of a backend that this very process made ends with that backend.
    """
    with contextlib.suppress(OSError):
        command = (process / "cmdline").read_bytes().split(b"\0")
        parent = procfs.process_stat((process / "stat").read_text()).parent
        return forkserver.__name__.encode() in command and parent != os.getpid()
    return False


def marked_processes() -> list[int]:
    """Processes that a campaign under our lock started, by their environment.

    Of a load that was forked, and of its fork server, the kernel shows the latter's environment.
    """
    lock = os.environb.get(LOCK_VARIABLE.encode())
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            pairs = (entry.partition(b"=") for entry in path.read_bytes().split(b"\0"))
        except OSError:
            continue
        told = {name: value for name, _, value in pairs}
        is_started = TOKEN_VARIABLE.encode() in told or is_forked(path.parent)
        if is_started and told.get(LOCK_VARIABLE.encode()) == lock:
            found.append(int(path.parent.name))
    return found

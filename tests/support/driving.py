"""Take a server through the suite, as a campaign does, but without one.

The suite gets a network namespace of its own where the kernel allows that, and the servers that it
asks for are started in there. What comes back are the results and how each server ended.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.conformance.suite_results import MAIN, REFUSAL_S, CheckResult, End, conclude
from harness.contract import suite_events
from harness.contract.suite_spec import Subset, SuiteSpec
from harness.host.bounded_output import Amount, Written
from harness.plan.limits import BACKLOG, SYSCTLS

ROOT = Path(__file__).resolve().parents[2]
STOP_S = 3.0
NOFILE = 12_000
BUILD_S = 300.0
PORTS = 10  # the main server's, and those that follow
_PORTS = itertools.count(17_000, PORTS)
_BUILDING = threading.Lock()  # variants of one language share objects


@dataclass(frozen=True, slots=True)
class Subject:
    """A server to take through the suite, and what its variant.toml says of it."""

    name: str
    directory: Path
    command: tuple[str, ...]
    build: tuple[str, ...] = ()
    connections_max: int | None = None
    beyond: str | None = None
    counters: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """One server, and what is run against it."""

    subject: Subject
    checks: Subset = "quick"
    only: tuple[str, ...] | None = None
    on_a_path: bool = False

    def __str__(self) -> str:
        words = [self.subject.name, "full" * (self.checks == "full"), "unix" * self.on_a_path]
        return "-".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite found."""

    results: tuple[CheckResult, ...]
    failure: dict[str, Any] | None
    ends: dict[str, End]
    duration_s: float
    log: str

    @property
    def failed(self) -> set[str]:
        """Ids of the checks that failed."""
        return {result.id for result in self.results if result.status == "fail"}

    def __str__(self) -> str:
        lines = [f"{r.status} {r.id} {r.name}: {r.text}" for r in self.results]
        return "\n".join([*lines, str(self.failure or ""), self.log])


@functools.cache
def namespace_commands() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How to make and to join a network namespace; two empty tuples where that is refused."""
    unshare: tuple[str, ...] = ("unshare", "--net")
    nsenter: tuple[str, ...] = ("nsenter", "--net", "--target")
    if os.geteuid() != 0:
        unshare = ("unshare", "--user", "--map-current-user", "--keep-caps", "--net")
        nsenter = ("nsenter", "--user", "--preserve-credentials", "--net", "--target")
    try:
        done = subprocess.run([*unshare, "true"], capture_output=True, timeout=10)
    except FileNotFoundError:
        return (), ()
    return (unshare, nsenter) if done.returncode == 0 else ((), ())


def free_ports() -> int:
    """A port after which the next ones are free as well, another one at each call."""
    for first in _PORTS:
        with suppress(OSError):
            for port in range(first, first + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


def build(subject: Subject) -> None:
    """Build it, as its variant.toml says."""
    if subject.build:
        with _BUILDING:
            done = subprocess.run(
                subject.build,
                cwd=subject.directory,
                capture_output=True,
                text=True,
                timeout=BUILD_S,
            )
        assert done.returncode == 0, done.stderr


class Drive:
    """One run of the suite."""

    def __init__(self, case: Case, directory: Path) -> None:
        self._subject = case.subject
        self._directory = directory
        unshare, self._nsenter = namespace_commands()
        port = 7000 if unshare else free_ports()
        path = f"unix://{directory}/main.sock"
        self._listen = path if case.on_a_path else f"tcp://0.0.0.0:{port}"
        self._address = path if case.on_a_path else f"tcp://127.0.0.1:{port}"
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, Any] = {}
        self._ends: dict[str, End] = {}
        self._events: list[dict[str, Any]] = []
        self._suite_log = tempfile.TemporaryFile()  # noqa: SIM115
        spec = self._spec(case, isolated=bool(unshare))
        self._suite = subprocess.Popen(
            [*unshare, sys.executable, "-m", "harness.conformance"],
            cwd=ROOT,
            env=os.environ | spec.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._suite_log,
            start_new_session=True,
        )

    def run(self, timeout_s: float) -> Verdict:
        """Run it to its end; nothing that it started is left. Raises AssertionError on a hang."""
        start_s = time.monotonic()
        watchdog = threading.Timer(timeout_s, self._suite.kill)
        watchdog.start()
        try:
            self._follow()
            ends = self._stop()
        finally:
            hung = not watchdog.is_alive()
            watchdog.cancel()
            self._discard()
        log = _text(self._suite_log)
        assert not hung, f"{self._subject.name}: no end after {timeout_s:g} s\n{log}"
        failures = [event for event in self._events if event["event"] == "failure"]
        return Verdict(
            results=conclude([suite_events.parse(event) for event in self._events], ends),
            failure=failures[0] if failures else None,
            ends=ends,
            duration_s=time.monotonic() - start_s,
            log=log,
        )

    def _follow(self) -> None:
        assert self._suite.stdout is not None
        for line in self._suite.stdout:
            event = json.loads(line)
            self._events.append(event)
            if event["event"] == "hello":
                self._start(MAIN, {})
            elif event["event"] == "restart":
                self._servers.pop(MAIN).wait(STOP_S)
                self._start(MAIN, event["env"])
            elif event["event"] == "start":
                self._start(event["name"], event["env"])
                if event["refuses"]:
                    self._await_refusal(event["name"])
            elif event["event"] in ("done", "failure"):
                return

    def _start(self, name: str, variables: dict[str, str]) -> None:
        self._logs[name] = tempfile.TemporaryFile()  # noqa: SIM115
        join = [*self._nsenter, str(self._suite.pid)] if self._nsenter else []
        usual = {"LISTEN": self._listen, "BACKLOG": str(BACKLOG)}
        self._servers[name] = subprocess.Popen(
            [*join, "prlimit", f"--nofile={_nofile()}", "--", *self._subject.command],
            cwd=self._subject.directory,
            env={**os.environ, **usual, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._logs[name],
            start_new_session=True,
        )

    def _await_refusal(self, name: str) -> None:
        server = self._servers.pop(name)
        with suppress(subprocess.TimeoutExpired):
            server.wait(REFUSAL_S)
        self._ends[name] = End(server.poll(), _text(self._logs[name]))
        _kill(server)

    def _stop(self) -> dict[str, End]:
        """End all servers by SIGTERM, and read what they wrote."""
        for server in self._servers.values():
            server.terminate()
        for server in self._servers.values():
            with suppress(subprocess.TimeoutExpired):
                server.wait(STOP_S)
        return self._ends | {
            name: End(server.poll(), _text(self._logs[name]), wrote=_amount(self._logs[name]))
            for name, server in self._servers.items()
        }

    def _discard(self) -> None:
        for process in (*self._servers.values(), self._suite):
            _kill(process)
        assert self._suite.stdout is not None
        self._suite.stdout.close()

    def _spec(self, case: Case, *, isolated: bool) -> SuiteSpec:
        subject = case.subject
        return SuiteSpec(
            address=self._address,
            checks=case.checks,
            only=case.only,
            connections_max=subject.connections_max,
            beyond=subject.beyond,
            counters=subject.counters,
            directory=str(self._directory),
            cpus=tuple(sorted(os.sched_getaffinity(0))),
            prepare_namespace=isolated,
            sysctls=SYSCTLS if isolated else {},
            ready_s=10,
            shares_cpus=False,
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # its children too: they are of its session
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_S)


def _nofile() -> int:
    return min(NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _amount(file: Any) -> Amount:
    file.seek(0)
    written = Written()
    written.add(file.read())
    return written.amount


def _text(file: Any) -> str:
    file.seek(0)
    text: str = file.read().decode(errors="replace")
    return text

"""Run a campaign in order to kill it: its place, the processes it started, and what remains."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients import ROOT
from private_engine import PrivateEngine

from harness.backends.confinement import LOCK_LABEL
from harness.backends.roster import SUFFIX
from harness.host import server_processes
from harness.host.lock import LOCK_VARIABLE
from harness.load import forkserver
from harness.store.campaign_store import REPORT_FILE, Campaign, campaigns

SERVERS = ("poll", "epoll-lt")
PROFILE = """
summary = "To be killed."
ranked = false
trials = 2
conformance = "off"

[timing]
warmup_s = 0.1
window_s = 0.5

[[scenarios]]
name = "ramp"
connections = [100]

[[scenarios]]
name = "idle"
connections = [100]
active = 10
"""
COMMAND_S = 300.0
LOOK_S = 0.01
GONE_S = 5.0
GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Ended:
    """The output and exit code of a command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Running:
    """A running command."""

    process: subprocess.Popen[str]

    def finish(self) -> Ended:
        """Wait for its end. Raises TimeoutExpired if it hangs, after killing it."""
        try:
            out, err = self.process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return Ended(self.process.returncode, out, err)


class Place:
    """A directory with its own reports and its own lock, which identify everything it starts."""

    def __init__(self, directory: Path, engine: PrivateEngine | None) -> None:
        """`engine` runs the campaign; without one, the process backend does."""
        directory.mkdir(parents=True)
        self._engine = engine
        self._backend = "docker" if engine else "process"
        self._lock = directory / "lock"
        self._reports = directory / "reports"
        self._profile = directory / "kill.toml"
        self._profile.write_text(PROFILE)

    def start(self) -> Running:
        """Start the campaign."""
        names = ",".join(SERVERS)
        arguments = ("--profile", str(self._profile), "--servers", names, "--seed", "7")
        return self._begin("run", "--backend", self._backend, *arguments)

    def command(self, name: str, *arguments: str) -> Ended:
        """Run another command here, to its end."""
        backend = ("--backend", self._backend) if name == "clean" else ()
        return self._begin(name, *backend, *arguments).finish()

    def whole_s(self) -> float:
        """Time a campaign without a kill. Exits the program if it fails."""
        start_s = time.monotonic()
        done = self.start().finish()
        if done.code != 0:
            sys.exit(f"a campaign without a kill ended with {done.code}: {done.err}{done.out}")
        return time.monotonic() - start_s

    def campaign(self) -> Campaign | None:
        """The campaign; None if it has not begun."""
        found = campaigns(self._reports) if self._reports.is_dir() else []
        return found[0] if found else None

    def hit(self, run: Running, victim: str, by: signal.Signals, moment_s: float) -> bool:
        """Send the signal at the moment, once a victim exists; False if the run ended first."""
        while run.process.poll() is None:
            if time.monotonic() >= moment_s and self._send(run, victim, by):
                return True
            time.sleep(LOOK_S)
        return False

    def marks(self) -> set[str]:
        """Words in the names of control groups that the campaign may have made."""
        found = set()
        for roster in self._lock.parent.glob(f"{self._lock.name}.{SUFFIX}-*"):
            for line in roster.read_text().splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    found.add(str(json.loads(line)["token"]))
        return found

    def left_behind(self, marks: set[str]) -> list[str]:
        """Describe everything that the campaign started and that is still there."""
        end_s = time.monotonic() + GONE_S
        while (found := list(self._processes())) and time.monotonic() < end_s:
            time.sleep(LOOK_S)
        left = [f"process {pid} is left: {' '.join(words)}" for pid, words in found]
        for group in GROUPS.glob("**/c10k-*") if marks else ():
            if any(mark in group.name for mark in marks):
                left.append(f"control group {group} is left")
        if self._engine is not None:
            left += [f"{one.name} is left" for one in (*self._containers(), *self._volumes())]
        return left

    def _begin(self, *arguments: str) -> Running:
        # A shell's background job inherits an ignored SIGINT, and c10k keeps it ignored
        signals = ("env", "--default-signal=INT,HUP")
        process = subprocess.Popen(
            [*signals, sys.executable, "-m", "harness.cli", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                LOCK_VARIABLE: str(self._lock),
                "C10K_REPORTS": str(self._reports),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return Running(process)

    def _send(self, run: Running, victim: str, by: signal.Signals) -> bool:
        if victim == "harness":
            run.process.send_signal(by)
            return True
        if self._engine is not None:
            if victim == "engine":
                self._engine.end(by)
                return True
            return self._send_inside(victim, by)
        for pid in self._victims(victim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, by)
                return True
        return False

    def _send_inside(self, victim: str, by: signal.Signals) -> bool:
        import docker.errors

        for container in self._containers():
            if str(container.name).endswith(f"-{victim}"):
                with contextlib.suppress(docker.errors.APIError):  # it has ended
                    container.kill(signal=by.name)
                    return True
        return False

    def _victims(self, victim: str) -> Iterator[int]:
        """Processes of one kind. A load is a child of a fork server."""
        seen = dict(self._processes())
        parents = server_processes.processes()
        for pid, words in seen.items():
            parent = parents[pid].parent if pid in parents else 0
            is_load = forkserver.__name__ in words and forkserver.__name__ in seen.get(parent, ())
            is_server = Path(words[0]).name in SERVERS
            if is_load if victim == "load" else is_server:
                yield pid

    def _processes(self) -> Iterator[tuple[int, list[str]]]:
        """Living processes with our lock in their environment, and their command lines."""
        mark = f"{LOCK_VARIABLE}={self._lock}".encode()
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    words = (path / "cmdline").read_bytes().split(b"\0")
                    yield int(path.name), [word.decode(errors="replace") for word in words]

    def _containers(self) -> list[Any]:
        found = _engine().containers.list(all=True, filters=self._label, ignore_removed=True)
        return list(found)

    def _volumes(self) -> list[Any]:
        return list(_engine().volumes.list(filters=self._label))

    @property
    def _label(self) -> dict[str, str]:
        return {"label": f"{LOCK_LABEL}={self._lock}"}


def _engine() -> Any:
    import docker

    return docker.from_env()


def unreadable(campaign: Campaign) -> list[str]:
    """Rule 4: describe what is wrong with the campaign's report."""
    path = campaign.directory / REPORT_FILE
    if not path.is_file():
        return ["there is no report"]
    text = path.read_text(encoding="utf-8")
    if not text.rstrip().endswith("</html>") or campaign.name not in text:
        return [f"the report is incomplete: {len(text)} characters"]
    return [f"{one.name} is left" for one in campaign.directory.glob(".*.partial")]

"""Runs `python -m harness.load` beside a real server in a network namespace of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / "servers"
FRAIL = Path(__file__).with_name("frail_server.py")
PORT = 7000
EVENT_TIMEOUT_S = 60.0

Event = dict[str, Any]


def cell(scenario: str, connections: int, active: int = 0, window_s: float = 0.0) -> Event:
    """One cell of a trial; without a window it is a ramp."""
    return {
        "scenario": scenario,
        "connections": connections,
        "active": active,
        "payload_bytes": 64,
        "depth": 1,
        "rate_per_s": None,
        "warmup_s": 0.1 if window_s else 0,
        "window_s": window_s,
    }


def step(connections: int, *, active: int = 10, window_s: float = 0.2) -> Event:
    """A ramp and one cell with traffic."""
    return {
        "connections": connections,
        "cells": [
            cell("ramp", connections),
            cell("idle", connections, min(active, connections), window_s),
        ],
    }


def spec(*steps: Event, **changes: Any) -> Event:
    """A trial as the harness would write it; its cells are counted through."""
    cpus = sorted(os.sched_getaffinity(0))
    planned = steps or (step(20),)
    for index, one in enumerate(cell for each in planned for cell in each["cells"]):
        one["index"] = index
    return {
        "schema": 1,
        "campaign": "test",
        "trial": "1-test",
        "variant": "test",
        "address": f"tcp://127.0.0.1:{PORT}",
        "seed": 7,
        "server_cpus": [cpus[-1]],
        "load_cpus": [cpus[0]],
        "workers": 0,
        "prepare_namespace": True,
        "sysctls": {"net.core.somaxconn": "8192"},
        "ceiling": None,
        "timeouts": {"ready_s": 5, "connect_s": 3, "settle_s": 1, "stop_s": 2},
        "steps": list(planned),
        **changes,
    }


class LoadRun:
    """One load process, its events so far, and the server that a test puts beside it."""

    def __init__(self, trial: Event, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.events: list[Event] = []
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._hung_up = threading.Event()
        self.server: subprocess.Popen[str] | None = None
        self.process = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-m", "harness.load"],
            cwd=ROOT,
            env={**os.environ, "C10K_TRIAL": json.dumps(trial)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        stack.callback(self._end)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                event = json.loads(line)
                self._queue.put(event)
                if event["event"] in ("account", "sample", "spent"):
                    self.reply()
                if self._hung_up.is_set():
                    break
        self._queue.put(None)

    def hang_up(self) -> None:
        """Read one more event, then close this end of the stream."""
        self._hung_up.set()

    def until(self, *kinds: str) -> Event:
        """Follow the events up to the first of one of these kinds."""
        while True:
            event = self._queue.get(timeout=EVENT_TIMEOUT_S)
            assert event is not None, f"the load ended first: {self.stderr()}"
            self.events.append(event)
            if event["event"] in kinds:
                return event

    def to_end(self) -> Event:
        """Follow the events to the trial's last one."""
        return self.until("done", "failure")

    def reply(self, **members: Any) -> None:
        """Let a load go on that asked for its turn, or for a reading of the harness (nothing)."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone
            self.process.stdin.write(json.dumps(members) + "\n")
            self.process.stdin.flush()

    def of(self, kind: str) -> list[Event]:
        """The events of one kind so far."""
        return [event for event in self.events if event["event"] == kind]

    def serve(self, command: list[str], listen: str = f"tcp://0.0.0.0:{PORT}") -> None:
        """Start a server in the load's namespace, once the load has said hello."""
        self.until("hello")
        self.server = subprocess.Popen(
            ["nsenter", "--target", str(self.process.pid), "--net", *command],
            env={**os.environ, "LISTEN": listen, "BACKLOG": "4096"},
            stderr=subprocess.PIPE,
            text=True,
        )

    def serve_epoll(self, listen: str = f"tcp://0.0.0.0:{PORT}") -> None:
        """Start the level-triggered epoll variant."""
        self.serve([str(SERVERS / "build" / "epoll-lt")], listen)

    def serve_frail(self, *options: str) -> None:
        """Start the test's own server."""
        self.serve([sys.executable, str(FRAIL), str(PORT), *options])

    def counters(self) -> dict[str, int]:
        """End the server and return what it counted itself."""
        assert self.server is not None
        self.server.terminate()
        stderr = self.server.communicate(timeout=10)[1]
        counters: dict[str, int] = json.loads(stderr.splitlines()[-1])["counters"]
        return counters

    def stop(self) -> int:
        """SIGTERM; the exit code, which has to come within 2 s."""
        self.process.terminate()
        return self.process.wait(timeout=2)

    def stderr(self) -> str:
        """What the load wrote to its log; waits for its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def workers(self) -> list[int]:
        """PIDs of the load's children."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def _end(self) -> None:
        for process in (self.server, self.process):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def vanish(pids: list[int], timeout_s: float) -> bool:
    """Wait until none of the processes runs any more."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextlib.contextmanager
def load_runs() -> Iterator[Any]:
    """Makes load processes that end with the test, however it ends."""
    with contextlib.ExitStack() as stack:
        yield lambda trial: LoadRun(trial, stack)


def killed(process: subprocess.Popen[str]) -> None:
    """SIGKILL, and reap."""
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=5)

"""Shared by the comparisons of clients: a private network, a server, and two ways to load it.

The engine runs under Locust, as `python -m harness.load`; the independent client is
`independent_client.cpp`. Server and client have a CPU each, and only one client runs at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract.trial_spec import Cell, Step, Timeouts, TrialSpec, placed
from harness.host import namespace, survey

ROOT = Path(__file__).resolve().parents[1]
HOST, PORT = "127.0.0.1", 7000
INSIDE = "C10K_BENCH_INSIDE"  # set in the process that has the private namespace
SYSCTLS = {"net.core.somaxconn": "16384", "net.ipv4.ip_local_port_range": "1024 65535"}
RUN_TIMEOUT_S = 120
READY_TIMEOUT_S = 10
STOP_TIMEOUT_S = 10
SEED = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Length of each run, and its CPUs."""

    warmup_s: float
    window_s: float
    server_cpu: int
    client_cpu: int
    independent_client: Path


@dataclass(frozen=True, slots=True)
class Load:
    """Results of the engine: its cells of opening and of traffic, and the process's peak memory."""

    ramp: dict[str, Any]
    active: dict[str, Any]
    memory_mb: float


def enter_namespace() -> None:
    """Re-execute in a private network namespace, with loopback up and all descriptors allowed."""
    if INSIDE not in os.environ:
        # Without root it needs no privilege if the user is mapped too.
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        command = ["unshare", "--net", *user, sys.executable, *sys.argv]
        os.execvpe("unshare", command, os.environ | {INSIDE: "1"})  # noqa: S606
    namespace.prepare(SYSCTLS)
    namespace.raise_nofile()


def warn_if_busy() -> None:
    """Warn of other processes that run, because they make the figures unreliable."""
    busy = survey.busy_processes()
    if busy:
        named = ", ".join(f"{name} ({share:.0%} of a CPU)" for name, share in busy[:3])
        print(f"warning: not alone on this host: {named}", file=sys.stderr)


def cpus() -> tuple[int, int]:
    """The server's CPU and the client's. Exits the program if there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit("this needs two CPUs: one for the server, one for the client")
    return allowed[1], allowed[0]


def build_client(directory: Path) -> Path:
    """Compile the independent client."""
    program = directory / "independent_client"
    source = str(ROOT / "bench/independent_client.cpp")
    subprocess.run(["c++", "-std=c++20", "-O2", "-o", str(program), source], check=True)
    return program


@contextlib.contextmanager
def served(variant: str, cpu: int, port: int = PORT) -> Iterator[int]:
    """Run one of our own servers in C++, listening; yield its process id."""
    subprocess.run(["make", "-s", "-C", str(ROOT / "servers"), variant], check=True)
    server = subprocess.Popen(
        ["taskset", "-c", str(cpu), str(ROOT / "servers/build" / variant)],
        env=os.environ | {"LISTEN": f"tcp://{HOST}:{port}", "BACKLOG": "16384"},
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_listener(port)
        yield server.pid
    finally:
        server.terminate()
        server.wait(STOP_TIMEOUT_S)


def _await_listener(port: int) -> None:
    """Wait until the server listens. Raises OSError if it does not in time."""
    give_up = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            socket.create_connection((HOST, port), timeout=READY_TIMEOUT_S).close()
        except ConnectionRefusedError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def run_engine(variant: str, connections: int, settings: Settings, *, spin: bool = True) -> Load:
    """Run the engine under Locust, in a closed loop over all connections.

    `spin`: it polls, as in campaigns; otherwise it sleeps, like the other clients.
    """
    load = subprocess.Popen(
        [sys.executable, "-m", "harness.load"],
        cwd=ROOT,
        env=os.environ | _trial(variant, connections, settings, spin).variables(),
        stdout=subprocess.PIPE,
        text=True,
    )
    # If the load hangs, its end closes its output, which ends the loop over its events.
    signal.alarm(RUN_TIMEOUT_S)
    try:
        ramp, active = (event for event in _events(load) if event["event"] == "cell")
        memory_mb = _memory_peak_mb(load.pid)
    finally:
        signal.alarm(0)
        load.terminate()
        load.wait(STOP_TIMEOUT_S)
    return Load(ramp, active, memory_mb)


def run_program(program: list[str], connections: int, settings: Settings) -> dict[str, Any]:
    """Run a client that prints its figures as JSON, on the client's CPU."""
    times = [str(settings.warmup_s), str(settings.window_s)]
    command = ["taskset", "-c", str(settings.client_cpu), *program, HOST, str(PORT)]
    done = subprocess.run(
        [*command, str(connections), *times],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=RUN_TIMEOUT_S,
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _trial(variant: str, connections: int, settings: Settings, spin: bool) -> TrialSpec:
    """Plan one step for `python -m harness.load`: open all, then drive all."""
    ramp = Cell("ramp", connections, 0, 64, 1, None, 0.0, 0.0)
    times = (settings.warmup_s, settings.window_s)
    active = Cell("active", connections, connections, 64, 1, None, *times)
    return TrialSpec(
        campaign="bench",
        trial=f"1-{variant}",
        variant=variant,
        address=f"tcp://{HOST}:{PORT}",
        seed=SEED,
        server_cpus=(settings.server_cpu,),
        load_cpus=(settings.client_cpu,),
        workers=0,
        spin=spin,
        prepare_namespace=False,
        sysctls={},
        ceiling=None,
        timeouts=Timeouts(ready_s=10, connect_s=30, settle_s=10, stop_s=10),
        steps=placed([Step(connections, (ramp, active))], in_turns=False),
    )


def _events(load: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield the load's events up to its last. Raises RuntimeError with the text of a failure."""
    for line in load.stdout or ():
        event = json.loads(line)
        failure = event if event["event"] == "failure" else event.get("failure")
        if failure:
            raise RuntimeError(failure["text"])
        yield event
        if event["event"] == "done":
            return


def _memory_peak_mb(pid: int) -> float:
    """Peak resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak_kb) / 1024

"""Makes the fleet: Locust's local runner, or its master with one worker process per engine."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import gevent
from locust import runners as locust_runners
from locust.env import Environment

from harness.contract.address import parse
from harness.contract.trial_spec import TrialSpec
from harness.engine import Engine
from harness.load.locust import messages
from harness.load.locust.fleet import Fleet, FleetFault
from harness.load.locust.node import EngineNode
from harness.load.locust.users import LoadEnvironment, StepShape

LOCAL = "local"  # what Locust's local runner calls itself in messages
LOOPBACK = "127.0.0.1"
WORKERS_READY_S = 30.0

# Of the default 28,232 local ports per source address, what a trial may use before another source
# address is needed; the steps before leave theirs in TIME_WAIT.
CONNECTIONS_PER_SOURCE = 20_000

# A connection that ended in order keeps its port for 60 s (TIME_WAIT). 30,000 cycles a second leave
# 1.8 million behind, which is the ports of 33 addresses; with twice as many the kernel still finds
# a free one at once.
CYCLE_SOURCES = 64


def local_fleet(trial: TrialSpec) -> Fleet:
    """One engine in this process. Raises ValueError on an address that the engine refuses."""
    # The hub keeps what the engine's thread does not need, where there are CPUs to share
    # (a server that was there before may be on any of them)
    is_alone = len(trial.load_cpus) == 1 or trial.unseen
    engine_cpu = -1 if is_alone else trial.load_cpus[0]
    engine = make_engine(trial, index=0, cpu=engine_cpu)
    shape = StepShape(trial.connections_max)
    environment = LoadEnvironment(engine, shape)
    node = EngineNode(environment, engine)
    runner = environment.create_local_runner()
    fleet = Fleet(runner, shape, size=1)
    node.attach(runner)
    gevent.spawn(_report_locally, environment)
    return fleet


def _report_locally(environment: Environment) -> None:
    """Do for the local runner what Locust does for a worker: report at an interval."""
    while True:
        gevent.sleep(messages.REPORT_INTERVAL_S)
        data: dict[str, object] = {}
        for hook in (environment.events.report_to_master, environment.events.worker_report):
            hook.fire(client_id=LOCAL, data=data)  # type: ignore[no-untyped-call]


def master_fleet(trial: TrialSpec, workers: list[subprocess.Popen[bytes]]) -> Fleet:
    """One worker process per engine, and Locust's master here.

    Started processes are added to `workers` one by one, for whoever has to end them. Raises
    FleetFault when they do not come up.
    """
    port = _free_port(avoid=parse(trial.address).port)
    shape = StepShape(trial.connections_max)
    environment = LoadEnvironment(None, shape)
    # Locust's master listens on every interface unless it is told otherwise
    runner = environment.create_master_runner(LOOPBACK, port)
    fleet = Fleet(runner, shape, trial.workers, check=_checker(workers))
    for index in range(trial.workers):
        workers.append(_start_worker(index, port))
    deadline_s = time.monotonic() + WORKERS_READY_S
    while not (fleet.complete and runner.worker_count == trial.workers):
        fleet.check()
        if time.monotonic() > deadline_s:
            raise FleetFault(
                f"{runner.worker_count} of {trial.workers} workers came up "
                f"within {WORKERS_READY_S:g} s"
            )
        gevent.sleep(0.02)
    return fleet


def _checker(workers: list[subprocess.Popen[bytes]]) -> Callable[[], None]:
    def check() -> None:
        for index, worker in enumerate(workers):
            if worker.poll() is not None:
                raise FleetFault(f"load worker {index} ended with code {worker.returncode}")

    return check


def _start_worker(index: int, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "harness.load"),
            *("--worker", str(index)),
            *("--master-port", str(port)),
            *("--parent", str(os.getpid())),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def run_worker(trial: TrialSpec, index: int, port: int) -> None:
    """Be one worker: an engine of its own, which obeys the master until the process ends."""
    locust_runners.WORKER_REPORT_INTERVAL = messages.REPORT_INTERVAL_S
    locust_runners.WORKER_LOG_REPORT_INTERVAL = -1  # its log is this process's stderr
    # After the process is pinned, and never before it exists: a thread does not survive fork()
    engine = make_engine(trial, index, cpu=-1)
    environment = LoadEnvironment(engine, None)
    node = EngineNode(environment, engine)
    runner = environment.create_worker_runner(LOOPBACK, port)
    # Without options of its own a worker parses Locust's command line and configuration files
    environment.parsed_options = argparse.Namespace()
    node.attach(runner)
    runner.greenlet.join()


def make_engine(trial: TrialSpec, index: int, cpu: int) -> Engine:
    """The engine of the index-th process of this trial."""
    address = parse(trial.address)
    sources: list[str] = []
    total = sum(step.connections for step in trial.steps)
    # All of 127.0.0.0/8 is this host's own; from there nothing else can be reached
    is_loopback = address.host is not None and address.host.startswith("127.")
    if is_loopback and total > CONNECTIONS_PER_SOURCE:
        count = -(-total // CONNECTIONS_PER_SOURCE)
        sources = [f"127.0.0.{1 + number}" for number in range(min(count, 250))]
    cycle_sources: list[str] = []
    if is_loopback and trial.churns:
        cycle_sources = [f"127.0.0.{2 + number}" for number in range(CYCLE_SOURCES)]
    return Engine(
        trial.address,
        sources=sources,
        cycle_sources=cycle_sources,
        seed=trial.seed + index,
        cpu=cpu,
    )


def _free_port(avoid: int | None) -> int:
    """A port of loopback that nobody uses, and that the server is not about to use."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if port != avoid:
            return port

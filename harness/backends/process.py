"""Run trials without Docker: plain processes in a private network namespace.

    taskset load CPUs │ prlimit │ fork server │ harness.load        makes the namespace
    nsenter --net │ taskset server CPUs │ prlimit │ unshare --pid │ keeper │ ./server   joins it

`unshare`, `nsenter`, `taskset`, `prlimit` and `setpriv` are util-linux, which every Linux has. Only
`unshare --pid` forks. `setpriv --pdeathsig` has the kernel kill the server when the harness dies in
any way. The fork server (harness/backends/load_forks.py) ends with the harness, and the kernel
kills the load with it.

Where this user may make them, a server has its own keeper, PID namespace and control group for CPU
time. Then accounts and clean-up include every process that it forks. It runs as the user of the
load. A PID namespace hides the load from it. Without one it can read, stop and end the load.
"""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness.backends import builds, cpu_time, sweeping
from harness.backends.base import (
    ADDRESS,
    LISTEN,
    NOTHING,
    Context,
    Event,
    EventStream,
    Prepared,
    ServerExit,
    chunks,
    reply_line,
    tail,
)
from harness.backends.kept_server import KeptServer
from harness.backends.load_forks import ForkServer
from harness.backends.roster import Roster
from harness.backends.trial_processes import Recorded
from harness.conformance.suite_results import MAIN
from harness.contract import killed, server_counters
from harness.contract.address import Address, parse
from harness.contract.errors import HostNotFit, Interrupted, ServerFault
from harness.contract.statuses import FailureCode
from harness.host import cgroups, compilers, interrupt, isolation, server_processes, sockets
from harness.host.bounded_output import WrittenPipe
from harness.host.cpu_accounting import Charged
from harness.host.fair_wait import Wait
from harness.host.isolation import Namespaces
from harness.host.wait_budget import Reading
from harness.plan.limits import BACKLOG, SYSCTLS, clamp
from harness.variants import sources
from harness.variants.strict_toml import FileProblems
from harness.variants.variant_files import Variant

LOAD_STOP_S = 5.0
# If a server without SO_REUSEADDR closes connections first, the kernel keeps the port for a minute
# (TCP_TIMEWAIT_LEN in net/tcp.h).
KEPT_PORT_S = 65.0
KEPT_PORT_LOOK_S = 0.25


class ProcessBackend:
    """Run servers and load as processes of this host."""

    name = "process"
    confines_cpus = False

    def __init__(self) -> None:
        if missing := isolation.missing_tools():
            raise HostNotFit(f"not found: {', '.join(missing)}", hint="apt-get install util-linux")
        found = isolation.found()
        self._namespaces = found.namespaces
        self._unshare_pids = found.unshare_pids
        self.isolated = self._namespaces is not None
        self._roster = Roster()
        self._accountant = cpu_time.Accountant()
        self._fork_servers: dict[tuple[str, ...], ForkServer] = {}
        self._mutex = threading.Lock()

    def prepare_load(self, timeout_s: float) -> None:
        """Do nothing: the load is part of this package."""

    def place(self, variant: Variant) -> str:
        """The directory of `make -C` in its build command, or its own."""
        build = variant.file.process.build if variant.file.process else ()
        return str(builds.make_directory(build, variant.directory))

    def prepare(self, variant: Variant, timeout_s: float) -> Prepared:
        """Run the server's build command in its directory."""
        run = variant.file.process
        if run is None:
            raise ServerFault(
                f"{variant.name}: its variant.toml has no `[process]`",
                code=FailureCode.NO_PROCESS,
                hint="Add `[process] command`, or use `--backend docker`.",
            )
        missing = " ".join(run.missing_packages())
        if missing:
            raise ServerFault(
                f"{variant.name}: not installed here: {missing}",
                code=FailureCode.BUILD_FAILED,
                hint=f"apt-get install {missing}",
            )
        before = variant.sources.stamps()
        if run.build:
            builds.build(variant.name, run.build, variant.directory, timeout_s)
        try:
            outputs = sources.written(before, variant.sources.stamps())
        except FileProblems as problems:
            raise ServerFault(
                f"{variant.name}: its build wrote too much among its sources: {problems.message}",
                code=FailureCode.BUILD_FAILED,
                hint="Change the build to write into a directory `build`, which is no source.",
            ) from None
        builds.require_program(variant.name, run.command, variant.directory)
        runtime = builds.runtime_of(variant, timeout_s) if variant.file.runtime else None
        build = compilers.producer(variant.directory / run.command[0])
        what, digest = " ".join(run.command), variant.digest(outputs)
        return Prepared(variant, what, digest, runtime, build, outputs)

    @contextmanager
    def open(self, context: Context) -> Iterator[ProcessTrial]:
        """Start the load in a namespace of its own; kill load and server on leaving."""
        if not self.isolated:
            _require_free_port()
        trial = ProcessTrial(
            context,
            Recorded(self._roster),
            self._namespaces,
            self._unshare_pids,
            self._fork_server,
            self._accountant,
        )
        try:
            yield trial
        finally:
            trial.close()

    def _fork_server(self, prefix: tuple[str, ...]) -> ForkServer:
        with self._mutex:
            if prefix not in self._fork_servers:
                self._fork_servers[prefix] = ForkServer(prefix)
            return self._fork_servers[prefix]

    def sweep(self) -> list[str]:
        """Kill what the roster lists of killed campaigns under the lock that the caller holds."""
        return [f"process {pid}" for pid in sweeping.sweep(self._roster)]

    def environment(self) -> dict[str, object]:
        """Whether trials have their own namespaces, and whether a server can reach the load."""
        return {
            "isolated": self.isolated,
            "namespace": " ".join(self._namespaces.make) if self._namespaces else None,
            "pid_namespace": " ".join(self._unshare_pids) or None,
            # Server and load have the same user, so the server must not see the load
            "guards_load": bool(self._unshare_pids),
        }


class ProcessTrial:
    """One load process and its servers."""

    def __init__(
        self,
        context: Context,
        processes: Recorded,
        namespaces: Namespaces | None,
        unshare_pids: tuple[str, ...],
        fork_server: Callable[[tuple[str, ...]], ForkServer],
        accountant: cpu_time.Accountant,
    ) -> None:
        self._context = context
        self._accountant = accountant
        self._processes = processes
        self._namespaces = namespaces
        self._unshare_pids = unshare_pids
        self._servers: dict[str, KeptServer] = {}
        self._exits: dict[str, ServerExit] = {}
        self.clamps: list[str] = []
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self._nofile, clamped = clamp("nofile", context.asked.nofile, hard)
        if clamped:
            self.clamps.append(str(clamped))
        self._oom_kills = cgroups.oom_kills_here()
        self._load_log = WrittenPipe()
        told = context.variables(
            sysctls=SYSCTLS if namespaces else {},
            prepare_namespace=namespaces is not None,
            directory=None,
            tree="init" if unshare_pids else "keeper",
        )
        user = namespaces.user if namespaces else ()
        self._load = self._processes.fork(
            fork_server((*user, *self._limited(context.cpus.load))),
            context.module,
            variables=told,
            log=self._load_log.writer,
            has_network=namespaces is not None,
        )
        self._load_log.close_writer()
        self._events = EventStream(chunks(self._load.stdout))

    def next_event(self, timeout_s: float) -> Event | None:
        """Wait for the load's next event."""
        event = self._events.next(timeout_s)
        if event is None and (how := self._killed(self._load.exit_code())):
            raise Interrupted(f"the load of {self._context.name} was ended: {how}")
        return event

    def reply(self, **members: Any) -> None:
        """Answer a load that sent a request and waits."""
        self._load.write(reply_line(members))

    def charged(self) -> Charged:
        """CPU time that the kernel charged to the server's control group, where it has one."""
        return self._accountant.settled(self._servers[MAIN].group, self._context.cpus.server)

    def spent(self) -> Reading:
        """CPU time of the servers and of their CPUs so far."""
        seen = server_processes.processes()
        own_ns = sum(_own_ns(server, seen) for server in self._servers.values())
        return cpu_time.reading(own_ns, self._context.cpus.server)

    def start_server(self, name: str = MAIN, variables: Mapping[str, str] = NOTHING) -> None:
        """Start a server in the load's namespace."""
        variant = self._context.prepared.variant
        assert variant.file.process is not None  # noqa: S101 (prepare() made sure)
        self._discard(name)
        join = self._namespaces.join(self._load.pid) if self._namespaces else ()
        limited = self._limited(self._context.cpus.server)
        self._servers[name] = KeptServer(
            self._processes,
            [*join, *limited, "setpriv", "--pdeathsig", "KILL", *self._unshare_pids],
            variant.file.process.command,
            group=self._processes.group(name),
            directory=variant.directory,
            variables={"LISTEN": LISTEN, "BACKLOG": str(BACKLOG), **variables},
        )

    def await_server(self, name: str, within_s: float) -> ServerExit:
        """Wait for a server to end by itself, and kill it after `within_s`."""
        return self._end(name, within_s, asks=False)

    def ended(self) -> ServerExit | None:
        """How the server ended by itself; None while it runs."""
        return self._end(MAIN, 0) if self._servers[MAIN].wait(0) else None

    def stop_server(self, name: str = MAIN) -> ServerExit:
        """Send SIGTERM, then SIGKILL after the profile's `stop_s`; return the real exit code."""
        return self._end(name, self._context.timeouts.stop_s)

    def server_log(self) -> str:
        """What the server has written to stderr so far."""
        return self._servers[MAIN].log.text

    def memory(self) -> Event | None:
        """None: the kernel charges nothing per process. The load's own estimate is used."""
        return None

    def throttled(self) -> int | None:
        """Count by the harness's own cgroup, in which servers run."""
        return cgroups.throttled_here()

    def load_log(self) -> str:
        """The load's stderr, and its lines of stdout that are no events."""
        return tail("\n".join([*self._events.stray, self._load_log.text]))

    def close(self) -> None:
        """Kill every process of the trial, even in a session of its own."""
        for name in self._servers:
            self.stop_server(name)
        self._load.stop(LOAD_STOP_S)
        for name in list(self._servers):
            self._discard(name)
        self._processes.end()
        self._load.close()
        self._load_log.close()

    def _end(self, name: str, timeout_s: float, *, asks: bool = True) -> ServerExit:
        server = self._servers.get(name)
        if server is None:
            return ServerExit(None, "")
        if name not in self._exits:
            waiting = Wait(timeout_s, self.spent)
            # Read first: a signal from another process looks like ours afterwards
            died = self._killed(server.exit_code) if server.wait(0) else ""
            exit_code = server.stop(waiting, asks=asks)
            log = tail(server_counters.condensed(server.log.text))
            self._exits[name] = ServerExit(exit_code, log, waiting.spent, server.log.amount, died)
        return self._exits[name]

    def _killed(self, exit_code: int | None) -> str:
        """Describe the signal from outside that ended a process; empty if none did."""
        number = killed.from_outside(exit_code) if exit_code is not None else None
        if number is None:
            return ""
        lacked = cgroups.oom_kills_here() > self._oom_kills
        return killed.told(number, lacked_memory=lacked, senders="`kill`")

    def _discard(self, name: str) -> None:
        """Remove a server completely, with every process that it forked."""
        server = self._servers.pop(name, None)
        self._exits.pop(name, None)
        if server is not None:
            server.end()

    def _limited(self, cpus: tuple[int, ...]) -> tuple[str, ...]:
        return (
            *("taskset", "--cpu-list", ",".join(map(str, cpus))),
            *("prlimit", f"--nofile={self._nofile}:{self._nofile}"),
        )


def _own_ns(server: KeptServer, seen: server_processes.Processes) -> int:
    """CPU time in ns of the server's group, or of its processes if that is more.

    The keeper is outside the group. The time of a child that no process waited for is only in the
    group's.
    """
    return max(cpu_time.group_ns(server.group) or 0, cpu_time.below_ns(server.process.pid, seen))


def _require_free_port(wait_s: float = KEPT_PORT_S) -> None:
    """Check that the port is free: without a network namespace, trials use the host's ports.

    Raises:
        HostNotFit: a process listens on the port, or the kernel still keeps it after `wait_s`.
    """
    address = parse(ADDRESS)
    last_s = time.monotonic() + wait_s
    while (why := _refused(address)) is not None:
        if sockets.listeners(address):
            raise HostNotFit(
                f"port {address.port} is in use on this host: {why}",
                hint="The kernel refuses network namespaces, so servers use the host's loopback: "
                f"free the port (`ss -ltnp sport = :{address.port}` names its owner).",
            )
        if time.monotonic() >= last_s:
            raise HostNotFit(
                f"no process listens on port {address.port}, but the kernel still keeps it: {why}",
                hint="The last server closed connections first and did not set SO_REUSEADDR. "
                "Set that before bind.",
            )
        interrupt.require_going()
        time.sleep(KEPT_PORT_LOOK_S)


def _refused(address: Address) -> str | None:
    """Why a server cannot listen on the port; None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", address.port))  # noqa: S104 (as the server will)
        except OSError as error:
            return error.strerror
    return None

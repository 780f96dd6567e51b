"""The load engine against a server that runs already: nothing is started, stopped or tuned for it.

The cells of a profile run once, from this host's own network namespace. What cannot be known of a
server that is not looked into (its CPU time, its memory) is not told, and no gate asks for it; all
others judge as in a campaign.
"""

from __future__ import annotations

import ipaddress
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import gates
from harness.backends.base import Event, EventStream, LoadSilent, chunks, command_of, tail
from harness.campaign.trial_run import NOFILE_NEEDED, Emit, silence_s
from harness.contract import killed, load_events, trial_spec
from harness.contract.errors import C10kError, HostNotFit, Interrupted, ServerFault, UsageError
from harness.contract.load_events import EventError
from harness.contract.record import VariantFacts
from harness.contract.statuses import FailureCode
from harness.contract.stored_cell import StoredCell
from harness.contract.trial_spec import TrialSpec
from harness.gates.server_faults import SERVER_CODES, fault_of
from harness.host.bounded_output import WrittenPipe
from harness.host.interrupt import shielded
from harness.plan import trial_plan
from harness.plan.profiles.profile import Profile

FACTS = VariantFacts(unseen=True)
# It is running, so it answers at once or not at all.
READY_S = 3.0
LOAD_STOP_S = 5.0
# The load spreads its connections over source addresses in 127.0.0.0/8 by the same number.
CONNECTIONS_PER_SOURCE = 20_000
# What this host, and not the server, had too little of.
OWN_ERRORS = ("EADDRNOTAVAIL", "EMFILE", "ENFILE", "ENOBUFS")
FORMS = "HOST:PORT, [::1]:PORT, tcp://HOST:PORT or unix:///PATH"
_TCP = re.compile(r"^(?:tcp://)?(?:\[(?P<six>[^\]]+)\]|(?P<host>[^\[\]:/]+)):(?P<port>[0-9]{1,5})$")
UNIX_PATH_BYTES_MAX = 107
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


Load = tuple[EventStream, WrittenPipe, subprocess.Popen[bytes]]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server listens, as the engine wants it told.

    Attributes:
        address: `tcp://127.0.0.1:7000`, `tcp://[::1]:7000` or `unix:///path`.
        has_many_sources: it is in 127.0.0.0/8, whose every address can be a client's.
        has_ports: each connection to it takes a local port.
    """

    address: str
    has_many_sources: bool
    has_ports: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be driven, and with which cells; all of it checked."""

    target: Target
    profile_name: str
    profile: Profile
    seed: int
    trial: trial_plan.Trial
    left_out: tuple[str, ...]

    @property
    def timeouts(self) -> trial_spec.Timeouts:
        """As the load wants them."""
        told = self.profile.timeouts.model_dump(exclude={"build_s"})
        return trial_spec.Timeouts(**(told | {"ready_s": min(READY_S, told["ready_s"])}))


@dataclass(slots=True)
class Driven:
    """What was measured, to whatever end; `error` is that end, None when all went well."""

    cells: list[Event] = field(default_factory=list)
    host: Event = field(default_factory=dict)
    failure: tuple[str, str] | None = None
    error: C10kError | Interrupted | None = None

    def as_json(self, request: Request) -> dict[str, Any]:
        """For programs. `server` is null: nothing is known of its processes."""
        code, text = self.failure or ("", "")
        return {
            "schema": 1,
            "address": request.target.address,
            "profile": request.profile_name,
            "seed": request.seed,
            "server": None,
            "host": self.host,
            "left_out": list(request.left_out),
            "gates_not_asked": [gate.code for gate in gates.GATES if gate.needs_server],
            "interrupted": isinstance(self.error, Interrupted),
            "failure": {"code": code, "text": text} if self.failure else None,
            "cells": self.cells,
        }


def target_of(text: str, *, is_owned: bool) -> Target:
    """The server at `text`. Of a name's addresses it is the first that accepts a connection.

    Raises:
        UsageError: it is no address, or none of this host's loopback and not said to be owned.
    """
    if text.startswith("unix://"):
        _require_path(text)
        return Target(text, has_many_sources=False, has_ports=False)
    match = _TCP.match(text)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise _no_address(text)
    addresses = _resolved(text, match["six"] or match["host"])
    allowed = [address for address in addresses if address.is_loopback or is_owned]
    if not allowed:
        raise UsageError(
            f"{text}: {addresses[0]} is not a loopback address",
            hint="Thousands of connections that send as fast as they are answered are an attack on "
            "a host that is not yours. `--i-own-this-host` says that it is.",
        )
    address = _answering(allowed, int(match["port"]))
    host = f"[{address}]" if address.version == 6 else str(address)
    is_four = address.version == 4
    return Target(f"tcp://{host}:{match['port']}", address.is_loopback and is_four, has_ports=True)


def _require_path(text: str) -> None:
    """Refuse what is no absolute path, or a longer one than a socket's name holds (unix(7))."""
    path = os.fsencode(text.removeprefix("unix://"))
    if not path.startswith(b"/") or path.endswith(b"/"):
        raise _no_address(text)
    if len(path) > UNIX_PATH_BYTES_MAX:
        raise UsageError(
            f"{text}: the path has {len(path)} bytes, but the name of a socket holds "
            f"{UNIX_PATH_BYTES_MAX}",
            hint="Use a shorter path, as through a symbolic link in /tmp.",
        )


def _no_address(text: str) -> UsageError:
    return UsageError(f"`{text}` is not an address", hint=f"Use {FORMS}.")


def _resolved(text: str, host: str) -> list[IPAddress]:
    """The addresses behind a name, IPv4 first, as most servers listen there."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        addresses = [ipaddress.ip_address(one) for one in found]
    except OSError as error:
        raise UsageError(f"{text}: `{host}` has no address: {error.strerror}") from None
    except ValueError:
        raise _no_address(text) from None
    if any(getattr(address, "scope_id", None) for address in addresses):
        raise UsageError(f"{text}: an address with a zone (`%`) cannot be driven")
    return sorted(addresses, key=lambda address: (address.version, address))


def _answering(addresses: Sequence[IPAddress], port: int) -> IPAddress:
    """The first address at which a server accepts; the first of all where none does.

    A server at `localhost` may listen on ::1 only.
    """
    for address in addresses if len(addresses) > 1 else ():
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(READY_S)
            if probe.connect_ex((str(address), port)) == 0:
                return address
    return addresses[0]


def request_of(target: Target, profile_name: str, profile: Profile, seed: int) -> Request:
    """The cells of the profile, against the server.

    Raises:
        UsageError: none of them can be run.
        HostNotFit: this host does not hold the connections.
    """
    (trial,) = trial_plan.make(profile.model_copy(update={"trials": 1}), ("driven",), seed)[-1:]
    # A share is one of the server's capacity, which is told by its CPU time
    resolved = trial_plan.resolve(trial, {})
    left_out = tuple(
        f"{cell.label}, {cell.rate_share:.0%} of the server's capacity"
        for cell in trial.cells
        if not cell.is_resolved and cell.rate_share is not None
    )
    if not resolved.cells:
        raise UsageError(
            f"profile {profile_name}: all its rates are shares of the server's capacity",
            hint="That cannot be told of a server whose CPU time is not seen: use `rate_per_s`.",
        )
    request = Request(target, profile_name, profile, seed, resolved, left_out)
    _require_ports(request)
    _require_nofile(profile.at_once_max, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    return request


def _require_ports(request: Request) -> None:
    """Each connection takes a port of its source address, and a closed one keeps it a while."""
    target = request.target
    if not target.has_ports:
        return
    first, last = map(int, _PORT_RANGE.read_text().split())
    needed = sum(step.connections for step in request.trial.steps)
    if target.has_many_sources:
        needed = min(needed, CONNECTIONS_PER_SOURCE)
    elif any(cell.closing for cell in request.trial.cells):
        raise UsageError(
            f"profile {request.profile_name}: churn takes a new local port for each message, of "
            f"which one source address has {last - first + 1:,}",
            hint="Only servers in 127.0.0.0/8 can be reached from more than one.",
        )
    if needed > last - first + 1:
        raise HostNotFit(
            f"{needed:,} connections need as many local ports; the range has {last - first + 1:,}",
            hint="sysctl -w net.ipv4.ip_local_port_range='10240 65535', or fewer connections.",
        )


def _require_nofile(connections: int, hard: int) -> None:
    needed = connections + NOFILE_NEEDED
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise HostNotFit(
            f"{connections:,} connections need {needed:,} open files, but the hard limit is "
            f"{hard:,} (RLIMIT_NOFILE)",
            hint="Raise the hard limit (`ulimit -Hn`), or use a profile with fewer connections.",
        )


def drive(request: Request, show: Emit) -> Driven:
    """Run the cells; what was measured comes back however that ended."""
    driven = Driven()
    try:
        with _load(request) as (events, log, process):
            _follow(request, driven, events, show)
            if driven.failure and driven.failure[0] == FailureCode.LOAD_DIED:
                _require_own_end(process)
                driven.failure = (FailureCode.LOAD_DIED, f"{driven.failure[1]}: {tail(log.text)}")
        driven.error = _error(request, driven)
    except Interrupted as interrupted:
        driven.error = interrupted
    return driven


def _require_own_end(load: subprocess.Popen[bytes]) -> None:
    """Raise Interrupted where a signal from outside ended the load."""
    try:
        number = killed.from_outside(load.wait(LOAD_STOP_S))
    except subprocess.TimeoutExpired:  # it closed its standard output and goes on
        return
    if number is not None:
        how = killed.told(number, lacked_memory=False, senders="`kill`")
        raise Interrupted(f"the load was ended: {how}")


def _error(request: Request, driven: Driven) -> C10kError | None:
    if driven.failure is None:
        return None
    code, text = driven.failure
    address = request.target.address
    message = text if address in text else f"{address}: {text}"
    hint = f"`c10k explain {code}` tells what that means."
    errors = {name for cell in driven.cells for name in cell.get("errors") or ()}
    if code not in SERVER_CODES or any(name.endswith(OWN_ERRORS) for name in errors):
        return HostNotFit(message, hint=hint)
    return ServerFault(message, hint=hint, code=code)


def _follow(request: Request, driven: Driven, events: EventStream, show: Emit) -> None:
    """Take the load's events down to its last one."""
    timeout_s = silence_s(request.profile.timeouts, request.trial.cells)
    try:
        while (line := events.next(timeout_s)) is not None:
            event = load_events.parse(line)
            match event:
                case load_events.Hello():
                    driven.host = {"nofile": event.limits.nofile, "cpus": event.cpus}
                case load_events.CellMeasured():
                    _take(driven, event, show)
                case load_events.TrialFailure():  # it outranks what a cell showed
                    driven.failure = (event.code, event.text)
                    return
                case load_events.Done():
                    return
    except LoadSilent as silence:
        driven.failure = (FailureCode.LOAD_SILENT, silence.message)
        return
    except EventError as error:
        driven.failure = (FailureCode.LOAD_ERROR, str(error))
        return
    driven.failure = (FailureCode.LOAD_DIED, "the load process ended before its time")


def _take(driven: Driven, measured: load_events.CellMeasured, show: Emit) -> None:
    """Judge a cell and keep it."""
    cell: Event = measured.model_dump(exclude={"event", "counters_asked"})
    known = StoredCell.of(cell)
    verdict = gates.judge(known, FACTS)
    cell |= {"status": verdict.status, "reasons": [list(reason) for reason in verdict.reasons]}
    driven.cells.append(cell)
    driven.failure = driven.failure or fault_of(known, declares_ceiling=False)
    show("cell", **cell)


def _spec(request: Request) -> TrialSpec:
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    return TrialSpec(
        campaign="drive",
        trial=request.trial.id,
        variant=request.trial.variant,
        address=request.target.address,
        seed=request.trial.seed,
        server_cpus=cpus,
        load_cpus=cpus,
        workers=0,
        prepare_namespace=False,
        sysctls={},
        ceiling=None,
        timeouts=request.timeouts,
        steps=trial_spec.placed(request.trial.steps, in_turns=False),
        unseen=True,
    )


@contextmanager
def _load(request: Request) -> Iterator[Load]:
    """A load process and what it writes; it ends with the block, or with this process."""
    with closing(WrittenPipe()) as log:
        process = subprocess.Popen(
            [*command_of(sys.executable, "harness.load"), "--parent", str(os.getpid())],
            env=os.environ | _spec(request).variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log.writer,
            start_new_session=True,  # a Ctrl-C is for this process, which ends the load tidily
        )
        log.close_writer()
        assert process.stdout is not None  # noqa: S101 (for the type checker)
        try:
            yield EventStream(chunks(process.stdout)), log, process
        finally:
            with shielded():
                process.terminate()
                try:
                    process.wait(LOAD_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

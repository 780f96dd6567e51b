"""Run the suite: choose its checks, start the servers that they need, and report the results."""

from __future__ import annotations

import resource
import socket
from contextlib import suppress
from dataclasses import asdict

from harness.conformance import (
    backpressure,
    close,
    echo_data,
    extra_servers,
    fairness,
    lifecycle,
    resources,
)
from harness.conformance.check_order import Schedule
from harness.conformance.cpu_turns import Turns
from harness.conformance.definition import Check
from harness.conformance.observed_server import Target, until
from harness.conformance.scene import Facts, Tell, answers
from harness.conformance.suite_results import score
from harness.contract.address import Address, parse
from harness.contract.suite_events import RestartServer, StartServer, SuiteDone, SuiteReady
from harness.contract.suite_spec import SpecError, SuiteSpec
from harness.host import sockets

GROUPS = (
    echo_data.GROUP,
    backpressure.GROUP,
    close.GROUP,
    fairness.GROUP,
    resources.GROUP,
    lifecycle.GROUP,
)
RETRY_S = 0.02
# Descriptors and tasks that server and suite need in addition to those of connections
MARGIN = 64
PORTS_TRIED = 100


class NotReady(Exception):
    """The server does not answer. The message says how long the suite waited."""


def every_check() -> list[Check]:
    """Return all checks, in the order of the groups and of their files."""
    return [check for group in GROUPS for check in group.checks]


def wanted(spec: SuiteSpec) -> list[Check]:
    """Return the checks to run, those with long idle times first: these overlap the others.

    Raises SpecError if `only` names a check that does not exist.
    """
    checks = every_check()
    if spec.only is not None:
        unknown = set(spec.only) - {check.id for check in checks}
        if unknown:
            raise SpecError(
                f"only: no check {', '.join(sorted(unknown))}; `c10k explain` lists all checks"
            )
        checks = [check for check in checks if check.id in spec.only]
    elif spec.quick:
        checks = [check for check in checks if check.quick]
    return sorted(checks, key=lambda check: (not check.crowds, -check.idle_s))


def run(spec: SuiteSpec, tell: Tell, turns: Turns) -> None:
    """Run the checks and report what they saw. Raises SpecError, then NotReady."""
    checks = wanted(spec)
    server, ready_s = _await_server(spec, spec.where())
    tell(SuiteReady(ready_s=round(ready_s, 3), server=asdict(server.found)))
    makers = dict.fromkeys(check.extra for check in checks if check.extra)
    for make in makers:
        extra = make(spec)
        if extra is not None:
            tell(StartServer(name=extra.name, env=extra.environment, refuses=False))

    def replace(old: Target) -> Target:
        old.kill()
        address = _bindable(spec, old.address)
        moved = {} if address == spec.where() else {"LISTEN": f"tcp://0.0.0.0:{address.port}"}
        tell(RestartServer(env=moved))
        return _await_server(spec, address)[0]

    facts = Facts(spec, ready_s, _capacity(spec, server), tell, turns)
    schedule = Schedule(facts, server, replace)
    schedule.run(checks)
    found = score(schedule.results)
    tell(
        SuiteDone(
            passed=found.passed,
            failed=found.applicable - found.passed,
            skipped=len(schedule.results) - found.applicable,
        )
    )


def _await_server(spec: SuiteSpec, address: Address) -> tuple[Target, float]:
    """Return the server that answers there, and its first answer in s after its start.

    Raises NotReady.
    """
    if not until(lambda: answers(address), spec.ready_s, RETRY_S):
        ports = sockets.ports_of_others() if spec.is_private else []
        told = f"no echo from {address.text} within {spec.ready_s:g} s"
        raise NotReady(": ".join(filter(None, [told, sockets.listens_elsewhere(address, ports)])))
    server = Target.find(address)
    if server is None:
        raise NotReady(f"{address.text} answers, but the suite sees no process that listens there")
    return server, server.age_s()


def _bindable(spec: SuiteSpec, last: Address) -> Address:
    """Return an address where a server can listen after the last one was killed.

    If the server closes a connection first, the kernel keeps its port for a minute. Only a server
    that sets SO_REUSEADDR can bind it. One check tests that (T21); the others must not depend on
    it.
    """
    if last.port is None:
        return last
    first = spec.port_after(extra_servers.PORTS + 1)
    for port in (spec.port_after(0), last.port, *range(first, first + PORTS_TRIED)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("0.0.0.0", port))  # noqa: S104 (as the server will)
            return parse(f"tcp://127.0.0.1:{port}")
    return last


def _capacity(spec: SuiteSpec, server: Target) -> int:
    """Return the number of connections that both ends can hold under their limits."""
    found = server.found
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limits = [limit for limit in (own, found.nofile[0], found.pids_max) if limit is not None]
    held = min(limits) - MARGIN
    return held if spec.connections_max is None else min(held, spec.connections_max)

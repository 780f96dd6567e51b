"""What the suite is told: one JSON object in `C10K_CONFORMANCE`.

    {"schema": 1,
     "address": "tcp://127.0.0.1:7000",     where the server answers, once it is started at hello
     "checks": "quick",                     or "full"
     "only": null,                          or a list of ids: nothing else is run
     "connections_max": null,               the variant's declared ceiling …
     "beyond": null,                        … and "queue" or "refuse": what the next client sees
     "counters": true,                      the variant's
     "directory": "/run/c10k",              where a unix:// listener may be, null: nowhere
     "cpus": [0],                           CPUs for this process
     "prepare_namespace": false,            true: bring `lo` up and write the sysctls first
     "sysctls": {"net.core.somaxconn": "16384"},
     "ready_s": 10,                         how long to wait for the first echo of a server
     "shares_cpus": false}                  true: other suites use them too, so ask for turns

The servers that the suite asks for listen on the ports that follow the address's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from harness.contract.address import Address, parse

VARIABLE = "C10K_CONFORMANCE"
SCHEMA = 1
PORT_DEFAULT = 7000


class SpecError(Exception):
    """The variable does not hold what it should. The message names the member."""


@dataclass(frozen=True, slots=True)
class Spec:
    """The server, and which checks to make."""

    schema: int
    address: str
    checks: str
    only: tuple[str, ...] | None
    connections_max: int | None
    beyond: str | None
    counters: bool
    directory: str | None
    cpus: tuple[int, ...]
    prepare_namespace: bool
    sysctls: dict[str, str]
    ready_s: float
    shares_cpus: bool

    @property
    def quick(self) -> bool:
        """Whether only the quick subset is wanted."""
        return self.checks == "quick"

    @property
    def is_private(self) -> bool:
        """Whether nothing but suite and server listens in this network namespace: sysctls are set
        in one of its own only."""
        return bool(self.sysctls)

    def where(self) -> Address:
        """The server's address, parsed."""
        return parse(self.address)

    def port_after(self, offset: int) -> int:
        """A port for another server of the suite."""
        return (self.where().port or PORT_DEFAULT) + offset


def read(text: str) -> Spec:
    """Read the variable. Raises SpecError."""
    try:
        members: dict[str, Any] = dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise SpecError(f"{VARIABLE} is not a JSON object: {error}") from None
    names = {field.name for field in fields(Spec)}
    if members.keys() != names:
        odd = ", ".join(sorted(members.keys() ^ names))
        raise SpecError(f"{VARIABLE}: missing or unknown: {odd}")
    if members["schema"] != SCHEMA or members["checks"] not in ("quick", "full"):
        raise SpecError(f'{VARIABLE}: schema must be {SCHEMA}, checks "quick" or "full"')
    only = members["only"]
    members["only"] = None if only is None else tuple(only)
    members["cpus"] = tuple(members["cpus"])
    try:
        parse(members["address"])
    except ValueError as error:
        raise SpecError(f"{VARIABLE}: {error}") from None
    return Spec(**members)

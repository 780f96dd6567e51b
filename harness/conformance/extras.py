"""The other servers that the suite has started beside the main one, and what each is for."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from harness.contract.address import Address, parse
from harness.contract.suite_spec import SuiteSpec

# Much smaller than any default, so that a server that does not read BACKLOG is seen to
SMALL_BACKLOG = 64
UNUSABLE_LISTEN = "tcp://nowhere:port"
# The ports after the main server's that the others here listen on
PORTS = 4


@dataclass(frozen=True, slots=True)
class Extra:
    """One more server: its variables, and where it answers (None: it is to refuse)."""

    name: str
    environment: dict[str, str]
    address: Address | None


def backlog(spec: SuiteSpec) -> Extra:
    """Has a short queue of connections."""
    port = spec.port_after(1)
    variables = {"LISTEN": f"tcp://0.0.0.0:{port}", "BACKLOG": str(SMALL_BACKLOG)}
    return Extra("backlog", variables, parse(f"tcp://127.0.0.1:{port}"))


def ending(spec: SuiteSpec) -> Extra:
    """Is ended by SIGTERM with connections open."""
    port = spec.port_after(4)
    return Extra("ending", {"LISTEN": f"tcp://0.0.0.0:{port}"}, parse(f"tcp://127.0.0.1:{port}"))


def ipv6(spec: SuiteSpec) -> Extra | None:
    """Listens on IPv6; None where this network has none."""
    if not _has_ipv6():
        return None
    port = spec.port_after(2)
    return Extra("ipv6", {"LISTEN": f"tcp://[::]:{port}"}, parse(f"tcp://[::1]:{port}"))


def counted(spec: SuiteSpec) -> Extra | None:
    """Sees nothing but traffic that is counted; None for a server that does not count."""
    if not spec.counters:
        return None
    port = spec.port_after(3)
    return Extra("counted", {"LISTEN": f"tcp://0.0.0.0:{port}"}, parse(f"tcp://127.0.0.1:{port}"))


def unix(spec: SuiteSpec) -> Extra | None:
    """Listens on a path; None where there is no directory for it."""
    if spec.directory is None:
        return None
    listen = f"unix://{spec.directory}/conformance.sock"
    return Extra("unix", {"LISTEN": listen}, parse(listen))


def unusable(spec: SuiteSpec) -> Extra:
    """Is told an address that is none."""
    return Extra("unusable", {"LISTEN": UNUSABLE_LISTEN}, None)


def same(address: Address) -> Extra:
    """Is told the address that the main one listens on."""
    return Extra("same", {"LISTEN": address.text}, None)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True

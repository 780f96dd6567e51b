"""Describe the additional servers of the suite: what each is for, and how it is started."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from harness.contract.address import Address, parse
from harness.contract.suite_spec import SuiteSpec

# Much smaller than any default: this shows a server that does not read BACKLOG
SMALL_BACKLOG = 64
UNUSABLE_LISTEN = "tcp://nowhere:port"
# The number of ports after the main server's that the additional servers listen on
PORTS = 4


@dataclass(frozen=True, slots=True)
class Extra:
    """One more server: its variables, and where it answers (None: it must refuse to serve)."""

    name: str
    environment: dict[str, str]
    address: Address | None


def backlog(spec: SuiteSpec) -> Extra:
    """Describe a server with a short accept queue."""
    port = spec.port_after(1)
    variables = {"LISTEN": f"tcp://0.0.0.0:{port}", "BACKLOG": str(SMALL_BACKLOG)}
    return Extra("backlog", variables, parse(f"tcp://127.0.0.1:{port}"))


def ending(spec: SuiteSpec) -> Extra:
    """Describe a server that SIGTERM ends while connections are open."""
    port = spec.port_after(4)
    return Extra("ending", {"LISTEN": f"tcp://0.0.0.0:{port}"}, parse(f"tcp://127.0.0.1:{port}"))


def ipv6(spec: SuiteSpec) -> Extra | None:
    """Describe a server on IPv6; None if this network has no IPv6."""
    if not _has_ipv6():
        return None
    port = spec.port_after(2)
    return Extra("ipv6", {"LISTEN": f"tcp://[::]:{port}"}, parse(f"tcp://[::1]:{port}"))


def counted(spec: SuiteSpec) -> Extra | None:
    """Describe a server that gets only counted traffic; None if it declares no counters."""
    if not spec.counters:
        return None
    port = spec.port_after(3)
    return Extra("counted", {"LISTEN": f"tcp://0.0.0.0:{port}"}, parse(f"tcp://127.0.0.1:{port}"))


def unix(spec: SuiteSpec) -> Extra | None:
    """Describe a server on a unix socket; None if there is no directory for it."""
    if spec.directory is None:
        return None
    listen = f"unix://{spec.directory}/conformance.sock"
    return Extra("unix", {"LISTEN": listen}, parse(listen))


def unusable(spec: SuiteSpec) -> Extra:
    """Describe a server with a LISTEN that is no address."""
    return Extra("unusable", {"LISTEN": UNUSABLE_LISTEN}, None)


def same(address: Address) -> Extra:
    """Describe a server with the address that the main server listens on."""
    return Extra("same", {"LISTEN": address.text}, None)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True

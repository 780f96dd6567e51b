"""Which failures are a server's own fault, and what a cell shows of one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.record import failure_code

# Failures that are the server's: they end the campaign with exit code 4.
SERVER_CODES = frozenset(
    {
        "nonconforming",
        "build-failed",
        "no-process",
        "not-started",
        "not-ready",
        "server-died",
        "wrong-echo",
        "no-capacity",
        "held-fewer",
        "corrupt",
        "lost",
        "outside-cpus",
        "escaped",
        "unanswered",
        "bad-exit",
        "miscounted",
    }
)

# What a server exits with where the host lacks what it is about (EX_UNAVAILABLE of sysexits.h); its
# last line says what. That is no fault of the server: the campaign goes on without it.
EXIT_UNAVAILABLE = 69
NOT_AVAILABLE = "not-available"


def fault_of(record: Mapping[str, Any], *, declares_ceiling: bool) -> tuple[str, str] | None:
    """Code and text of the server's fault that a cell shows; None where it shows none."""
    where = f"{record['scenario']} at {record['connections_requested']:,}"
    if record.get("corrupt_bytes"):
        return "corrupt", f"{record['corrupt_bytes']:,} wrong bytes in {where}"
    if failure_code(record) == "held-fewer":
        return "held-fewer", f"{where}: {record['failure']['text']}"
    if record.get("lost") and not declares_ceiling:
        return "lost", f"{record['lost']:,} connections lost in {where}"
    if failed := (record.get("churn") or {}).get("failed"):
        return "lost", f"{failed:,} cycles failed in {where}"
    if failure_code(record) == "not-settled":
        return "unanswered", f"{where}: {record['failure']['text']}"
    return None


def not_available(exit_code: int | None, log: str) -> tuple[str, str] | None:
    """The failure of a server that this host cannot run, in its own words; None for any other."""
    if exit_code != EXIT_UNAVAILABLE:
        return None
    lines = log.splitlines() or ["it does not say why"]
    return NOT_AVAILABLE, f"not available here: {lines[-1]}"

"""Waiting for an engine, with a limit on every wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from harness.engine import Engine, Window

TIMEOUT_S = 20
POLL_S = 0.002
WARMUP_NS = 50_000_000
WINDOW_NS = 300_000_000


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds; fail with `what` when it never does."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(POLL_S)


def open_connections(engine: Engine, count: int) -> list[int]:
    """Open connections and wait until none of them is on its way any more."""
    numbers = [engine.open() for _ in range(count)]
    until(lambda: engine.status()["connecting"] == 0, f"{count} connections settled")
    return numbers


def start(
    engine: Engine,
    *,
    active: int,
    payload_bytes: int = 64,
    depth: int = 1,
    rate_per_s: float = 0.0,
    seed: int = 0,
    stamps: bool = False,
    closing: Literal["fin", "rst"] | None = None,
    warmup_ns: int = WARMUP_NS,
    window_ns: int = WINDOW_NS,
) -> None:
    """Start a cell whose window opens after `warmup_ns`; negative: before its first message."""
    opens_ns = time.monotonic_ns() + warmup_ns
    engine.start(
        active=active,
        payload_bytes=payload_bytes,
        depth=depth,
        rate_per_s=rate_per_s,
        seed=seed,
        stamps=stamps,
        closing=closing,
        window_start_ns=opens_ns,
        window_end_ns=opens_ns + window_ns,
    )


def closed_window(engine: Engine) -> Window:
    """Wait for the window to close and return its figures."""
    until(lambda: engine.window() is not None, "the window closed")
    window = engine.window()
    assert window is not None
    return window


def stop(engine: Engine) -> None:
    """Stop the traffic and wait for the replies that are still out."""
    engine.stop()
    until(lambda: engine.status()["outstanding"] == 0, "all replies came back")


def run_cell(
    engine: Engine,
    *,
    active: int,
    payload_bytes: int = 64,
    depth: int = 1,
    warmup_ns: int = WARMUP_NS,
    window_ns: int = WINDOW_NS,
) -> Window:
    """One closed-loop cell from its start to its last reply."""
    start(
        engine,
        active=active,
        payload_bytes=payload_bytes,
        depth=depth,
        warmup_ns=warmup_ns,
        window_ns=window_ns,
    )
    window = closed_window(engine)
    stop(engine)
    return window

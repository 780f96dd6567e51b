"""Drive a server with one build of the load engine; print the CPU time of its thread per echo.

A program of its own, without the harness: a process holds only one build of the extension. It opens
all connections and prints `ready`. For each line that it reads it runs one cell and prints µs.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from typing import Any

PAYLOAD_BYTES = 64
WARMUP_S = 0.1
POLL_S = 0.005


def load(library: str) -> Any:
    """Load the extension module from the file."""
    spec = importlib.util.spec_from_file_location("harness.engine._engine", library)
    if spec is None or spec.loader is None:
        sys.exit(f"{library} is no extension module; expected the _engine*.so of a build")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def connect(engine: Any, connections: int) -> None:
    """Open all connections and wait for their hellos."""
    for _ in range(connections):
        engine.open()
    while engine.status()["connecting"]:
        time.sleep(POLL_S)


def run_cell(engine: Any, connections: int, window_s: float) -> float:
    """Run a closed loop over all connections; return the µs of CPU time per echo.

    Raises:
        RuntimeError: a connection failed or was lost.
    """
    opens_ns = time.monotonic_ns() + round(WARMUP_S * 1e9)
    engine.start(
        active=connections,
        payload_bytes=PAYLOAD_BYTES,
        window_start_ns=opens_ns,
        window_end_ns=opens_ns + round(window_s * 1e9),
    )
    time.sleep(WARMUP_S + window_s)
    while (window := engine.window()) is None:
        time.sleep(POLL_S)
    engine.stop()
    while engine.status()["outstanding"]:
        time.sleep(POLL_S)
    if engine.status()["established"] != connections or window["errors"]:
        raise RuntimeError(f"not all connections held: {engine.status()['errors']}")
    return float(window["cpu_ns"] / window["echoes"] / 1e3)


def main() -> None:
    library, address, connections, window_s, cpu = sys.argv[1:]
    engine = load(library).Engine(address, cpu=int(cpu))
    try:
        connect(engine, int(connections))
        print("ready", flush=True)
        for _ in sys.stdin:
            print(run_cell(engine, int(connections), float(window_s)), flush=True)
    finally:
        engine.shutdown()


if __name__ == "__main__":
    main()

"""A campaign of one server and one cell, and what the gates say of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from command import C10k, Finished

from harness.gates import GATES

_cpus: dict[str, Any] = {}
EFFECTS = {gate.code: gate.effect for gate in GATES}
# A busy process, and the name that the report has to show for it
BUSY = "open('/proc/self/comm', 'w').write({name!r})\nwhile True: pass"
NEIGHBOUR = "noisy-neighbour"
PROFILE = """
summary = "One gate."
ranked = false
trials = 1
conformance = "off"
timing = {{ warmup_s = {warmup_s}, window_s = {window_s} }}
timeouts = {{ ready_s = 10, connect_s = 6, settle_s = {settle_s}, stop_s = 2 }}

[[scenarios]]
name = "{scenario}"
connections = [{connections}]
{more}
"""


def profile(
    c10k: C10k,
    scenario: str = "idle",
    more: str = "active = 10",
    window_s: float = 0.5,
    connections: int = 50,
    settle_s: float = 1.0,
    warmup_s: float = 0.1,
) -> Path:
    """A profile of one cell; `more` are further keys of its scenario.

    With a warm-up of 0.05 s or less the first message of the cell is one of its turn.
    """
    path = c10k.directory / "one.toml"
    settings = {"window_s": window_s, "connections": connections, "settle_s": settle_s}
    settings |= {"warmup_s": warmup_s}
    path.write_text(PROFILE.format(scenario=scenario, more=more, **settings))
    return path


def measured(done: Finished) -> dict[str, Any]:
    """The one cell."""
    (cell,) = done.cells
    return cell


def tripped(cell: dict[str, Any], gate: str) -> str:
    """What a gate says of a cell, which has to have failed it."""
    reasons = dict(cell["reasons"])
    assert gate in reasons, cell
    return str(reasons[gate])


def status_by(cell: dict[str, Any], *gates: str) -> str:
    """The status that these gates alone give a cell, which has to have failed each of them.

    On a host with other work a cell may fail a further gate for a true reason. Its status is then
    the worst effect of all gates that it failed.
    """
    failed = [code for code, _ in cell["reasons"]]
    assert set(gates) <= set(failed), cell
    assert cell["status"] == _worst(*failed), cell
    return _worst(*gates)


def _worst(*gates: str) -> str:
    effects = {EFFECTS[gate] for gate in gates}
    return "void" if "void" in effects else "noisy"


def lacking(reason: str) -> NoReturn:
    """Skip, as a gate's cause cannot be made here, unless C10K_REQUIRE_GATES=1 forbids that."""
    if os.environ.get("C10K_REQUIRE_GATES") == "1":
        pytest.fail(f"{reason} (C10K_REQUIRE_GATES=1)", pytrace=False)
    pytest.skip(reason)


def run(c10k: C10k, program: str, *, under: tuple[str, ...] = (), **of_profile: Any) -> Finished:
    """A campaign of one server with one cell."""
    c10k.add_server("mine", program)
    arguments = ("run", "--backend", "process", "--servers-dir", c10k.servers, "--seed", "7")
    return c10k(*arguments, "--profile", profile(c10k, **of_profile), under=under)


@contextmanager
def busy(cpus: Sequence[int]) -> Iterator[None]:
    """A busy process on each of some CPUs."""
    started = []
    try:
        for cpu in cpus:
            process = [sys.executable, "-c", BUSY.format(name=NEIGHBOUR)]
            started.append(subprocess.Popen(["taskset", "--cpu-list", str(cpu), *process]))
        yield
    finally:
        for one in started:
            one.kill()
            one.wait(30)


def cpus_of(c10k: C10k, side: str) -> list[int]:
    """The CPUs that a campaign gives to the server or to the load here."""
    if not _cpus:  # the same for all campaigns of this process
        told = c10k(
            "run", "--dry-run", "--json", "--profile", profile(c10k), "--servers", "epoll-lt"
        )
        _cpus.update(json.loads(told.out)["cpus"])
    return [int(cpu) for cpu in _cpus[side]]

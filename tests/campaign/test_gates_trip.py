"""Gates tripped by the cause that they are there for, a server or a host: no made-up numbers."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import C10k, Finished, commands
from faulty_servers import (
    CORRUPTS_ONE_IN_A_THOUSAND,
    HOLDS_30,
    LOSES_ONE,
    STOPS_ACROSS_THE_EDGE,
    echo,
)
from one_cell import cpus_of, lacking, measured, profile, run, status_by, tripped

from harness.gates import GATES
from harness.host import isolation

pytestmark = pytest.mark.timing

# Every 20th of the messages is swallowed, so that connections fall silent one after the other.
SWALLOWS = echo(on_data="if served > 500 and served % 20 == 0: continue")
STOPS_FOR_GOOD = echo(on_data="if served > 500: os.kill(os.getpid(), signal.SIGSTOP)")
# The main process ends; what it forked goes on listening and serving, as nothing had happened.
LEAVES_ITS_CHILD = echo(
    on_data="if served == 500: os.kill(os.getppid(), signal.SIGKILL)",
).replace(
    "selector = selectors",
    """
if os.fork():
    signal.pause()
selector = selectors""",
    1,
)
# Stopped from before the window to after it, and then it goes on.
NAPS = echo(on_data="if served == 60: nap()").replace(
    "selector = selectors",
    """
import time
def nap():
    if os.fork() == 0:
        time.sleep(1.0)
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP)
selector = selectors""",
    1,
)
# One connection is not read until all others are silent. In a namespace of small buffers, what is
# due on it soon finds no room and is not sent.
LEAVES_ONE_UNREAD = (
    echo(
        on_data="if served == 200: selector.unregister(peer); unread.append((peer, data)); continue"
    )
    .replace(
        "selector = selectors",
        """
with open("/proc/sys/net/ipv4/tcp_wmem", "w") as wmem:
    wmem.write("4096 16384 16384")
unread = []
def ready():
    found = selector.select(1.0)
    while unread and not found:
        peer, data = unread.pop()
        selector.register(peer, selectors.EVENT_READ)
        peer.sendall(data)
    return found
selector = selectors""",
        1,
    )
    .replace("in selector.select()", "in ready()")
)
# From 2,000 echoes a second to a few hundred, evenly, by the clock and not by what work takes here.
SLOWS_DOWN = echo(on_data="if served > 60: slow()").replace(
    "selector = selectors",
    """
import time
began = []
def slow():
    now = time.monotonic()
    began[:] = began or [now]
    rate = 2000 * max(0.05, 1 - (now - began[0]) / 2.5)
    while time.monotonic() < now + 1 / rate: pass
selector = selectors""",
    1,
)
# Of the connections that come and go, some end before their echo.
HANGS_UP = echo(
    on_data="if served > 200 and not served % 50: selector.unregister(peer); peer.close(); continue"
)
# A listener beside the server that accepts nobody, in the same namespace: its queue of one
# overflows, and the SYNs of those that wait are sent again.
OVERFLOWS = echo().replace(
    "selector = selectors",
    """
import threading, time
def knock():
    deaf = socket.create_server(("127.0.0.1", 7001), backlog=0)
    while True:
        peers = [socket.socket() for _ in range(8)]
        for peer in peers:
            peer.setblocking(False)
            peer.connect_ex(("127.0.0.1", 7001))
        time.sleep(1.3)
threading.Thread(target=knock, daemon=True).start()
selector = selectors""",
    1,
)
# The clock as the load sees it: CLOCK_REALTIME is 10 ms ahead in every other second.
STEPPING_CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (failed == 0 && clock == CLOCK_REALTIME) {
        struct timespec even;
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &even);
        now->tv_nsec += even.tv_sec % 2 * 10000000;
        if (now->tv_nsec >= 1000000000) { now->tv_nsec -= 1000000000; ++now->tv_sec; }
    }
    return (int)failed;
}
"""


FAULTY = {
    "stops": STOPS_FOR_GOOD,
    "swallows": SWALLOWS,
    "loses": LOSES_ONE,
    "holds-fewer": HOLDS_30,
    "leaves-its-child": LEAVES_ITS_CHILD,
    "dies": echo(on_data="if served > 500: os.kill(os.getpid(), signal.SIGKILL)"),
    "corrupts": CORRUPTS_ONE_IN_A_THOUSAND,
    "idles": echo(on_data="import time; time.sleep(0.02)"),
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One campaign of servers with one fault each; one that fails here is measured anew."""
    with commands(tmp_path_factory.mktemp("faulty")) as c10k:
        for name, program in FAULTY.items():
            c10k.add_server(name, program)
        finished = c10k.run(profile(c10k))
    assert {cell_of(finished, name)["status"] for name in FAULTY} == {"void"}
    return finished


def cell_of(done: Finished, name: str) -> dict[str, Any]:
    """One server's cell."""
    (cell,) = [cell for cell in done.cells if cell["variant"] == name]
    return cell


FAULTS = [
    ("stops", "failure", "not answered"),
    ("swallows", "failure", "not answered"),
    ("loses", "lost", "1 connections lost"),
    ("loses", "established", "49 of 50"),
    ("holds-fewer", "failure", "of 50"),
    ("leaves-its-child", "restarted", "1 main process"),
    ("dies", "failure", "process is gone"),
    ("corrupts", "corrupt", "bytes came back wrong"),
    ("idles", "cpu-time", "ms of server CPU time"),
]


@pytest.mark.parametrize(("name", "gate", "words"), FAULTS)
def test_a_faulty_server_has_a_void_cell_that_names_its_fault(
    faulty: Finished, name: str, gate: str, words: str
) -> None:
    cell = cell_of(faulty, name)

    assert cell["status"] == "void"
    assert words in tripped(cell, gate)


def test_fewer_connections_than_asked_are_never_measured_under_the_label(faulty: Finished) -> None:
    cell = cell_of(faulty, "holds-fewer")

    assert cell["echoes"] == 0
    assert cell["connections_established_min"] < cell["connections_requested"] == 50


@pytest.mark.slow
def test_an_overflowing_queue_and_what_is_sent_again_are_noise(c10k: C10k) -> None:
    done = run(c10k, OVERFLOWS, window_s=2.0)

    assert status_by(measured(done), "overflows", "retransmits") == "noisy"
    assert "overflowed" in tripped(measured(done), "overflows")
    assert "segments sent again" in tripped(measured(done), "retransmits")


@pytest.mark.slow
def test_a_rate_beyond_the_generator_is_not_reachable_and_never_lowered(c10k: C10k) -> None:
    done = run(c10k, echo(), scenario="paced", more="rate_per_s = [900000]")

    assert measured(done)["status"] == "void"
    assert measured(done)["rate_offered_per_s"] == 900_000
    words = "900,000 messages/s are not reachable on this host"
    assert words in tripped(measured(done), "not-reachable")
    assert "not reachable on this host" in (done.directory / "report.html").read_text()


@pytest.mark.slow
def test_a_rate_that_leaves_too_late_is_not_reachable_either(c10k: C10k, hog: Any) -> None:
    hog(cpus_of(c10k, "load"))

    done = run(c10k, echo(), scenario="paced", more="rate_per_s = [500]", window_s=1.0)

    assert measured(done)["status"] == "void"
    assert "send lag p99" in tripped(measured(done), "not-reachable")


@pytest.mark.slow
def test_a_busy_cpu_of_the_load_shows_in_its_own_wait(c10k: C10k, hog: Any) -> None:
    hog(cpus_of(c10k, "load"))

    done = run(c10k, echo())

    assert "waited for a CPU" in tripped(measured(done), "load-waited")


@pytest.mark.slow
def test_a_busy_cpu_of_the_server_is_that_of_other_processes(c10k: C10k, hog: Any) -> None:
    hog(cpus_of(c10k, "server"))

    done = run(c10k, echo())

    assert "other processes used" in tripped(measured(done), "shared-cpu")


@pytest.mark.slow
def test_a_server_that_slows_down_is_no_steady_state(c10k: C10k) -> None:
    done = run(c10k, SLOWS_DOWN, window_s=2.0)

    assert status_by(measured(done), "drift") == "noisy"
    assert "from the window's start to its end" in tripped(measured(done), "drift")


@pytest.mark.slow
def test_a_server_that_stands_still_for_a_window_is_silent(c10k: C10k) -> None:
    done = run(c10k, NAPS, warmup_s=0.05)

    assert measured(done)["status"] == "void"
    assert tripped(measured(done), "silent") == "no echo came back"


@pytest.mark.slow
def test_a_server_that_stops_across_the_edge_of_a_window_contradicts_littles_law(
    c10k: C10k,
) -> None:
    done = run(c10k, STOPS_ACROSS_THE_EDGE, window_s=3.0, settle_s=10.0)

    assert measured(done)["status"] == "void"
    assert measured(done)["echoes"] > 0
    assert "10 messages were to be under way" in tripped(measured(done), "little")


@pytest.mark.slow
def test_a_connection_that_is_not_read_is_not_sent_what_was_due_on_it(c10k: C10k) -> None:
    if os.geteuid() != 0 or isolation.found().namespaces is None:
        lacking("there is no namespace here whose buffers this user may size")
    paced = "rate_per_s = [2000]\npayload_bytes = [16384]"
    settings: dict[str, Any] = {
        "window_s": 2.0,
        "connections": 100,
        "settle_s": 10.0,
        "warmup_s": 0.05,
    }

    done = run(c10k, LEAVES_ONE_UNREAD, scenario="paced", more=paced, **settings)

    assert "missed their time" in tripped(measured(done), "missed-sends")


@pytest.mark.slow
def test_a_connection_that_ends_before_its_echo_is_a_failed_cycle(c10k: C10k) -> None:
    done = run(c10k, HANGS_UP, scenario="churn")

    assert measured(done)["status"] == "void"
    assert "cycles failed" in tripped(measured(done), "cycles")


@pytest.fixture
def stepping(tmp_path: Path) -> tuple[str, ...]:
    """The prefix of a command that sees a stepping clock."""
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(STEPPING_CLOCK)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True, timeout=60
    )
    return ("env", f"LD_PRELOAD={library}")


@pytest.mark.slow
def test_a_clock_that_is_set_in_the_window_is_noticed(
    c10k: C10k, stepping: tuple[str, ...]
) -> None:
    closed = run(c10k, echo(), window_s=1.0, under=stepping)

    assert "clock was set" in tripped(measured(closed), "clock-set")
    assert abs(measured(closed)["host"]["clock_step_ns"]) == pytest.approx(1e7, abs=1e6)


@pytest.mark.slow
def test_a_clock_that_is_set_voids_an_open_loop_whose_stamps_it_moves(
    c10k: C10k, stepping: tuple[str, ...]
) -> None:
    settings = {"scenario": "paced", "more": "rate_per_s = [500]", "window_s": 1.0}

    paced = run(c10k, echo(), under=stepping, **settings)

    assert measured(paced)["status"] == "void"
    assert "clock was set" in tripped(measured(paced), "clock-step")


@pytest.fixture
def quota() -> Iterator[Path]:
    """A cgroup with a tenth of a CPU, version 1 or 2."""
    root = Path("/sys/fs/cgroup")
    base = root / "cpu" if (root / "cpu").is_dir() else root
    group = base / f"c10k-test-{os.getpid()}"
    try:
        group.mkdir()
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text("30000")
        else:
            (group / "cpu.max").write_text("30000 100000")
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        lacking(f"no cgroup can be made here: {error}")
    yield group
    group.rmdir()


@pytest.mark.slow
def test_a_cpu_quota_is_seen_where_it_throttles(c10k: C10k, quota: Path) -> None:
    enter = ("sh", "-c", f'echo $$ > {quota}/cgroup.procs && exec "$@"', "sh")

    done = run(c10k, echo(), under=enter)

    assert "CPU quota" in tripped(measured(done), "throttled")
    assert measured(done)["host"]["nr_throttled"] >= 1


def gates_asserted(path: Path) -> set[str]:
    """The gates that a file of tests says are tripped."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {
        gate.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == tripped.__name__
        for gate in call.args[1:]
        if isinstance(gate, ast.Constant) and isinstance(gate.value, str)
    }


def test_every_gate_is_tripped_by_a_cause() -> None:
    found = {gate for _, gate, _ in FAULTS}
    for path in Path(__file__).parent.glob("test_*.py"):
        found |= gates_asserted(path)

    assert found == {gate.code for gate in GATES}

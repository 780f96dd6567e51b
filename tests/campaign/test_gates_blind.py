"""Gates that ask for evidence, on kernels that do not give it: a cell is judged, never believed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from command import C10k
from faulty_servers import echo
from one_cell import measured, run, tripped

Prefix = tuple[str, ...]

# What systemd's ProcSubset=pid gives a service: no counters of the network, and none of the CPUs.
PROCESSES_ONLY = "mount -t proc -o subset=pid proc /proc"
# Sandboxes have a /proc/stat of their own, which need not move.
STANDS_STILL = "copy=$(mktemp) && cp /proc/stat $copy && mount --bind $copy /proc/stat && rm $copy"


@pytest.fixture
def seeing() -> Callable[[str], Prefix]:
    """The prefix of a command that sees /proc as a shell command has changed it."""

    def prefix(change: str) -> Prefix:
        found = ("unshare", "--mount", "sh", "-c", f'{change} && exec "$@"', "sh")
        done = subprocess.run([*found, "true"], capture_output=True, timeout=30, check=False)
        if done.returncode != 0:
            pytest.skip(f"/proc cannot be changed here: {done.stderr.decode().strip()}")
        return found

    return prefix


def test_a_kernel_that_does_not_show_its_cpus_gives_no_evidence(
    c10k: C10k, seeing: Callable[[str], Prefix]
) -> None:
    done = run(c10k, echo(), under=seeing(PROCESSES_ONLY))

    assert measured(done)["status"] == "void"
    assert measured(done)["echoes"] > 0
    assert tripped(measured(done), "evidence") == "not observed: server.cpu_busy"
    assert "server.stat_ticks.steal" in tripped(measured(done), "counters")


def test_a_kernel_that_does_not_show_its_counters_may_hide_noise(
    c10k: C10k, seeing: Callable[[str], Prefix]
) -> None:
    done = run(c10k, echo(), scenario="ramp", more="", under=seeing(PROCESSES_ONLY))

    hidden = "tcp.RetransSegs, tcp.ListenOverflows, tcp.softnet_dropped"
    assert measured(done)["reasons"] == [["counters", f"not observed: {hidden}"]]
    assert measured(done)["status"] == "noisy"


def test_cpu_time_that_stands_still_is_no_evidence_that_none_was_stolen(
    c10k: C10k, seeing: Callable[[str], Prefix]
) -> None:
    done = run(c10k, echo(), under=seeing(STANDS_STILL))

    assert tripped(measured(done), "evidence") == "not observed: server.cpu_busy"
    assert "stood still" in tripped(measured(done), "counters")

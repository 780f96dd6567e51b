"""Gates that ask what the kernel tells, where it tells nothing or of a hypervisor that took time.

Nothing on a host can steal time from it, only the hypervisor under it can: its kernel's account of
that is what is made up here, and everything else is real.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import C10k
from faulty_servers import echo
from one_cell import lacking, measured, run, status_by, tripped

Prefix = tuple[str, ...]

# What systemd's ProcSubset=pid gives a service: no counters of the network, and none of the CPUs.
PROCESSES_ONLY = "mount -t proc -o subset=pid proc /proc"
# Sandboxes have a /proc/stat of their own, which need not move.
STANDS_STILL = "copy=$(mktemp) && cp /proc/stat $copy && mount --bind $copy /proc/stat && rm $copy"
# The host's own, but a tenth of the time of each CPU is stolen from then on. Written in place, at
# one go and in one length: what is mounted is the file, and its readers do not wait.
STEALS = """
import os, sys, time
began, ticks, parent = time.monotonic(), os.sysconf("SC_CLK_TCK"), os.getppid()
file = os.open(sys.argv[1], os.O_WRONLY)
def told():
    stolen = int((time.monotonic() - began) * ticks / 10)
    for line in open("/proc/stat"):
        name, *counts = line.split()
        if name[:3] == "cpu" and name != "cpu":
            counts[7] = str(int(counts[7]) + stolen)
            yield " ".join([name, *counts])
while os.getppid() == parent:
    os.pwrite(file, (chr(10).join(told()) + chr(10)).ljust(16384, chr(10)).encode(), 0)
    time.sleep(0.02)
"""


@pytest.fixture
def seeing() -> Callable[[str], Prefix]:
    """The prefix of a command that sees /proc as a shell command has changed it."""

    def prefix(change: str) -> Prefix:
        found = ("unshare", "--mount", "sh", "-c", f'{change} && exec "$@"', "sh")
        done = subprocess.run([*found, "true"], capture_output=True, timeout=30, check=False)
        if done.returncode != 0:
            lacking(f"/proc cannot be changed here: {done.stderr.decode().strip()}")
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
    assert tripped(measured(done), "counters") == f"not observed: {hidden}"
    assert status_by(measured(done), "counters") == "noisy"


def test_cpu_time_that_stands_still_is_no_evidence_that_none_was_stolen(
    c10k: C10k, seeing: Callable[[str], Prefix]
) -> None:
    done = run(c10k, echo(), under=seeing(STANDS_STILL))

    assert tripped(measured(done), "evidence") == "not observed: server.cpu_busy"
    assert "stood still" in tripped(measured(done), "counters")


@pytest.fixture
def stolen(tmp_path: Path) -> Iterator[Path]:
    """A /proc/stat as a kernel writes it that does not have its CPUs to itself."""
    path = tmp_path / "stat"
    path.write_bytes(Path("/proc/stat").read_bytes())
    with subprocess.Popen([sys.executable, "-c", STEALS, path]) as writer:
        yield path
        writer.kill()


def test_time_that_the_hypervisor_took_is_noise(
    c10k: C10k, seeing: Callable[[str], Prefix], stolen: Path
) -> None:
    done = run(c10k, echo(), window_s=1.0, under=seeing(f"mount --bind {stolen} /proc/stat"))

    assert status_by(measured(done), "steal") == "noisy"
    assert "CPU time was stolen" in tripped(measured(done), "steal")
    ticks = measured(done)["server"]["stat_ticks"]
    assert 0.05 < ticks["steal"] / sum(ticks.values()) < 0.2

"""Which CPUs the server gets and which the load gets.

The server's are whole physical cores: a hyper-thread whose sibling runs the load would make the
server's speed depend on the load. A sibling of a server CPU therefore stays idle.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostNotFit

TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class CpuSplit:
    """Disjoint CPUs: `server` for the server, `load` for the load process and the harness."""

    server: tuple[int, ...]
    load: tuple[int, ...]


def keep_to(cpus: Iterable[int]) -> None:
    """Keep this thread, and what it starts from now on, on some CPUs.

    Raises:
        HostNotFit: the kernel refuses that.
    """
    wanted = sorted(cpus)
    try:
        os.sched_setaffinity(0, wanted)
    except OSError as error:
        listed = ", ".join(map(str, wanted))
        raise HostNotFit(
            f"the harness cannot run on CPU {listed} only (sched_setaffinity): {error.strerror}",
            hint="A sandbox around it refuses that, or the CPU went offline. Start it outside.",
        ) from error


def parse_list(text: str) -> tuple[int, ...]:
    """Parse the kernel's CPU list format: `0-2,5` is (0, 1, 2, 5)."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def split(cores: list[tuple[int, ...]], server_cpus: int) -> CpuSplit:
    """Give `server_cpus` CPUs to the server, one per core, and all other cores to the load.

    `cores` lists the allowed CPUs, those of one physical core together. The server's cores are
    taken from the end: CPU 0 serves most interrupts.

    Raises:
        HostNotFit: there is no core left for the load.
    """
    ordered = sorted(cores)
    if len(ordered) <= server_cpus:
        raise HostNotFit(
            f"{len(ordered)} physical core(s) allowed, but {server_cpus + 1} are needed: "
            f"{server_cpus} for the server and at least one for the load",
            hint="Give the harness more CPUs, or use a profile with fewer `server_cpus`.",
        )
    taken = ordered[-server_cpus:]
    rest = ordered[:-server_cpus]
    return CpuSplit(
        server=tuple(sorted(core[0] for core in taken)),
        load=tuple(sorted(cpu for core in rest for cpu in core)),
    )


def splits(cores: list[tuple[int, ...]], server_cpus: int) -> list[CpuSplit]:
    """As many disjoint splits as the cores make, for servers that are not measured.

    Raises:
        HostNotFit: there is no core left for the load.
    """
    ordered, size = sorted(cores), server_cpus + 1
    whole = len(ordered) - len(ordered) % size
    groups = [ordered[at : at + size] for at in range(0, whole, size)]
    return [split(group, server_cpus) for group in groups or [ordered]]


def cores_of(allowed: set[int], topology: Path = TOPOLOGY) -> list[tuple[int, ...]]:
    """Group the `allowed` CPUs by physical core, as sysfs tells; without sysfs each is a core."""
    cores: set[tuple[int, ...]] = set()
    for cpu in allowed:
        path = topology / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        siblings = parse_list(path.read_text()) if path.is_file() else (cpu,)
        cores.add(tuple(sibling for sibling in siblings if sibling in allowed))
    return sorted(cores)

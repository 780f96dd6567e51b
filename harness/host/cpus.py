"""Divide the CPUs between server and load.

The server gets whole physical cores: if the load ran on a hyper-thread of the same core, the
server's speed would depend on it. So the siblings of server CPUs stay idle. With enough CPUs but
too few cores, server and load share cores. Such figures are flagged: only their ratios count.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.contract.errors import HostNotFit

TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class CpuSplit:
    """Disjoint CPUs: `server` for the server, `load` for the load process and the harness."""

    server: tuple[int, ...]
    load: tuple[int, ...]


def keep_to(cpus: Iterable[int]) -> None:
    """Keep this thread, and every process it starts from now on, on some CPUs.

    Raises:
        HostNotFit: the kernel refuses it.
    """
    wanted = sorted(cpus)
    try:
        os.sched_setaffinity(0, wanted)
    except OSError as error:
        listed = ", ".join(map(str, wanted))
        raise HostNotFit(
            f"the harness cannot run on CPU {listed} only (sched_setaffinity): {error.strerror}",
            hint="The sandbox forbids it, or the CPU is offline. Start c10k outside the sandbox.",
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

    `cores` lists the allowed CPUs, grouped by physical core. The server gets the last cores,
    because CPU 0 serves most interrupts. Where no core would be left for the load, the load gets
    the siblings of the server's CPUs.

    Raises:
        HostNotFit: no CPU is left for the load.
    """
    ordered = sorted(cores)
    if len(ordered) <= server_cpus:
        return _of_siblings(ordered, server_cpus)
    taken = ordered[-server_cpus:]
    rest = ordered[:-server_cpus]
    return CpuSplit(
        server=tuple(sorted(core[0] for core in taken)),
        load=tuple(sorted(cpu for core in rest for cpu in core)),
    )


def _of_siblings(cores: list[tuple[int, ...]], server_cpus: int) -> CpuSplit:
    """Give the server the last CPU of each core, from the last core on; the load gets the rest.

    Raises:
        HostNotFit: no CPU is left for the load.
    """
    threads = max(map(len, cores), default=0)
    in_order = [
        core[-1 - place]
        for place in range(threads)
        for core in reversed(cores)
        if place < len(core)
    ]
    if len(in_order) <= server_cpus:
        raise HostNotFit(
            f"{described(cores)} allowed, but {server_cpus + 1} CPUs are needed: {server_cpus} for "
            "the server and at least one for the load",
            hint="Give the harness more CPUs, or use a profile with fewer `server_cpus`. "
            "Hyper-threads count: server and load then share a core, and only ratios mean "
            "something.",
        )
    return CpuSplit(
        server=tuple(sorted(in_order[:server_cpus])), load=tuple(sorted(in_order[server_cpus:]))
    )


def shares_core(
    cores: Iterable[Collection[int]], server: Collection[int], load: Collection[int]
) -> bool:
    """Whether some core has CPUs of both server and load, as hyper-threads."""
    return any(set(core) & set(server) and set(core) & set(load) for core in cores)


def described(cores: Collection[Collection[int]]) -> str:
    """Describe CPUs as text: `2 CPUs (hyper-threads of 1 core)`."""
    count = sum(map(len, cores))
    cpus = f"{count} CPU{'' if count == 1 else 's'}"
    if count == len(cores):
        return cpus
    return f"{cpus} (hyper-threads of {len(cores)} core{'' if len(cores) == 1 else 's'})"


def splits(cores: list[tuple[int, ...]], server_cpus: int) -> list[CpuSplit]:
    """Make as many disjoint splits as the cores allow, for servers that are not measured.

    Raises:
        HostNotFit: no CPU is left for the load.
    """
    ordered, size = sorted(cores), server_cpus + 1
    whole = len(ordered) - len(ordered) % size
    groups = [ordered[at : at + size] for at in range(0, whole, size)]
    return [split(group, server_cpus) for group in groups or [ordered]]


def cores_of(allowed: set[int], topology: Path = TOPOLOGY) -> list[tuple[int, ...]]:
    """Group the `allowed` CPUs by physical core, from sysfs; without sysfs each CPU is a core."""
    cores: set[tuple[int, ...]] = set()
    for cpu in allowed:
        path = topology / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        siblings = parse_list(path.read_text()) if path.is_file() else (cpu,)
        cores.add(tuple(sibling for sibling in siblings if sibling in allowed))
    return sorted(cores)

"""What a campaign ran on: read from this host and from the binaries, never assumed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.campaign import environment
from harness.host import compilers, cpus

VULNERABILITIES = Path("/sys/devices/system/cpu/vulnerabilities")


ALLOWED = sorted(os.sched_getaffinity(0))


def collected() -> dict[str, object]:
    split = cpus.CpuSplit(server=(ALLOWED[-1],), load=tuple(ALLOWED[:-1]) or (ALLOWED[0],))
    return environment.collect("process", split, ALLOWED, {"isolated": True})


def test_a_harness_that_has_left_the_server_s_cpus_is_on_the_same_host() -> None:
    before = collected()
    os.sched_setaffinity(0, ALLOWED[:1])
    try:
        assert environment.differences(before, collected()) == []
    finally:
        os.sched_setaffinity(0, ALLOWED)


def test_the_facts_that_make_one_host_another_are_there() -> None:
    found = collected()

    assert found["kernel"] == os.uname().release
    assert found["cgroups"] in ("v1", "v2", "v1 and v2", "n/a")
    cores = found["cores"]
    assert isinstance(cores, list)
    assert sorted(cpu for core in cores for cpu in core) == sorted(os.sched_getaffinity(0))
    mitigations = found["mitigations"]
    assert isinstance(mitigations, dict)
    assert set(mitigations) == {path.name for path in VULNERABILITIES.iterdir()}
    sysctls = found["sysctls"]
    assert isinstance(sysctls, dict)
    assert sysctls["kernel.pid_max"] == Path("/proc/sys/kernel/pid_max").read_text().strip()
    assert found["harness_source"] == compilers.harness_digest()
    assert any(name in str(found["engine_build"]) for name in ("GNU C++", "GCC", "clang"))


@pytest.mark.parametrize(
    ("table", "name"), [("mitigations", "spectre_v2"), ("sysctls", "net.core.netdev_max_backlog")]
)
def test_another_mitigation_or_sysctl_is_another_host(table: str, name: str) -> None:
    before = collected()
    facts = before[table]
    assert isinstance(facts, dict)
    after = before | {table: facts | {name: "another"}}

    assert environment.differences(before, before) == []
    assert environment.differences(before, after) == [
        f"{table}: {name} was {facts.get(name)!r} and is 'another'"
    ]


def test_other_sources_are_another_harness_though_its_version_is_the_same() -> None:
    before = collected()

    (sentence,) = environment.differences(before, before | {"harness_source": "0123456789ab"})

    assert sentence.startswith("harness_source was")


def test_a_binary_says_its_compiler_and_its_flags(tmp_path: Path) -> None:
    source, binary = tmp_path / "nothing.cpp", tmp_path / "nothing"
    source.write_text("int main() {}\n")
    of_c = tmp_path / "library.c"
    of_c.write_text("int one(void) { return 1; }\n")
    library = of_c.with_suffix(".o")
    command = ["g++", "-x", "c", "-g", "-O3", "-c", "-o", str(library), str(of_c)]
    subprocess.run(command, check=True, timeout=60)
    command = ["g++", "-std=c++20", "-g", "-O1", "-o", str(binary), str(library), str(source)]
    subprocess.run(command, check=True, timeout=60)

    told = compilers.producer(binary)

    assert told is not None
    assert told.startswith("GNU C++20")
    assert "-O1" in told
    subprocess.run(["strip", str(binary)], check=True, timeout=60)
    stripped = compilers.producer(binary)
    assert stripped is not None
    assert stripped.startswith("GCC: (")
    assert compilers.producer(source) is None
    assert compilers.producer(tmp_path / "missing") is None

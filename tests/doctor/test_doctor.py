"""The doctor: each limit against known answers, and one reading of the host that runs the test."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

from harness import doctor
from harness.backends import docker_engine
from harness.contract.errors import Exit, HostNotFit
from harness.doctor import Ask, Facts, Finding
from harness.host import survey
from harness.host.facts import UNLIMITED, Engine

ROOT = Path(__file__).parents[2]
GIB = 1 << 30
# A distribution's defaults on four cores; open files as a login shell of Debian grants them.
ROOMY = Facts(
    isolated=True,
    nofile_hard=524_288,
    fs_nr_open=1_048_576,
    fs_file_max=9_223_372_036_854_775_807,
    files_open=1_500,
    net_core_somaxconn=4_096,
    net_ipv4_tcp_max_syn_backlog=1_024,
    port_range=(32_768, 60_999),
    net_core_netdev_max_backlog=10_000,
    softnet_dropped=0,
    tcp_mem_pages=(188_000, 250_000, 376_000),
    net_ipv4_tcp_max_orphans=65_536,
    kernel_pid_max=4_194_304,
    kernel_threads_max=127_000,
    tasks=400,
    pids_left=UNLIMITED,
    nproc=63_000,
    nproc_exempt=False,
    tasks_of_user=100,
    vm_max_map_count=65_530,
    vm_overcommit_memory=0,
    commit_left_bytes=8 * GIB,
    fs_epoll_max_user_watches=3_600_000,
    memory_available_bytes=14 * GIB,
    swap_used_bytes=0,
    kernel_io_uring_disabled=0,
    has_strace=True,
    kernel_yama_ptrace_scope=0,
    ptrace_exempt=False,
    cores=((0, 4), (1, 5), (2, 6), (3, 7)),
    clocksource="tsc",
    cgroup_version=2,
    cgroup_controllers=("cpu", "memory", "pids"),
    engine=Engine(version="27.0", api="1.46", nofile_hard=UNLIMITED),
    disk_free_bytes=40 * GIB,
    load_1min=0.1,
    busy=(),
)
PROCESS = Ask(connections=10_000, backend="process")
DOCKER = Ask(connections=10_000, backend="docker")


def finding(name: str, facts: Facts, ask: Ask = PROCESS) -> Finding:
    (found,) = doctor.examine(facts, ask, [name]).findings
    return found


@pytest.mark.parametrize("ask", [PROCESS, DOCKER])
def test_a_roomy_host_is_ready_without_a_word_of_warning(ask: Ask) -> None:
    answer = doctor.examine(ROOMY, ask)

    assert answer.is_ready
    assert answer.of("warning") == ()
    answer.require_ready()


# What is changed, the check that sees it, its level, and the most that it allows then.
BOUND = {
    "few open files": ({"nofile_hard": 4_096}, "nofile", "error", 3_896),
    "exactly enough open files": ({"nofile_hard": 10_200}, "nofile", "ok", 10_000),
    "one open file too few": ({"nofile_hard": 10_199}, "nofile", "error", 9_999),
    "a low fs.nr_open": ({"fs_nr_open": 8_200}, "nr-open", "error", 8_000),
    "a full table of files": (
        {"fs_file_max": 20_000, "files_open": 9_600},
        *("file-max", "error", 5_000),
    ),
    "little memory for buffers": ({"tcp_mem_pages": (1, 2, 9_000)}, "tcp-mem", "error", 4_500),
    "few watches": ({"fs_epoll_max_user_watches": 15_000}, "watches", "error", 7_500),
    "little memory": ({"memory_available_bytes": 600_000_000}, "memory", "error", 5_000),
    "a small cgroup": ({"cgroup_memory_left_bytes": 600_000_000}, "memory", "error", 5_000),
    "a full cgroup": ({"cgroup_memory_left_bytes": 0}, "memory", "error", 0),
    "a full table of tracked connections": (
        {"isolated": False, "conntrack_max": 8_192, "conntrack_count": 192},
        *("conntrack", "error", 8_000),
    ),
    "tracking off the path": ({"conntrack_max": 8_192}, "conntrack", "ok", None),
}


@pytest.mark.parametrize(("changed", "check", "level", "most"), BOUND.values(), ids=BOUND)
def test_a_limit_of_connections_is_told_with_the_most_that_it_allows(
    changed: dict[str, object], check: str, level: str, most: int | None
) -> None:
    found = finding(check, replace(ROOMY, **changed))  # type: ignore[arg-type]

    assert (found.level, found.connections_max) == (level, most)
    assert bool(found.command) == (level == "error")


THREADS = {
    "few numbers": ({"kernel_pid_max": 4_400}, "pid-max", 4_000),
    "few threads on the host": ({"kernel_threads_max": 2_400}, "threads-max", 2_000),
    "a small cgroup": ({"pids_left": 512}, "pids-cgroup", 512),
    "few threads of the user": ({"nproc": 1_100}, "nproc", 1_000),
    "few mappings": ({"vm_max_map_count": 2_200}, "map-count", 1_000),
    "promises counted": (
        {"vm_overcommit_memory": 2, "commit_left_bytes": 1_000 * (68 << 10)},
        *("overcommit", 1_000),
    ),
}


@pytest.mark.parametrize(("changed", "check", "most"), THREADS.values(), ids=THREADS)
def test_a_limit_of_threads_is_the_hosts_fault_and_refuses_nobody(
    changed: dict[str, object], check: str, most: int
) -> None:
    facts = replace(ROOMY, **changed)  # type: ignore[arg-type]
    answer = doctor.examine(facts, PROCESS)

    (found,) = answer.of("warning")
    assert (found.check, found.threads_max) == (check, most)
    assert "because of this host" in found.text
    assert answer.is_ready
    assert answer.threads is not None
    assert (answer.threads.value, answer.threads.check) == (most, check)


def test_root_is_not_counted_against_the_users_threads() -> None:
    assert finding("nproc", replace(ROOMY, nproc=100, nproc_exempt=True)).level == "ok"


FIGURES = {
    "one CPU": ({"cores": ((0,),)}, "cpus", "error"),
    "two hyper-threads of one core": ({"cores": ((0, 1),)}, "cpus", "warning"),
    "a clock that follows the load": ({"governors": ("powersave",)}, "governor", "warning"),
    "a fixed clock": ({"governors": ("performance",)}, "governor", "ok"),
    "a slow clock source": ({"clocksource": "hpet"}, "clock", "warning"),
    "memory in swap": ({"swap_used_bytes": GIB}, "swap", "warning"),
    "swap that nobody uses": ({"swap_used_bytes": 0}, "swap", "ok"),
    "a busy neighbour": ({"busy": (("cc1plus", 0.97),)}, "busy", "warning"),
    "a quiet neighbour": ({"busy": (("sshd", 0.03),)}, "busy", "ok"),
    "neighbours that cannot be seen": ({"busy": None, "cpus_busy": 0.97}, "busy", "warning"),
    "idle CPUs of an unseen host": ({"busy": None, "cpus_busy": 0.03}, "busy", "ok"),
    "a host that shows nothing": ({"busy": None, "cpus_busy": None}, "busy", "note"),
    "a short receive queue": ({"net_core_netdev_max_backlog": 1_000}, "netdev-backlog", "warning"),
    "refused namespaces": ({"isolated": False}, "isolation", "warning"),
    "no util-linux": ({"tools_missing": ("unshare",)}, "isolation", "error"),
    "a full disk": ({"disk_free_bytes": 1 << 20}, "disk", "error"),
    "a disk that fills": ({"disk_free_bytes": 100 << 20}, "disk", "warning"),
    "a short queue on the host's own loopback": ({"isolated": False}, "backlog", "warning"),
    "an engine that is down": ({"engine": Engine(error="refused")}, "docker", "note"),
    "few orphans": ({"net_ipv4_tcp_max_orphans": 4_096}, "orphans", "warning"),
}


@pytest.mark.parametrize(("changed", "check", "level"), FIGURES.values(), ids=FIGURES)
def test_what_disturbs_figures_is_told_and_what_does_not_is_left_alone(
    changed: dict[str, object], check: str, level: str
) -> None:
    found = finding(check, replace(ROOMY, **changed))  # type: ignore[arg-type]

    assert found.level == level
    assert bool(found.command) == (level in ("warning", "error")) or level == "note"


def test_idle_cpus_are_no_claim_about_processes_that_cannot_be_seen() -> None:
    found = finding("busy", replace(ROOMY, busy=None, cpus_busy=0.0))

    assert "not visible" in found.text
    assert "no other process" not in found.text


def test_without_an_engine_containers_are_refused_with_the_way_out() -> None:
    answer = doctor.examine(replace(ROOMY, engine=Engine(error="no engine answers")), DOCKER)

    with pytest.raises(HostNotFit, match="no engine answers") as caught:
        answer.require_ready()
    assert "--backend process" in caught.value.hint


def test_what_containers_get_is_judged_by_what_the_engine_can_grant() -> None:
    tight = replace(ROOMY, nofile_hard=100, engine=replace(ROOMY.engine, nofile_hard=20_000))

    assert finding("nofile", tight, DOCKER).connections_max == 19_800
    assert finding("nofile", tight, PROCESS).level == "error"
    unseen = replace(ROOMY, engine=replace(ROOMY.engine, nofile_hard=None))
    assert finding("nofile", unseen, DOCKER).level == "note"


def test_io_uring_matters_to_servers_that_use_it_only() -> None:
    off = replace(ROOMY, kernel_io_uring_disabled=2)

    assert finding("io-uring", off).level == "ok"
    assert finding("io-uring", off, replace(PROCESS, architectures=("io_uring",))).level == (
        "warning"
    )


def test_the_least_limit_binds_and_is_named() -> None:
    facts = replace(ROOMY, nofile_hard=9_000, fs_nr_open=8_200)
    answer = doctor.examine(facts, PROCESS)

    assert answer.connections is not None
    assert (answer.connections.value, answer.connections.check) == (8_000, "nr-open")
    with pytest.raises(HostNotFit, match="not fit for 10,000 connections") as caught:
        answer.require_ready()
    assert "8,000 connections (bound by nr-open)" in caught.value.hint
    assert "sudo sysctl -w fs.nr_open=10200" in caught.value.hint


def test_a_hundred_thousand_connections_take_what_the_answer_says() -> None:
    plan = Ask(connections=100_000, backend="process")
    answer = doctor.examine(ROOMY, plan)

    named = {found.check for found in (*answer.of("warning"), *answer.of("error"))}
    assert named == {"orphans", "nproc", "map-count", "netdev-backlog"}
    assert answer.is_ready
    assert {
        found.check
        for found in doctor.examine(replace(ROOMY, nofile_hard=65_536), plan).of("error")
    } == {"nofile"}


def test_what_cannot_be_read_is_neither_passed_nor_refused() -> None:
    answer = doctor.examine(Facts(), PROCESS)

    assert answer.is_ready
    assert {found.level for found in answer.findings} <= {"ok", "note", "warning"}
    nothing = {found.check for found in answer.of("note")}
    assert {"nofile", "tcp-mem", "pid-max", "memory", "clock", "busy"} <= nothing


def test_the_answer_is_data_with_every_finding_and_its_scope() -> None:
    document = json.loads(json.dumps(doctor.examine(ROOMY, PROCESS).as_json()))

    assert document["ready"] is True
    assert document["connections_bound_by"] in {check.name for check in doctor.CHECKS}
    assert [one["check"] for one in document["findings"]] == [one.name for one in doctor.CHECKS]
    scopes = {one["scope"] for one in document["findings"]}
    assert scopes <= {"namespace", "process", "container", "host"}


def test_every_fact_that_linux_tells_is_read_here() -> None:
    read = survey.read(ROOT, docker_engine.facts())

    absent = {field.name for field in fields(Facts) if getattr(read, field.name) is None}
    # What a kernel need not have: modules that are not loaded, controls of real hardware, and what
    # it shows in its first network namespace only.
    assert absent <= {
        *("net_core_netdev_max_backlog", "net_ipv4_tcp_max_orphans", "tcp_mem_pages"),
        *("conntrack_max", "conntrack_count", "kernel_yama_ptrace_scope", "turbo"),
        *("kernel_io_uring_disabled", "isolated", "softnet_dropped"),
        "cpus_busy" if survey.sees_all_processes() else "busy",
        *("pids_left", "cgroup_memory_left_bytes", "cgroup_version", "clocksource"),
    }
    assert read.nofile_hard == survey._limit(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert sum(map(len, read.cores)) == len(os.sched_getaffinity(0))


def test_a_process_that_takes_a_cpu_is_seen_by_its_name(tmp_path: Path) -> None:
    program = tmp_path / "busy-neighbour"
    program.symlink_to("/bin/sh")
    loop = subprocess.Popen([program, "-c", "while :; do :; done"])
    give_up = time.monotonic() + 60
    try:
        names: set[str] = set()
        while "busy-neighbour" not in names and time.monotonic() < give_up:
            names = {name for name, _ in survey.busy_processes(0.5)}
    finally:
        loop.kill()
        loop.wait()

    assert "busy-neighbour" in names


# Prints what the harness sees where it is process 1 of a PID namespace of its own.
SEEN = """
from pathlib import Path
from harness.host import survey
from harness.host.facts import Engine
busy = survey.read(Path("/"), Engine()).busy
print(survey.sees_all_processes(), busy, survey.cpus_busy(0.5) > 0.1)
"""


def test_from_a_pid_namespace_of_its_own_only_the_cpus_tell_of_neighbours() -> None:
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *user, "--pid", "--fork", "--mount-proc", sys.executable, "-c", SEEN]
    loop = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    give_up = time.monotonic() + 60
    seen: subprocess.CompletedProcess[str] | None = None
    try:
        while (seen is None or "True" not in seen.stdout) and time.monotonic() < give_up:
            seen = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
            )
            if seen.returncode and "unshare" in seen.stderr:
                pytest.skip("PID namespaces are refused here")
    finally:
        loop.kill()
        loop.wait()

    assert seen is not None
    assert seen.stdout == "False None True\n", seen.stderr


def sysctls() -> dict[str, str]:
    """Every sysctl that can be set, and what it is."""
    found = {}
    for path in Path("/proc/sys").rglob("*"):
        try:
            writable = path.is_file() and path.stat().st_mode & 0o200
            found[str(path)] = path.read_text(errors="replace") if writable else ""
        except OSError:
            continue
    return found


def c10k(*arguments: str, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*under, sys.executable, "-m", "harness.cli", "doctor", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_doctor_changes_nothing() -> None:
    before = sysctls()
    done = c10k("--connections", "100000", "--backend", "process")
    after = sysctls()

    assert done.returncode in (Exit.OK, Exit.HOST_NOT_FIT), done.stderr
    # Counters and random numbers among them change by themselves; what the doctor names must not.
    named = [f"/proc/sys/{name.replace('.', '/')}" for name in survey.NUMBERS.values()]
    named += ["/proc/sys/net/ipv4/ip_local_port_range", "/proc/sys/net/ipv4/tcp_mem"]
    steady = [path for path in named if "conntrack_count" not in path]
    assert {path: before.get(path) for path in steady} == {path: after.get(path) for path in steady}
    assert before.keys() == after.keys()


def test_a_host_with_few_open_files_is_exit_code_3_with_the_command_that_mends_it() -> None:
    few = ("prlimit", "--nofile=300:300")
    done = c10k("nofile", "--backend", "process", under=few)
    data = json.loads(c10k("--json", "nofile", "--backend", "process", under=few).stdout)

    assert done.returncode == Exit.HOST_NOT_FIT
    assert "sudo prlimit --pid $$ --nofile=10200:10200" in done.stdout
    assert "Not ready for 10,000 connections." in done.stdout
    assert (data["ready"], data["connections_max"]) == (False, 100)
    fits = c10k("nofile", "--backend", "process", "--connections", "100", under=few)
    assert fits.returncode == Exit.OK
    assert "Ready for 100 connections." in fits.stdout


def test_all_checks_are_listed_and_an_unknown_one_is_a_usage_error() -> None:
    listed = c10k("--list-checks")
    wrong = c10k("nofil")

    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        check.name for check in doctor.CHECKS
    ]
    assert wrong.returncode == Exit.USAGE
    assert "nofil" in wrong.stderr


@pytest.mark.parametrize(
    ("backend", "hides_load", "level"),
    [("docker", None, "ok"), ("process", True, "ok"), ("process", False, "note")],
)
def test_the_doctor_says_where_a_server_can_reach_the_load(
    backend: str, hides_load: bool | None, level: str
) -> None:
    facts = Facts(hides_load=hides_load)

    (found,) = doctor.examine(facts, Ask(connections=10, backend=backend), ["guard"]).findings

    assert found.level == level

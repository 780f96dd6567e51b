"""No server hides CPU time: the kernel's accounts, the processes', and what neither of them has.

Both ways to account are read in one and the same cell, so a busy host changes nothing here. Only
where there are no control groups is the time of its short-lived processes that of no known one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from command import C10k, Finished, commands
from faulty_servers import echo
from forking_servers import HIDES, forks, lends, supervised
from one_cell import lacking, profile, tripped

from harness.backends import cpu_time
from harness.backends.cpu_time import SOURCE_VARIABLE
from harness.host.cpu_accounting import COLLECTED_EXACT_NS

# A server, and whether each of its ended children was waited for.
SERVERS = {
    "recycles": (lends(one_in=4, life_s=0.3), True),
    "recycles-unwaited": (lends(one_in=2, life_s=0.1, collects=False), False),
    "lives-briefly": (lends(one_in=1, life_s=0.1), True),
    "supervised": (supervised(echo()), True),
    "hides": (HIDES, True),
    "plain": (echo(), True),
}
CHURNING = {"forks": (forks(), True), "forks-unwaited": (forks(collects=False), False)}
ALL = SERVERS | CHURNING
WAITED = [name for name, (_, waited) in ALL.items() if waited]
UNWAITED = [name for name, (_, waited) in ALL.items() if not waited]


def campaigns(directory: Path) -> dict[str, dict[str, Any]]:
    """Each server's cell."""
    cells: dict[str, dict[str, Any]] = {}
    for scenario, servers in (("idle", SERVERS), ("churn", CHURNING)):
        place = directory / scenario
        place.mkdir()
        with commands(place) as c10k:
            for name, (program, _) in servers.items():
                c10k.add_server(name, program)
            done = c10k.run(profile(c10k, scenario, window_s=1.5, settle_s=10))
        failed = {line["variant"]: line["text"] for line in done.outcomes if line["code"]}
        assert failed == {}
        cells |= {cell["variant"]: cell for cell in done.cells}
    return cells


def source_here() -> str:
    """Which control groups a server gets here; skips where it gets none."""
    group = cpu_time.make(f"c10k-test-{os.getpid()}")
    if group is None:
        lacking("no control group for CPU time can be made here")
    group.directory.rmdir()
    return group.source


def assert_agree(charged: dict[str, Any]) -> None:
    """Control group and processes: within 5 %, and two ticks of those that collect children.

    A supervisor and its keeper may both collect some.
    """
    missing_ns = charged["cpu_ns"] - charged["processes_ns"]
    assert abs(missing_ns) <= 0.05 * charged["cpu_ns"] + 2 * COLLECTED_EXACT_NS


def assert_not_accused_alone(cell: dict[str, Any]) -> None:
    """Only beside others on its CPU may time of no known process be suspected of an honest server:
    short-lived processes of a busy host leave some."""
    reasons = dict(cell["reasons"])
    assert "unaccounted" not in reasons or "shared-cpu" in reasons, cell


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Cells of servers with a control group of their own."""
    source_here()
    return campaigns(tmp_path_factory.mktemp("grouped"))


@pytest.fixture(scope="module")
def ungrouped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Cells of servers without one, as an ordinary user's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SOURCE_VARIABLE, "processes")
        return campaigns(tmp_path_factory.mktemp("ungrouped"))


@pytest.mark.parametrize("name", ALL)
def test_a_control_group_counts_all_that_a_server_forks(
    grouped: dict[str, dict[str, Any]], name: str
) -> None:
    charged = grouped[name]["server"]["charged"]

    assert charged["source"] in (cpu_time.V1, cpu_time.V2)
    assert charged["cpu_ns"] <= charged["busy_ns"] + charged["exact_ns"] + charged["busy_exact_ns"]
    assert not {"unaccounted", "outside-cpus"} & dict(grouped[name]["reasons"]).keys()
    per_echo_us = charged["cpu_ns"] / charged["echoes"] / 1e3
    assert grouped[name]["server"]["cpu_us_per_echo"] == pytest.approx(per_echo_us)


@pytest.mark.parametrize("name", WAITED)
def test_processes_that_are_waited_for_add_up_to_what_the_kernel_charged(
    grouped: dict[str, dict[str, Any]], name: str
) -> None:
    assert_agree(grouped[name]["server"]["charged"])


@pytest.mark.parametrize("name", UNWAITED)
def test_a_control_group_counts_children_that_nobody_waits_for(
    grouped: dict[str, dict[str, Any]], name: str
) -> None:
    charged = grouped[name]["server"]["charged"]

    assert charged["processes_ns"] < 0.8 * charged["cpu_ns"]


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("name", WAITED)
def test_without_a_control_group_the_family_of_processes_is_all_of_it(
    ungrouped: dict[str, dict[str, Any]], name: str
) -> None:
    charged = ungrouped[name]["server"]["charged"]

    assert charged["source"] == "processes"
    assert charged["cpu_ns"] == charged["processes_ns"]
    assert charged["loses_children"] is False
    assert_not_accused_alone(ungrouped[name])


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("name", UNWAITED)
def test_without_a_control_group_lost_children_make_the_cell_void(
    ungrouped: dict[str, dict[str, Any]], name: str
) -> None:
    assert ungrouped[name]["status"] == "void"
    text = tripped(ungrouped[name], "unaccounted")
    assert "belongs to no known process" in text
    assert "ignores SIGCHLD" in text
    assert ungrouped[name]["server"]["charged"]["loses_children"] is True


@pytest.mark.slow
@pytest.mark.timing
def test_ended_children_are_told_to_a_tick(ungrouped: dict[str, dict[str, Any]]) -> None:
    assert ungrouped["plain"]["server"]["charged"]["exact_ns"] == 0
    assert ungrouped["forks"]["server"]["charged"]["exact_ns"] == COLLECTED_EXACT_NS


EVERYWHERE = "os.sched_setaffinity(0, range(os.cpu_count()))"
ELSEWHERE = "os.sched_setaffinity(0, set(range(os.cpu_count())) - os.sched_getaffinity(0))"
IN_A_THREAD = f"""
import threading, time
def stray():
    {EVERYWHERE}
    time.sleep(60)
def strayed():
    threading.Thread(target=stray, daemon=True).start()
"""


@pytest.fixture(scope="module")
def strayed(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A campaign with servers that leave their CPUs, and one that does not."""
    if (os.cpu_count() or 1) < 2:
        lacking("there is no second CPU to move to")
    programs = {
        "widens": echo(on_data=f"served == 500 and {EVERYWHERE}"),
        "moves": echo(on_data=f"served == 500 and {ELSEWHERE}"),
        "thread-widens": echo(on_data="if served == 500: strayed()").replace(
            "selector = ", f"{IN_A_THREAD}\nselector = ", 1
        ),
        "plain": echo(),
    }
    with commands(tmp_path_factory.mktemp("strayed")) as c10k:
        for name, program in programs.items():
            c10k.add_server(name, program)
        started = c10k.add_server("taskset", echo()) / "variant.toml"
        text = started.read_text().replace("command = [", 'command = ["taskset", "-c", "0,1", ')
        started.write_text(text)
        return c10k.run(profile(c10k))


@pytest.mark.parametrize("name", ["widens", "moves", "thread-widens", "taskset"])
def test_a_server_that_leaves_its_cpus_fails_alone(strayed: Finished, name: str) -> None:
    (outcome,) = [line for line in strayed.outcomes if line["variant"] == name]

    assert strayed.code == 4
    assert outcome["code"] == "outside-cpus"
    assert "CPU 0" in outcome["text"]


def test_the_others_go_on(strayed: Finished) -> None:
    outcomes = {line["variant"]: line["outcome"] for line in strayed.outcomes}
    (cell,) = [cell for cell in strayed.cells if cell["variant"] == "plain"]

    assert outcomes["plain"] == "done"
    assert "outside-cpus" not in dict(cell["reasons"])


def test_run_time_on_other_cpus_voids_a_cell_whose_server_comes_back(c10k: C10k) -> None:
    """It is on the load's CPU in the window only, and nowhere else when anybody looks."""
    if source_here() != cpu_time.V1:
        lacking("version 2 of the control groups does not count by CPU")
    away = "os.sched_setaffinity(0, set(range(os.cpu_count())) - home)"
    back = "os.sched_setaffinity(0, home)"
    program = echo(on_data="served > 500 and move()").replace(
        "selector = ",
        f"""
import time
home, began = os.sched_getaffinity(0), []
def move():
    began[:] = began or [time.monotonic()]
    since = time.monotonic() - began[0]
    if 0.3 < since < 1.0 and len(began) == 1:
        began.append({away})
    elif since >= 1.0 and len(began) == 2:
        began.append({back})
selector = """,
        1,
    )
    c10k.add_server("mine", program)

    done = c10k.run(profile(c10k, window_s=2.0))

    (cell,) = done.cells
    assert cell["status"] == "void"
    assert "was not on its CPUs" in tripped(cell, "outside-cpus")


# Every hierarchy's root, where a process of root may go.
LEAVES_ITS_GROUP = """
import glob
for path in glob.glob("/sys/fs/cgroup/*/cgroup.procs") + ["/sys/fs/cgroup/cgroup.procs"]:
    try:
        with open(path, "w") as members:
            members.write("0")
    except OSError:
        pass
"""


def test_a_server_that_leaves_its_control_group_is_void(c10k: C10k) -> None:
    source_here()
    if os.geteuid() != 0:
        lacking("only root may leave a control group")
    c10k.add_server("mine", LEAVES_ITS_GROUP + echo())

    (cell,) = c10k.run(profile(c10k)).cells

    assert cell["status"] == "void"
    assert "is not in its control group" in tripped(cell, "unaccounted")


KILLS_ITS_KEEPER = """
import ctypes, os, signal
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)
os.kill(os.getppid(), signal.SIGKILL)
"""


@pytest.fixture
def no_pid_namespaces(tmp_path: Path) -> tuple[str, ...]:
    """The prefix of a command that is refused PID namespaces."""
    refusing = tmp_path / "bin/unshare"
    refusing.parent.mkdir()
    refusing.write_text(
        '#!/bin/sh\ncase " $* " in *" --pid "*) exit 1 ;; esac\nexec /usr/bin/unshare "$@"\n'
    )
    refusing.chmod(0o755)
    return ("env", f"PATH={refusing.parent}:{os.environ['PATH']}")


@pytest.mark.timing
def test_without_pid_namespaces_a_server_is_counted_and_one_that_kills_its_keeper_fails(
    c10k: C10k, no_pid_namespaces: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOURCE_VARIABLE, "processes")
    for name, program in {"hides": HIDES, "kills": KILLS_ITS_KEEPER + echo()}.items():
        c10k.add_server(name, program)

    done = c10k(
        *("run", "--backend", "process", "--servers-dir", c10k.servers),
        *("--profile", profile(c10k, settle_s=10)),
        under=no_pid_namespaces,
    )

    outcomes = {line["variant"]: line["code"] for line in done.outcomes}
    (cell,) = done.cells
    assert done.head()["environment"]["backend_pid_namespace"] is None
    # What the harness sees first: no keeper any more, or a server that is not below it
    assert outcomes == {"hides": "", "kills": outcomes["kills"]}
    assert outcomes["kills"] in ("not-ready", "escaped")
    assert done.code == 4
    charged = cell["server"]["charged"]
    # The worker that hides echoes, and nothing less can: a decoy alone runs for no time at all
    assert charged["cpu_ns"] / charged["echoes"] > 1_000
    assert charged["loses_children"] is False
    assert_not_accused_alone(cell)

"""Which other programs used the CPUs: what grew between two looks, by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lines import cells

from harness.campaign import other_programs_read
from harness.campaign.other_programs_watch import Watching
from harness.contract.campaign_head import CampaignHead
from harness.contract.stored_campaign import StoredOthers
from harness.gates import other_programs
from harness.gates.other_programs import Key, Program, Snapshot, Used, between, listed, sentence
from harness.host.cpu_accounting import TICK_NS
from harness.host.procfs import ProcessStat
from harness.store.campaign_store import Campaign

S = 1_000_000_000


def at(second: float, **programs: Program) -> Snapshot:
    keyed: dict[tuple[int, int] | str, Program] = dict(programs.items())
    return Snapshot(round(second * S), "processes", keyed)


def used(before: Snapshot, after: Snapshot) -> dict[str, float]:
    return dict(between(before, after).cpu_s)


def test_the_growth_of_processes_of_one_name_is_added_up() -> None:
    before = at(0, a=Program("chrome", S), b=Program("chrome", 2 * S), c=Program("idle", S))
    after = at(10, a=Program("chrome", 2 * S), b=Program("chrome", 5 * S), c=Program("idle", S))

    assert used(before, after) == {"chrome": 4.0}
    assert listed(between(before, after)) == "chrome 40 % of a CPU"


def test_a_process_that_began_meanwhile_counts_whole() -> None:
    assert used(at(0), at(10, a=Program("make", S, 2 * S))) == {"make": 3.0}


def test_what_a_parent_collects_counts_without_what_was_seen_before() -> None:
    """A compiler that had run for 3 s, runs for 2 s more and ends."""
    before = at(0, make=Program("make", 0), cc=Program("cc", 3 * S, parent="make"))
    after = at(10, make=Program("make", 0, collected_ns=5 * S))

    assert used(before, after) == {"make": 2.0}


def test_what_nobody_collected_takes_nothing_from_others() -> None:
    before = at(0, make=Program("make", 0), cc=Program("cc", 3 * S, parent="make"))
    after = at(10, make=Program("make", S))

    assert used(before, after) == {"make": 1.0}


def test_a_grandchild_is_collected_through_its_parent() -> None:
    before = at(
        0,
        init=Program("init", 0),
        make=Program("make", 0, parent="init"),
        cc=Program("cc", 3 * S, parent="make"),
    )
    after = at(10, init=Program("init", 0, collected_ns=4 * S))

    assert used(before, after) == {"init": 1.0}


def test_only_what_is_large_enough_is_named_and_the_largest_first() -> None:
    shares = {"a": 0.1, "b": 0.9, "c": 0.029, "d": 0.5, "e": 0.4}
    found = Used("processes", 100.0, {name: 100 * share for name, share in shares.items()})

    assert [name for name, _ in found.shares] == ["b", "d", "e"]
    assert sentence(found) == ("other programs: b used 90 %, d used 50 % and e used 40 % of a CPU")


@pytest.mark.parametrize(
    ("share", "said"), [(0.09, ""), (0.31, "other programs: chrome used 31 % of a CPU")]
)
def test_a_little_is_not_worth_a_sentence(share: float, said: str) -> None:
    assert sentence(Used("processes", 10.0, {"chrome": 10 * share})) == said


def test_where_no_program_is_visible_only_the_amount_is_told() -> None:
    blind = Used("nothing", 10.0, {}, server_share=0.48)

    assert sentence(blind).startswith("other programs used 48 % of the servers' CPU time (which")
    assert sentence(Used("nothing", 10.0, {}, server_share=0.02)) == ""
    assert sentence(Used("groups", 10.0, {"cron.service": 5.0})).startswith("control groups of")


def test_it_is_written_and_read_the_same_way() -> None:
    found = Used("processes", 12.5, {"chrome": 4.25}, server_share=0.1)

    assert Used.of(StoredOthers.of(found.as_json())) == found
    assert Used.of(None) is None
    many = Used("processes", 1.0, {str(number): float(number) for number in range(99)})
    assert list(StoredOthers.of(many.as_json()).cpu_s)[:2] == ["98", "97"]


def test_spans_add_up() -> None:
    both = Used("processes", 1.0, {"a": 1.0}).plus(Used("processes", 3.0, {"a": 1.0, "b": 2.0}))
    assert (both.span_s, dict(both.cpu_s)) == (4.0, {"a": 2.0, "b": 2.0})


def test_the_share_of_the_servers_cpus_is_that_of_all_cells() -> None:
    def cell(server_s: float, busy_s: float) -> dict[str, Any]:
        times = {"cpu_ns": round(server_s * S), "busy_ns": round(busy_s * S)}
        return {"server": {"charged": times | {"span_ns": S, "cpus": 1}}}

    assert (
        other_programs.server_share(cells([cell(0.5, 0.9), cell(0.5, 0.5), {"server": None}]))
        == 0.2
    )
    assert other_programs.server_share(cells([{}])) is None


class Shown:
    """A display that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)

    def confirm(self, question: str) -> bool:
        return False

    def event(self, name: str, **facts: Any) -> None:
        self.events.append((name, facts))


def test_a_campaign_keeps_what_ran_beside_its_trials_and_says_it(tmp_path: Path) -> None:
    looks = iter(
        [
            at(0, a=Program("chrome", 0)),
            at(10, a=Program("chrome", 4 * S)),
            at(100, a=Program("chrome", 90 * S)),  # between trials
            at(110, a=Program("chrome", 92 * S)),
        ]
    )
    shown, campaign = Shown(), Campaign.create(tmp_path, "one", CampaignHead())
    with Watching(shown, campaign, take=lambda: next(looks)) as watching:
        for _ in range(2):
            watching.event("trial", index=1)
            watching.event("progress", of=1)
            watching.event("outcome")
            watching.event("outcome")  # of a trial beside it
        watching.finish()

    assert [facts.get("others") for _, facts in shown.events] == [
        *(None, None, None, None),
        *("chrome 40 % of a CPU", "chrome 40 % of a CPU", None, None),
    ]
    assert campaign.head().as_json()["others"]["cpu_s"] == {"chrome": 6.0}
    assert shown.said == ["Other programs: chrome used 30 % of a CPU"]


@pytest.fixture
def busy() -> Iterator[None]:
    """A process of another family than this one's that is busy, as `noisy-neighbour`."""
    name = "open('/proc/self/comm', 'w').write('noisy-neighbour')"
    script = (
        f"import os, time\nif os.fork(): os._exit(0)\n{name}\nprint(os.getpid(), flush=True)\n"
        "end = time.monotonic() + 20\nwhile time.monotonic() < end: pass"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        yield
        subprocess.run(["kill", "-9", str(pid)], check=False)


def test_a_busy_process_of_this_host_is_seen(busy: None) -> None:
    before = other_programs_read.snapshot()
    if before.view != "processes":
        pytest.skip("this host does not show its processes here")
    time.sleep(0.5)
    found = between(before, other_programs_read.snapshot())

    assert found.cpu_s["noisy-neighbour"] > 0.05
    assert not [key for key in before.programs if key[0] == os.getpid()]


def group(path: Path, usage_ns: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "cpuacct.usage").write_text(str(usage_ns))


@pytest.mark.parametrize("version", ["cpuacct", "unified"])
def test_control_groups_without_groups_below_have_the_names_of_their_containers(
    tmp_path: Path, version: str
) -> None:
    def write(path: Path, usage_ns: int) -> None:
        if version == "cpuacct":
            group(path, usage_ns)
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / "cpu.stat").write_text(f"usage_usec {usage_ns // 1000}\nuser_usec 1\n")

    base, container = tmp_path / version, "3f" * 32
    write(base, 100 * S)
    write(base / "system.slice", 30 * S)
    write(base / "system.slice" / "cron.service", 20 * S)
    write(base / "docker" / container, 7 * S)
    write(base / "docker", 7 * S)
    session = base / "user.slice/user-1.slice/user@1.service/app.slice/a.slice"
    for path in (*reversed(session.parents), session):
        if path.is_relative_to(base / "user.slice"):
            write(path, 3 * S)
    write(session / "editor.scope", 2 * S)

    found: dict[Key, Program] = dict(other_programs_read._groups(tmp_path))

    assert {program.name: program.cpu_ns for program in found.values()} == {
        "cron.service": 20 * S,
        "container 3f3f3f3f3f3f": 7 * S,
        "editor.scope": 2 * S,
    }


def groups(second: float, root: Path) -> Snapshot:
    return Snapshot(round(second * S), "groups", dict(other_programs_read._groups(root)))


def test_removed_containers_of_the_campaign_are_not_named_as_groups_of_others(
    tmp_path: Path,
) -> None:
    """One that existed at the first look, one that came and went, and one that is left."""
    docker, slice_ = tmp_path / "cpuacct/docker", tmp_path / "cpuacct/system.slice"
    group(tmp_path / "cpuacct", 10 * S)
    group(docker, 8 * S)
    group(docker / ("aa" * 32), 5 * S)
    group(slice_, 2 * S)
    group(slice_ / "cron.service", S)
    before = groups(0, tmp_path)

    shutil.rmtree(docker / ("aa" * 32))
    group(tmp_path / "cpuacct", 40 * S)
    group(docker, 28 * S)
    group(docker / ("bb" * 32), 6 * S)
    group(slice_, 9 * S)
    assert used(before, groups(10, tmp_path)) == {}

    shutil.rmtree(docker / ("bb" * 32))  # now `docker` itself has no group below it
    assert used(before, groups(10, tmp_path)) == {}

    group(slice_ / "cron.service", 4 * S)
    assert used(before, groups(10, tmp_path)) == {"cron.service": 3.0}


def process(name: str, parent: int, own: int = 0, collected: int = 0) -> ProcessStat:
    """One with that many ticks, of which none is in the kernel."""
    return ProcessStat("S", parent, 1, own, 0, collected, 1, 7, 0, name)


def looked(second: float, **added: ProcessStat) -> Snapshot:
    """A host with containers; the keys of what else runs on it are `_PID`."""
    seen = {int(pid[1:]): stat for pid, stat in added.items()}
    return Snapshot(
        round(second * S), "processes", dict(other_programs_read._processes(seen, {50}))
    )


@pytest.mark.parametrize(
    ("pid", "name"),
    [
        (1, "systemd"),
        (1, "init"),
        (80, "systemd"),
        (80, "dockerd"),
        (80, "containerd"),
        (80, "containerd-shim"),
        (80, "runc"),
        (80, "docker-init"),
    ],
)
def test_ended_containers_of_the_campaign_are_not_named_as_programs(pid: int, name: str) -> None:
    """The server of the campaign ends between two looks, and what kept it waits for it."""
    server = process("epoll-lt", pid, own=500)
    before = looked(0, **{f"_{pid}": process(name, 0), "_90": server})
    after = looked(10, **{f"_{pid}": process(name, 0, own=20, collected=900)})

    assert used(before, after) == {name: 20 * TICK_NS / S}


def test_a_make_that_compiles_is_named_with_its_ended_compilers() -> None:
    before = looked(0, _1=process("systemd", 0), _70=process("make", 1), _50=process("c10k", 1))
    after = looked(
        10,
        _1=process("systemd", 0),
        _70=process("make", 1, own=10, collected=600),
        _50=process("c10k", 1, own=900),
    )

    assert used(before, after) == {"make": 610 * TICK_NS / S}


def test_the_name_that_a_program_gave_itself_is_shown_and_not_obeyed() -> None:
    before, after = (looked(at, _70=process("\x1b[31mred", 1, own=at)) for at in (0, 10))

    assert list(used(before, after)) == ["�[31mred"]

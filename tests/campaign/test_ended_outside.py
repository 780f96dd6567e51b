"""Campaigns without Docker whose load or server a signal from outside ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from command import C10k, is_forked, marked_processes, wait_for
from faulty_servers import echo

from harness.backends import keeper
from harness.host import procfs


def children(pid: int) -> list[int]:
    """Of a process, the processes that it started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def loads() -> list[int]:
    """Loads that are marked as started under our lock: what a fork server forked."""

    def parent(pid: int) -> int:
        return procfs.process_stat(Path(f"/proc/{pid}/stat").read_text()).parent

    return [pid for pid in marked_processes() if is_forked(Path(f"/proc/{parent(pid)}"))]


def servers() -> list[int]:
    """What the keepers started."""
    wanted = os.fsencode(keeper.__file__)
    kept = [
        pid for pid in marked_processes() if wanted in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return [child for pid in kept for child in children(pid) if child not in kept]


def hit(c10k: C10k, process: Any, victims: Any, number: signal.Signals, *, cells: int) -> None:
    """Send the signal once the campaign has so many cells."""

    def stored() -> bool:
        files = list(c10k.reports.glob("*/trials.jsonl"))
        return bool(files) and len(files[0].read_text().splitlines()) >= cells

    wait_for(lambda: stored() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    os.kill(wait_for(victims)[0], number)


def test_a_load_that_a_signal_ends_interrupts_the_campaign_and_a_resume_runs_the_rest(
    c10k: C10k,
) -> None:
    c10k.add_server("mine", echo())
    profile = c10k.profile(trials=2, window_s=1.5)
    ran = ("run", "--backend", "process", "--servers-dir", c10k.servers)
    process = c10k.start(*ran, "--profile", profile, "--seed", "7")
    for number, cells in ((signal.SIGKILL, 3), (signal.SIGTERM, 3)):
        hit(c10k, process, loads, number, cells=cells)
        done = c10k.finish(process)

        assert done.code == 130, done.err
        assert f"was ended: {number.name} from outside the harness" in done.err
        assert "bug in" not in done.err
        assert done.head()["state"] == "interrupted"
        assert (done.directory / "report.html").is_file()
        kept = done.outcomes
        assert [one["outcome"] for one in kept] == ["done"]
        process = c10k.start("run", "--resume", done.directory.name, *ran[3:])

    resumed = c10k.finish(process)

    assert resumed.code == 0, resumed.err
    assert resumed.outcomes[:1] == kept
    assert [one["outcome"] for one in resumed.outcomes] == ["done", "done"]


def test_a_server_that_a_signal_ends_is_named_with_it(c10k: C10k) -> None:
    c10k.add_server("mine", echo())
    profile = c10k.profile(window_s=1.5)
    arguments = ("--backend", "process", "--profile", profile, "--servers-dir", c10k.servers)
    process = c10k.start("run", *arguments)
    hit(c10k, process, servers, signal.SIGKILL, cells=1)

    done = c10k.finish(process)

    assert done.code == 4, done.err
    assert [one["code"] for one in done.outcomes] == ["server-died"]
    assert "the server was ended: SIGKILL from outside the harness" in done.outcomes[0]["text"]

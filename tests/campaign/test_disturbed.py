"""A busy host accuses no server, and the same server alone is at fault."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import C10k, Finished, commands
from faulty_servers import NEVER_LISTENS, echo
from one_cell import NEIGHBOUR, busy, cpus_of, lacking, run, tripped

# After the hellos: each message takes 40 ms of CPU time, so that ten are answered in 0.4 s.
SLOW = echo(on_data="if served > 60: spin()").replace(
    "selector = selectors",
    """
import time
def spin():
    end = time.thread_time() + 0.04
    while time.thread_time() < end: pass
selector = selectors""",
    1,
)
ANSWERS_NO_MORE = echo(on_data="if served > 500: os.kill(os.getpid(), signal.SIGSTOP)")
IGNORES_SIGTERM = echo().replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
SERVERS = {
    "answers-no-more": (ANSWERS_NO_MORE, "unanswered"),
    "never-listens": (NEVER_LISTENS, "not-ready"),
    "ignores-sigterm": (IGNORES_SIGTERM, "no-exit"),
}
# Beside them a server has a quarter of its CPU
HOGS = 3
PROFILE = """
summary = "Servers with a fault that a busy host could have caused."
ranked = false
trials = 1
repeats_max = 1
conformance = "off"
timing = { warmup_s = 0.1, window_s = 0.5 }
timeouts = { ready_s = 1, connect_s = 6, settle_s = 0.5, stop_s = 0.5 }

[[scenarios]]
name = "idle"
connections = [50]
active = 10
"""


# A host is never quiet for sure: so often is one looked for
TRIES = 4


def campaign(c10k: C10k, name: str) -> Finished:
    if not (c10k.servers / name).is_dir():
        c10k.add_server(name, SERVERS[name][0])
    path = c10k.directory / "disturbed.toml"
    path.write_text(PROFILE)
    return c10k.run(path)


@pytest.mark.timing
@pytest.mark.parametrize("name", SERVERS)
def test_alone_a_server_is_at_fault(tmp_path: Path, name: str) -> None:
    for attempt in range(TRIES):
        place = tmp_path / str(attempt)
        place.mkdir()
        with commands(place) as c10k:
            done = campaign(c10k, name)
        (last,) = done.outcomes[-1:]
        if last["code"] != "disturbed":
            break
    else:
        lacking(f"other programs use the CPUs of this host: {last['text']}")

    assert done.code == 4, done.out + done.err
    assert (last["outcome"], last["code"]) == ("failed", SERVERS[name][1])


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    """A server's campaign beside others on its CPU, which runs once."""

    @functools.cache
    def measured(name: str) -> Finished:
        directory = tmp_path_factory.mktemp("beside")
        with commands(directory) as c10k, busy(cpus_of(c10k, "server") * HOGS):
            return campaign(c10k, name)

    return measured


@pytest.mark.parametrize("name", SERVERS)
def test_beside_others_on_its_cpu_it_is_tried_again_and_not_accused(
    beside: Callable[[str], Finished], name: str
) -> None:
    done = beside(name)

    assert done.code == 5, done.out + done.err
    last = done.outcomes[-1]
    assert last["code"] == "disturbed"
    assert "other processes used" in last["text"]
    assert last["text"] in done.out
    # Before it was ready: the whole trial, else the cell
    repeats = [line["repeats"] for line in done.outcomes]
    assert repeats == [[], []] if name == "never-listens" else [[], [0]]
    assert f"{NEIGHBOUR} used" in done.out
    assert done.head()["others"]["cpu_s"][NEIGHBOUR] > 1
    page = (done.directory / "report.html").read_text()
    assert f"{NEIGHBOUR} used" in page


def test_a_cell_that_waited_in_vain_has_the_balance_of_its_wait(
    beside: Callable[[str], Finished],
) -> None:
    done = beside("answers-no-more")

    for cell in done.cells:
        assert cell["status"] == "void"
        assert "other processes used" in tripped(cell, "disturbed")
        wait = cell["wait"]
        assert wait["busy_ns"] > 0.8 * wait["span_ns"]
        # Six times as long as `settle_s`, and no longer
        assert 2.5e9 < wait["span_ns"] < 3.8e9


def test_an_end_that_came_late_takes_nothing_from_what_was_measured(
    beside: Callable[[str], Finished],
) -> None:
    done = beside("ignores-sigterm")

    assert [line["outcome"] for line in done.outcomes] == ["done"] * len(done.outcomes)
    assert all(cell["failure"] is None for cell in done.cells)


def test_a_slow_server_gets_the_time_that_others_took(c10k: C10k, hog: Any) -> None:
    """The last replies take 0.4 s of CPU time: 1.6 s beside three others, and `settle_s` is 1."""
    hog(cpus_of(c10k, "server") * HOGS)

    done = run(c10k, SLOW, settle_s=1.0, window_s=1.0)

    assert [(line["outcome"], line["code"]) for line in done.outcomes] == [("done", "")], done.out
    assert done.cells[0]["failure"] is None

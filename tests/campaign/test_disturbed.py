"""A busy host accuses no server, and the same server alone is at fault."""

from __future__ import annotations

from typing import Any

import pytest
from command import C10k, Finished, commands
from faulty_servers import NEVER_LISTENS, echo
from one_cell import cpus_of, run

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


def campaign(directory: Any, hog: Any = None) -> Finished:
    with commands(directory) as c10k:
        for name, (program, _) in SERVERS.items():
            c10k.add_server(name, program)
        path = c10k.directory / "disturbed.toml"
        path.write_text(PROFILE)
        if hog:
            hog(cpus_of(c10k, "server") * HOGS)
        return c10k.run(path)


def attempts(done: Finished, name: str) -> list[dict[str, Any]]:
    return [line for line in done.outcomes if line["variant"] == name]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return campaign(tmp_path_factory.mktemp("alone"))


def test_alone_a_server_is_at_fault(alone: Finished) -> None:
    assert alone.code == 4, alone.out + alone.err
    for name, (_, code) in SERVERS.items():
        last = attempts(alone, name)[-1]
        assert (last["outcome"], last["code"]) == ("failed", code)


def test_beside_others_on_its_cpu_it_is_tried_again_and_not_accused(
    tmp_path: Any, hog: Any
) -> None:
    done = campaign(tmp_path, hog)

    assert done.code == 5, done.out + done.err
    for name in SERVERS:
        last = attempts(done, name)[-1]
        assert last["code"] == "disturbed"
        assert "other processes used" in last["text"]
        assert last["text"] in done.out
    # Before it was ready: the whole trial, else the cell
    assert [line["repeats"] for line in attempts(done, "never-listens")] == [[], []]
    assert attempts(done, "answers-no-more")[-1]["repeats"] == [0]
    unanswered = [cell for cell in done.cells if cell["variant"] == "answers-no-more"]
    for cell in unanswered:
        assert cell["status"] == "void"
        assert "other processes used" in dict(cell["reasons"])["disturbed"]
        wait = cell["wait"]
        assert wait["busy_ns"] > 0.8 * wait["span_ns"]
        # Six times as long as `settle_s`, and no longer
        assert 2.5e9 < wait["span_ns"] < 3.6e9
    # What others did to its end takes nothing from what was measured before
    measured = [cell for cell in done.cells if cell["variant"] == "ignores-sigterm"]
    assert all(cell["failure"] is None for cell in measured)


def test_a_slow_server_gets_the_time_that_others_took(c10k: C10k, hog: Any) -> None:
    """The last replies take 0.4 s of CPU time: 1.6 s beside three others, and `settle_s` is 1."""
    hog(cpus_of(c10k, "server") * HOGS)

    done = run(c10k, SLOW, settle_s=1.0, window_s=1.0)

    assert [(line["outcome"], line["code"]) for line in done.outcomes] == [("done", "")], done.out
    assert done.cells[0]["failure"] is None

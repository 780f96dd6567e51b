"""A real campaign in waves: cut short, resumed, and with an anchor that does not build."""

from __future__ import annotations

import itertools
import signal

import pytest
from command import C10k, Finished, marked_processes
from faulty_servers import echo

PROFILE = """
summary = "In waves."
ranked = false
trials = 2
side_by_side = true
servers_per_wave = 2
conformance = "off"
timing = { warmup_s = 0.1, window_s = 0.5 }
timeouts = { ready_s = 10, connect_s = 6, settle_s = 3, stop_s = 3 }

[[scenarios]]
name = "idle"
connections = [100]
active = 20
turns = 5
"""
WAVES = {1: "broken", 2: "other", 3: "third"}


def measured(done: Finished) -> list[tuple[int, int, set[str]]]:
    """Block, wave and servers of the groups of cells in their order."""
    cells = itertools.groupby(done.cells, key=lambda cell: (cell["block"], cell["wave"]))
    return [(*place, {cell["variant"] for cell in group}) for place, group in cells]


@pytest.mark.slow
def test_a_campaign_in_waves_is_resumed_with_the_waves_and_the_anchor_that_it_had(
    c10k: C10k,
) -> None:
    broken = c10k.add_server("broken", echo()) / "variant.toml"
    broken.write_text(broken.read_text() + 'build = ["false"]\n')
    for name in ("mine", "other", "third"):
        c10k.add_server(name, echo())
    path = c10k.directory / "waves.toml"
    path.write_text(PROFILE)
    process = c10k.start(
        *("run", "--backend", "process", "--profile", path, "--servers-dir", c10k.servers)
    )
    c10k.await_cell(process)
    process.send_signal(signal.SIGINT)
    stopped = c10k.finish(process)

    assert stopped.code == 130, stopped.err + stopped.out
    assert marked_processes() == []
    assert "broken does not run here: the waves are paired through mine" in stopped.out
    head, before = stopped.head(), stopped.cells
    assert head["waves"]["anchor"] == "mine"
    assert dict(enumerate(map(" ".join, head["waves"]["members"]), 1)) == WAVES

    # Waves are as they were begun, whatever the host holds or the command asks for by now
    resume = ("run", "--servers-dir", c10k.servers, "--resume", stopped.directory.name)
    done = c10k(*resume, "--servers-per-wave", "4")

    assert done.code == 4, done.err + done.out
    assert (done.head()["waves"], done.head()["plan"]) == (head["waves"], head["plan"])
    assert done.cells[: len(before)] == before
    groups = measured(done)
    last = {(block, wave): servers for block, wave, servers in groups}
    assert sorted(last) == [(block, wave) for block in (1, 2) for wave in (1, 2, 3)]
    assert [block for block, _, _ in groups] == sorted(block for block, _, _ in groups)
    for (_, wave), servers in last.items():
        assert servers == {"mine"} | {WAVES[wave]} - {"broken"}
    ends = {(line["trial"], line["outcome"]) for line in done.outcomes}
    planned = {trial["id"]: trial["variant"] for trial in head["plan"]}
    for name, variant in planned.items():
        assert (name, "failed" if variant == "broken" else "done") in ends
    page = (done.directory / "report.html").read_text()
    assert "in 3 waves of at most 2 servers, paired through mine" in page
    assert "ratios between servers of different waves go through mine" in page

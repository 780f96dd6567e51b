"""Real campaigns that take more blocks: on request, and by themselves until they are settled."""

from __future__ import annotations

import json

import pytest
from command import C10k
from faulty_servers import echo
from lines import analyse

from harness.analysis import settling
from harness.plan.trial_plan import blocks_of

HEADLINE = """
summary = "The headline, for a moment."
trials = 3
trials_max = 7
conformance = "off"
timing = { warmup_s = 0.1, window_s = 0.3 }

[[scenarios]]
name = "idle"
connections = [10_000]
active = 100
"""
SERVERS = "epoll-lt,poll"


def test_blocks_are_added_to_a_finished_campaign_and_nothing_is_measured_again(c10k: C10k) -> None:
    c10k.add_server("mine", echo())
    c10k.add_server("other", echo())
    done = c10k.run(c10k.profile())
    assert done.code == 0, done.err + done.out
    name, plan = done.directory.name, done.head()["plan"]
    before = (done.directory / "trials.jsonl").read_bytes()
    resume = ("run", "--servers-dir", c10k.servers, "--resume", name)

    refused = c10k(*resume, "--blocks", "+3")
    assert refused.code == 2
    assert "looks come every 4 blocks" in refused.err
    assert done.head()["plan"] == plan

    more = c10k(*resume, "--blocks", "+4")
    assert more.code == 0, more.err + more.out
    assert (done.directory / "trials.jsonl").read_bytes().startswith(before)
    assert done.head()["plan"][: len(plan)] == plan
    assert blocks_of(done.head()["plan"]) == 5
    planned = [trial["id"] for trial in done.head()["plan"]]
    assert [line["trial"] for line in done.outcomes] == planned
    assert {(line["variant"], line["block"]) for line in done.cells} == {
        (variant, block) for variant in ("mine", "other") for block in range(1, 6)
    }

    again = c10k(*resume)
    assert again.code == 0, again.err + again.out
    assert [line["trial"] for line in done.outcomes] == planned


def test_blocks_need_a_campaign(c10k: C10k) -> None:
    refused = c10k.run(c10k.profile(), "--blocks", "+4")

    assert refused.code == 2
    assert "needs `--resume CAMPAIGN`" in refused.err


@pytest.mark.slow
def test_a_campaign_ends_as_soon_as_its_headline_is_settled_or_at_its_bound(c10k: C10k) -> None:
    """poll takes several times the CPU of epoll; how many blocks that takes is up to the host."""
    path = c10k.directory / "headline.toml"
    path.write_text(HEADLINE)

    done = c10k.run(path, "--servers", SERVERS)

    assert done.code in (0, 5), done.err + done.out  # 5: a cell is void
    head = done.head()
    assert len(done.outcomes) >= len(head["plan"])
    at_first = analyse(head, done.cells, [line for line in done.outcomes if line["block"] <= 3])
    is_settled = settling.settled(at_first)
    assert blocks_of(head["plan"]) == (3 if is_settled else 7)
    said = "settled" if is_settled else "not settled"
    assert f"look 1 after 3 blocks: {said}" in done.out
    assert ("look 2 after 7 blocks: " in done.out) is not is_settled


@pytest.mark.slow
def test_a_resume_at_a_look_adds_the_blocks_that_its_end_kept_from_being_added(c10k: C10k) -> None:
    """A kill between a look and the next block leaves nothing missing, and nothing prepared."""
    path = c10k.directory / "headline.toml"
    path.write_text(HEADLINE.replace("trials_max = 7\n", ""))
    killed = c10k.run(path, "--servers", "epoll-lt,epoll-et")
    assert killed.code in (0, 5), killed.err + killed.out
    head = killed.head()
    head["profile"]["trials_max"] = 7
    (killed.directory / "campaign.json").write_text(json.dumps({**head, "state": "interrupted"}))
    path.write_text(HEADLINE)
    is_settled = settling.settled(analyse(head, killed.cells, killed.outcomes))

    resumed = c10k.run(path, "--resume", killed.directory.name)

    assert resumed.code in (0, 5), resumed.err + resumed.out
    blocks = 3 if is_settled else 7
    assert blocks_of(resumed.head()["plan"]) == blocks
    measured = {(line["variant"], line["block"]) for line in resumed.outcomes}
    assert measured == {
        (variant, block) for variant in ("epoll-lt", "epoll-et") for block in range(1, blocks + 1)
    }

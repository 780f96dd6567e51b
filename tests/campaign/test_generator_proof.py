"""Campaigns whose generator fails its self-test for want of descriptors.

A campaign of two connections runs with 203, which are too few for the 200 connections of wrong
bytes. Which failure stops a campaign is tested in tests/campaign/test_proving.py.
"""

from __future__ import annotations

import pytest
from command import C10k, Finished
from faulty_servers import echo

from harness.contract.stored_campaign import StoredSelftest
from harness.gates import generator_fitness, proof_coverage

NO_BYTE_CHECK = ("prlimit", "--nofile=203:203")


BYTE_CHECK = "One wrong byte in a million is caught"


def kept(done: Finished) -> list[StoredSelftest]:
    return generator_fitness.attempts(StoredSelftest.of(done.head()["selftest"]))


def failed(attempt: StoredSelftest) -> set[str | None]:
    return {row.title for row in attempt.checks if row.verdict == "fail"}


def taken_again_after(done: Finished) -> list[int]:
    """The blocks after which the self-test ran; those, and only those, had no pass next to them."""
    attempts = kept(done)
    places = [one.after_block for one in attempts if one.after_block]
    for block in sorted({cell["block"] for cell in done.cells}):
        known = [one for one in attempts if (one.after_block or 0) < block]
        lacks = not all(
            proof_coverage.is_vouched(known, part, block) for part in generator_fitness.PARTS
        )
        assert places.count(block) == lacks
    return places


@pytest.mark.slow
def test_a_failing_byte_check_stops_a_campaign_and_a_resume_may_go_on_without_a_ranking(
    c10k: C10k,
) -> None:
    c10k.add_server("mine", echo())
    profile = c10k.profile(connections=2, active=2, selftest="true")

    stopped = c10k.run(profile, under=NO_BYTE_CHECK)

    assert stopped.code == 5, stopped.err + stopped.out
    assert stopped.head()["state"] == "stopped"
    assert not (stopped.directory / "trials.jsonl").exists()
    assert "nothing can be ranked: the generator failed its self-test" in stopped.out
    assert "--keep-going" in stopped.err
    assert all(BYTE_CHECK in failed(one) for one in kept(stopped))
    assert [one.after_block for one in kept(stopped)] == [0] * len(kept(stopped))
    assert sum(one.duration_s or 0 for one in kept(stopped)) <= 60
    page = (stopped.directory / "report.html").read_text()
    assert "The campaign was stopped: its load generator failed the self-test." in page
    assert BYTE_CHECK in page
    before = len(kept(stopped))

    resume = ("--resume", stopped.directory.name)
    gone_on = c10k.run(profile, *resume, "--keep-going", under=NO_BYTE_CHECK)

    assert gone_on.code == 5, gone_on.err + gone_on.out
    assert gone_on.head()["state"] == "done"
    assert len(gone_on.cells) == 2
    assert all(BYTE_CHECK in failed(one) for one in kept(gone_on)[before:])
    assert taken_again_after(gone_on) == [1]

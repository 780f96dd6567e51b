"""When a campaign takes its self-test, and whether a failed one stops it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from harness.campaign import generator_proof
from harness.campaign.generator_proof import ATTEMPTS_MAX, Prover
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import Unproven
from harness.contract.selftest_figures import SelftestFigures
from harness.contract.stored_campaign import Part, StoredSelftest
from harness.gates import generator_fitness
from harness.gates.generator_fitness import Row, Selftest
from harness.host.cpus import CpuSplit
from harness.store.campaign_store import Campaign


class Sayings:
    """A display without a person: it is asked, and nothing answers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def confirm(self, question: str) -> bool:
        self.said.append(question)
        return False


class Bench:
    """A stored campaign of two blocks, and a generator that fails the parts of `failing`."""

    def __init__(self, reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plan: list[dict[str, Any]] = [
            {"id": str(block), "block": block, "variant": "poll", "steps": []} for block in (1, 2)
        ]
        self.campaign = Campaign.create(
            reports, "mine", CampaignHead.of({"state": "running", "plan": plan})
        )
        self.failing: tuple[Part, ...] = ()
        self.display = Sayings()
        monkeypatch.setattr(generator_proof, "prove", self._prove)

    def prover(self, *, keep_going: bool = False) -> Prover:
        display = cast("Any", self.display)
        split = CpuSplit(server=(1,), load=(0,))
        return Prover(
            self.campaign, cast("Any", None), split, display, spin=True, keep_going=keep_going
        )

    @property
    def places(self) -> list[int]:
        """The blocks after which the self-test ran."""
        kept = StoredSelftest.of(self.campaign.head().as_json()["selftest"])
        places = [one.after_block for one in generator_fitness.attempts(kept)]
        return [place for place in places if place is not None]

    def _prove(self, *_: object, **__: object) -> Selftest:
        rows = [
            Row(part, f"T {part}", "7", "5", "fail" if part in self.failing else "pass", "", part)
            for part in generator_fitness.PARTS
        ]
        return Selftest(tuple(rows), SelftestFigures(), 0.1)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_a_pass_is_enough_for_the_block_behind_it(bench: Bench) -> None:
    prover = bench.prover()
    prover.before(1)
    prover.after(1)
    assert bench.places == [0]

    prover.after(2)
    assert bench.places == [0, 2]


def test_a_ranking_that_nothing_proves_stops_a_campaign(bench: Bench) -> None:
    bench.failing = ("ranking",)

    with pytest.raises(Unproven, match=rf"T ranking: 7, bound 5\), {ATTEMPTS_MAX} times"):
        bench.prover().before(1)

    assert bench.places == [0] * ATTEMPTS_MAX


def test_it_goes_on_where_it_is_told_to_and_is_tested_after_each_block(bench: Bench) -> None:
    bench.failing = ("ranking",)
    prover = bench.prover(keep_going=True)

    prover.before(1)
    prover.after(1)
    prover.after(2)

    assert bench.places == [*[0] * ATTEMPTS_MAX, 1, 2]
    assert generator_proof.QUESTION not in bench.display.said


def test_latencies_that_nothing_proves_stop_no_campaign(bench: Bench) -> None:
    bench.failing = ("latency",)
    prover = bench.prover()

    prover.before(1)
    prover.after(1)

    assert bench.places == [*[0] * ATTEMPTS_MAX, 1]


def test_what_an_earlier_run_proved_stays_proven(bench: Bench) -> None:
    bench.prover().before(1)
    bench.failing = ("ranking",)

    bench.prover().before(2)

    assert bench.places == [0, *[1] * ATTEMPTS_MAX]


class OfAnotherVersion:
    """A backend whose load measures something else, and the trial that it opens."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = [
            {"event": "figures", "id": "late", "took_s": 1.0, "figures": {"x": None}}
        ]

    @contextmanager
    def open(self, _: object) -> Iterator[OfAnotherVersion]:
        yield self

    def next_event(self, _: float) -> dict[str, Any] | None:
        return self.events.pop() if self.events else None

    def load_log(self) -> str:
        return ""


def test_figures_of_a_load_of_another_version_fail_the_self_test_with_a_sentence() -> None:
    split = CpuSplit(server=(1,), load=(0,))

    proved = generator_proof.prove(cast("Any", OfAnotherVersion()), split, "mine")

    assert not proved.passed
    assert "the self-test's figures.late" in generator_fitness.why_not(kept_of(proved), "ranking")


def kept_of(proved: Selftest) -> StoredSelftest:
    return StoredSelftest.of(proved.as_json())

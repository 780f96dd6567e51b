"""A campaign takes more blocks until it is settled, or when it is asked to, and loses nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import synthetic

from harness.backends.process import ProcessBackend
from harness.campaign import campaign_run as campaigns
from harness.campaign import growth, launch, resuming
from harness.campaign.campaign_run import Request
from harness.contract.errors import UsageError
from harness.plan.profiles import profile as profiles

ROOT = Path(__file__).parents[2]
SERVERS = ["epoll-lt", "thread-per-connection"]
PROFILE = """
summary = "Until it is settled."
trials = 4
BOUND
timing = { warmup_s = 0.1, window_s = 1.5 }

[[scenarios]]
name = "idle"
connections = [10_000]
active = 100
"""


class Sayings:
    """A display that keeps the sentences that it gets."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def event(self, name: str, **facts: Any) -> None:
        pass


class Bench:
    """A campaign in a directory of its own, of which the trials are measured by hand."""

    def __init__(self, directory: Path, bound: str = "trials_max = 12", headline: str = "") -> None:
        self.profile = directory / "mine.toml"
        self.profile.write_text(PROFILE.replace("BOUND", bound) + headline)
        self.reports = directory / "reports"
        self.backend = ProcessBackend()
        self.request = launch.request_of(
            profile=str(self.profile),
            servers=SERVERS,
            servers_dir=ROOT / "servers",
            seed=7,
            workers=0,
            reports=self.reports,
            argv=("run",),
        )
        self.campaign = campaigns.create(self.request, self.backend)
        self.display = Sayings()

    def measure(self, spread: float) -> None:
        """Store what the plan has and the store has not; `spread` in turns, of the first server."""
        head, ended = (
            self.campaign.head().as_json(),
            {one["trial"] for one in self.campaign.outcomes()},
        )
        for line in synthetic.records(head):
            if line["trial"] in ended:
                continue
            if line["variant"] == SERVERS[0]:
                factor = 1 + spread * (-1) ** line["block"]
                line["server"]["cpu_ns"] = round(line["server"]["cpu_ns"] * factor)
            self.campaign.append_cell(line)
        for line in synthetic.outcomes(head):
            if line["trial"] not in ended:
                self.campaign.append_outcome(line)

    def resumed(self, added: int = 0) -> Request:
        return resuming.request_of(
            self.campaign.name,
            servers_dir=ROOT / "servers",
            reports=self.reports,
            include_nonconforming=False,
            keep_going=False,
            added=added,
        )

    def tell(self, request: Request, block: int) -> None:
        growth.tell(self.campaign, request, cast("Any", self.display), block)

    @property
    def stored(self) -> bytes:
        return b"".join(
            (self.campaign.directory / name).read_bytes()
            for name in ("trials.jsonl", "outcomes.jsonl")
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_settled_campaign_stops_at_its_first_look(bench: Bench) -> None:
    bench.measure(spread=0.0)
    bench.tell(bench.request, 4)

    assert growth.longer(bench.campaign, bench.request) is None
    assert bench.campaign.head().blocks == 4
    assert bench.display.said == ["look 1 after 4 blocks: settled"]


def test_another_goes_on_by_four_blocks_up_to_its_bound(bench: Bench) -> None:
    bench.measure(spread=0.6)
    first = bench.campaign.head().plan
    bench.tell(bench.request, 3)
    bench.tell(bench.request, 4)

    second = growth.longer(bench.campaign, bench.request)

    assert second is not None
    assert second.blocks_planned == 8
    longer = bench.campaign.head().plan
    assert longer[: len(first)] == first
    assert longer == [trial.planned() for trial in second.trials]
    assert {trial.block for trial in longer} == set(range(1, 9))
    assert growth.longer(bench.campaign, second) is None  # its blocks are still to be measured
    bench.measure(spread=0.6)
    bench.tell(second, 8)
    third = growth.longer(bench.campaign, second)
    assert third is not None
    assert third.blocks_planned == 12
    bench.measure(spread=0.6)
    bench.tell(third, 12)
    assert growth.longer(bench.campaign, third) is None
    names = "epoll-lt and thread-per-connection"
    assert [line.replace("thread-per-connection and epoll-lt", names)
            for line in bench.display.said] == [
        f"look 1 after 4 blocks: not settled: {names}; 4 more blocks",
        f"look 2 after 8 blocks: not settled: {names}; 4 more blocks",
        f"look 3 after 12 blocks: not settled: {names}",
    ]  # fmt: skip


def test_blocks_that_do_not_measure_the_headline_are_not_added(tmp_path: Path) -> None:
    other = '\n[[scenarios]]\nname = "active"\nconnections = [100]\n'
    bench = Bench(tmp_path, headline=f"blocks = 4\n{other}")
    bench.measure(spread=0.6)

    assert growth.longer(bench.campaign, bench.request) is None
    assert bench.campaign.head().blocks == 4
    with pytest.raises(UsageError, match="do not measure the headline"):
        bench.resumed(added=4)


def test_a_campaign_without_a_bound_has_the_blocks_of_its_profile(tmp_path: Path) -> None:
    bench = Bench(tmp_path, bound="")
    bench.measure(spread=0.6)

    assert growth.longer(bench.campaign, bench.request) is None


def test_blocks_are_added_on_request_and_a_later_resume_goes_on_with_them(bench: Bench) -> None:
    bench.measure(spread=0.6)
    before, plan_before = bench.stored, bench.campaign.head().plan
    more = bench.resumed(added=4)

    resuming.require_same(bench.campaign, more, bench.backend)
    growth.write_plan(bench.campaign, more)

    assert more.blocks_planned == 8
    assert bench.stored == before
    assert bench.campaign.head().plan[: len(plan_before)] == plan_before
    again = bench.resumed()
    assert again.blocks_planned == 8
    assert again.trials == more.trials
    resuming.require_same(bench.campaign, again, bench.backend)
    assert "8 block(s)" in launch.describe(again, bench.backend)


def test_another_seed_is_refused_whether_blocks_are_added_or_not(bench: Bench) -> None:
    for added in (0, 4):
        # The order of two servers in four blocks: of these seeds one has another
        other = [replace(bench.resumed(added), seed=seed) for seed in range(8, 14)]
        refused = 0
        for request in other:
            try:
                resuming.require_same(bench.campaign, request, bench.backend)
            except UsageError as error:
                refused += "the plan changed" in error.message
        assert refused


@pytest.mark.parametrize(
    ("text", "resumes", "count"), [(None, False, 0), ("+4", True, 4), ("8", True, 8)]
)
def test_blocks_are_added_in_the_steps_of_looks(
    text: str | None, resumes: bool, count: int
) -> None:
    assert growth.added(text, resumes=resumes) == count


@pytest.mark.parametrize("text", ["+3", "+0", "-4", "four", "+4.0", ""])
def test_other_numbers_of_blocks_are_refused_with_the_reason(text: str) -> None:
    with pytest.raises(UsageError, match="looks come every 4 blocks"):
        growth.added(text, resumes=True)


def test_blocks_without_a_campaign_to_resume_are_refused() -> None:
    with pytest.raises(UsageError, match="needs `--resume CAMPAIGN`"):
        growth.added("+4", resumes=False)


@pytest.mark.parametrize("bound", [3, 5, 7])
def test_a_bound_that_is_no_look_is_refused(tmp_path: Path, bound: int) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE.replace("BOUND", f"trials_max = {bound}"))

    with pytest.raises(UsageError, match="`trials_max`: expected `trials` = 4 and a multiple of 4"):
        profiles.load(str(path))

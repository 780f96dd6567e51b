"""What a person sees while a campaign runs: its report so far, and where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import synthetic

from harness.campaign.live_report import REDRAW_INTERVAL_S, Redrawing
from harness.campaign.progress import Plain, Progress
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import Interrupted
from harness.store.campaign_store import Campaign

LONG_S = 10 * REDRAW_INTERVAL_S


class Clock:
    """A time that only the test moves."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Drawer:
    """Stands for the drawing of a report; counts, and fails when it is told to."""

    def __init__(self) -> None:
        self.drawn = 0
        self.error: BaseException | None = None

    def __call__(self, campaign: Campaign) -> None:
        self.drawn += 1
        if self.error:
            raise self.error


def trial(display: Progress, index: int, of: int = 9) -> None:
    """The events of one trial."""
    place = {"block": index, "wave": 0}
    facts = {"index": index, "of": of, "trial": f"{index}-poll", "blocks": 9, **place}
    display.event("trial", variant="poll", left="1 min", **facts)
    cell = {"scenario": "idle", "connections": 100, "status": "valid", "reasons": []}
    display.event("progress", variant="poll", established=100, cell=0, of=2, **cell)
    display.event("cell", variant="poll", block=index, cell=0, echoes_per_cpu_s=4e4, **cell)
    display.event("outcome", variant="poll", outcome="done", code="", text="", **place)


@pytest.fixture
def drawer() -> Drawer:
    return Drawer()


def redrawing(drawer: Any, clock: Clock, estimate_s: float = LONG_S) -> Redrawing:
    campaign = Campaign(Path("nowhere"))
    return Redrawing(Plain(), campaign, estimate_s=estimate_s, redraw=drawer, clock=clock)


def test_the_report_is_drawn_after_the_first_trial_and_then_once_a_minute(drawer: Drawer) -> None:
    clock = Clock()
    display = redrawing(drawer, clock)
    counts = []
    for index, pause_s in enumerate((0, REDRAW_INTERVAL_S / 2, REDRAW_INTERVAL_S / 2, 0), start=1):
        clock.now_s += pause_s
        trial(display, index)
        counts.append(drawer.drawn)

    assert counts == [1, 1, 2, 2]


def test_nothing_is_drawn_while_a_trial_is_on_nor_after_the_last(drawer: Drawer) -> None:
    display = redrawing(drawer, Clock())
    place = {"index": 1, "of": 2, "trial": "1-poll", "block": 1, "blocks": 2, "wave": 0}
    display.event("trial", variant="poll", left="1 min", **place)
    display.event("progress", variant="poll", scenario="idle", connections=1, established=1)

    assert drawer.drawn == 0
    trial(display, 2, of=2)
    assert drawer.drawn == 0


def test_a_server_that_does_not_build_draws_nothing(drawer: Drawer) -> None:
    display = redrawing(drawer, Clock())
    end = {"outcome": "failed", "code": "build-failed", "text": "no", "block": 1}
    display.event("outcome", variant="poll", **end)

    assert drawer.drawn == 0


def test_a_campaign_under_a_minute_is_drawn_at_its_end_only(drawer: Drawer) -> None:
    display = redrawing(drawer, Clock(), estimate_s=REDRAW_INTERVAL_S - 1)
    trial(display, 1)

    assert drawer.drawn == 0


def test_a_report_that_cannot_be_drawn_ends_no_campaign(
    drawer: Drawer, capsys: pytest.CaptureFixture[str]
) -> None:
    drawer.error = ValueError("no ink")
    display = redrawing(drawer, Clock())
    trial(display, 1)

    assert "the report cannot be drawn now: no ink" in capsys.readouterr().out


def test_a_signal_while_drawing_still_ends_the_campaign(drawer: Drawer) -> None:
    drawer.error = Interrupted("interrupted by SIGTERM")

    with pytest.raises(Interrupted):
        trial(redrawing(drawer, Clock()), 1)


def test_the_report_of_a_running_campaign_says_so(tmp_path: Path) -> None:
    head = synthetic.campaign(state="running")
    campaign = Campaign.create(tmp_path, head["campaign"], CampaignHead.of(head))
    for line in synthetic.records(head)[:9]:
        campaign.append_cell(line)
    campaign.append_outcome(synthetic.outcomes(head)[0])

    trial(Redrawing(Plain(), campaign, estimate_s=LONG_S), 1, of=18)

    page = (campaign.directory / "report.html").read_text("utf-8")
    assert "The campaign is running: these are the figures so far." in page


def test_piped_lines_count_trials_and_cells(capsys: pytest.CaptureFixture[str]) -> None:
    display = Plain(verbose=True)
    for index in (1, 2):
        trial(display, index)

    lines = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "trial 1/9: poll, 1 min left",
        "  cell 1/2: poll idle at 100: valid",
        "poll 1/9 ✓ 40.0 k",
        "trial 2/9: poll, 1 min left",
        "  cell 1/2: poll idle at 100: valid",
        "poll 2/9 ✓ 40.0 k",
    ]

"""The lines of a running campaign, as a function of its events."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from harness.campaign import progress
from harness.campaign.progress_lines import CellSeen, Standings, TrialEnded, block

PLACE = {"index": 1, "of": 10, "beside": 1, "trial": "x", "left": "about 4 min"}


def cell(server: str, number: int, rate: float | None, **changes: Any) -> dict[str, Any]:
    facts = {"variant": server, "block": number, "cell": 0, "scenario": "idle"}
    usual = {"connections": 10_000, "status": "valid", "reasons": [], "echoes_per_cpu_s": rate}
    return facts | usual | {"echoes_per_s": rate, "latency_p99_us": None} | changes


def ended(server: str, number: int, **changes: Any) -> dict[str, Any]:
    facts = {"trial": "x", "variant": server, "block": number, "wave": 0}
    return facts | {"outcome": "done", "code": "", "text": ""} | changes


def standings(*events: Mapping[str, Any], blocks: int = 5) -> tuple[Standings, list[str]]:
    """The standings after the events, and the lines of the trials that ended."""
    seen = Standings(blocks=blocks)
    lines = []
    for facts in events:
        if "outcome" in facts:
            lines.append(seen.trial(TrialEnded.of(facts)))
        else:
            seen.see(CellSeen.of(facts))
    return seen, lines


RATES = (290_000.0, 310_000.0, 300_000.0)


def test_a_trial_is_one_line_with_the_rate_so_far_and_its_interval() -> None:
    events = []
    for number, rate in enumerate(RATES, start=1):
        events += [cell("epoll-lt", number, rate), ended("epoll-lt", number)]

    _, lines = standings(*events)

    assert lines == [
        "epoll-lt 1/5 ✓ 290 k",
        "epoll-lt 2/5 ✓ 300 k",
        "epoll-lt 3/5 ✓ 300 k ± 9 %",
    ]


@pytest.mark.parametrize(
    ("events", "line"),
    [
        (
            [ended("poll", 1, outcome="failed", code="not-ready", text="no echo within 10 s")],
            "poll 1/5 ✕ not-ready: no echo within 10 s",
        ),
        (
            [cell("poll", 1, 4e4, status="void", reasons=["40 messages were lost"])],
            "poll 1/5 ✓ 1 of 1 cells rejected: 40 messages were lost",
        ),
        (
            [cell("poll", 1, None, status="capped", reasons=["it holds 1,019"])],
            "poll 1/5 ✓ 1 of 1 cells capped: it holds 1,019",
        ),
        ([cell("poll", 1, 4e4, status="noisy", reasons=["steal"])], "poll 1/5 ✓ 40.0 k; 1 noisy"),
        ([cell("poll", 0, 4e4), ended("poll", 0)], "poll capacity ✓"),
        (
            [cell("poll", 1, 2e4), ended("poll", 1), cell("poll", 1, 4e4)],
            "poll 1/5 (again) ✓ 40.0 k",
        ),
    ],
)
def test_what_is_not_as_usual_is_in_the_line(events: list[dict[str, Any]], line: str) -> None:
    if "outcome" not in events[-1]:
        events = [*events, ended("poll", 1)]

    assert standings(*events)[1][-1] == line


def test_a_server_that_does_not_build_has_one_line_for_all_its_trials() -> None:
    failed = {"outcome": "failed", "code": "build-failed", "text": "no compiler"}

    _, lines = standings(ended("poll", 1, **failed), ended("poll", 2, **failed), blocks=0)

    assert lines == ["poll ✕ build-failed: no compiler", ""]


def test_the_provisional_ranking_is_of_the_most_connections_and_counts_what_it_leaves_out() -> None:
    seen, _ = standings(
        *(cell("epoll-lt", number, rate) for number, rate in enumerate(RATES, start=1)),
        cell("epoll-lt", 1, 9e9, cell=1, connections=100),
        cell("poll", 1, 50_000),
        cell("select", 1, 25_000),
        cell("select-fdset", 1, None, status="capped", reasons=["it holds 1,019"]),
    )

    assert seen.ranking(2) == [
        "Provisional, not a ranking of the report: echoes per second of server CPU, "
        "10,000 connections",
        "  epoll-lt  300 k ± 9 %",
        "  poll      50.0 k          6.00× slower",
        "  and 1 more",
        "  without a figure: select-fdset",
    ]
    assert Standings().ranking() == []


def test_a_block_has_one_line_and_cells_come_only_when_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def shown(*, verbose: bool) -> list[str]:
        display = progress.Plain(verbose=verbose)
        for variant in ("poll", "select"):
            facts = PLACE | {"variant": variant, "block": 1, "blocks": 5, "wave": 0}
            display.event("trial", **facts)
            display.event("cell", **cell(variant, 1, 4e4))
            display.event("outcome", **ended(variant, 1))
        return [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]

    assert shown(verbose=False) == [
        "block 1/5, about 4 min left",
        "poll 1/5 ✓ 40.0 k",
        "select 1/5 ✓ 40.0 k",
    ]
    assert shown(verbose=True)[1] == "  cell 1: poll idle at 10,000: valid, 40,000 echoes/s"


def test_what_is_measured_again_and_what_ran_beside_it_is_said() -> None:
    facts = PLACE | {"block": 2, "blocks": 5, "wave": 3, "variant": "poll", "again": "idle at 100"}

    assert block(facts | {"others": "gcc used 40 %"}) == (
        "block 2/5, wave 3, measured again: idle at 100 of poll, about 4 min left; "
        "beside it: gcc used 40 %"
    )


def test_a_terminal_shows_the_ranking_under_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda **_: Console(file=out, force_terminal=True, width=100)
    )
    with progress.Terminal() as display:
        display.event("trial", **PLACE, variant="poll", block=1, blocks=5, wave=0)
        display.event("cell", **cell("poll", 1, 4e4))
        display.event("outcome", **ended("poll", 1))
        display.event("trial", **PLACE, variant="poll", block=2, blocks=5, wave=0)

    assert "poll 1/5 ✓ 40.0 k" in out.getvalue()
    assert "Provisional, not a ranking" in out.getvalue()

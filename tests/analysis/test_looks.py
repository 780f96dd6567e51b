"""When verdicts are made, what they claim, and what is still open after them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import pytest
import synthetic

from harness.analysis import Analysis, analyse, settling
from harness.analysis.intervals import Comparison, Interval, Outcome, compare
from harness.analysis.looks import ALPHA, Look, Looks, blocks_to_settle, compare_all, of_campaign
from harness.analysis.places import places
from harness.analysis.results import Pair
from harness.analysis.series import Series
from harness.plan.profiles.profile import LOOK_STEP
from harness.report import model
from harness.report.plain_data import data
from harness.report.text import terminal_text

Lines = list[dict[str, Any]]
LOOK = Look(1, 8)


def test_looks_come_after_the_planned_blocks_and_then_after_every_four() -> None:
    seen = {blocks: Looks(first=8).at(blocks) for blocks in range(20)}

    assert {look.blocks for look in seen.values() if look} == {8, 12, 16}
    assert seen[7] is None
    assert seen[8] == seen[11] == Look(1, 8)
    assert seen[12] == Look(2, 12)
    assert [blocks for blocks in range(20) if Looks(first=8).is_look(blocks)] == [8, 12, 16]


def test_what_any_number_of_looks_spends_is_at_most_alpha() -> None:
    look, spent = Look(1, 8), 0.0
    for _ in range(1_000):
        spent += look.alpha
        assert spent < ALPHA
        look = look.following

    assert Look(1, 8).alpha == pytest.approx(0.025)
    assert Look(2, 12).alpha == pytest.approx(0.05 / 6)
    assert spent == pytest.approx(ALPHA * (1 - 1 / 1_001))  # the sum of 1 / (j (j + 1))
    assert look.blocks == 8 + 1_000 * LOOK_STEP


def test_all_pairs_of_a_family_share_the_error_of_a_look() -> None:
    values = {name: Series.of_blocks({1: 1.0, 2: 1.1, 3: 1.2, 9: 7.0}) for name in "abcdef"}

    found = compare_all(values, LOOK)

    assert list(found) == list(combinations("abcdef", 2))
    told = [one for one in found.values() if one]
    assert len(told) == 15
    assert all(one.confidence == pytest.approx(1 - 0.025 / 15) for one in told)
    assert all(one.blocks == 3 for one in told)  # the ninth is behind the look


def test_a_pair_without_three_common_blocks_counts_in_its_family() -> None:
    values = {name: even(range(1, count + 1)) for name, count in (("a", 3), ("b", 3), ("c", 1))}

    found = compare_all(values, LOOK)

    assert found["a", "c"] is None
    assert (one := found["a", "b"])
    assert one.confidence == pytest.approx(1 - 0.025 / 3)


def paired(outcome: Outcome, ratio: float) -> Comparison:
    return Comparison(ratio, Interval(ratio, ratio), 0.95, outcome, 8)


def ranks(names: str, outcomes: dict[str, Outcome]) -> dict[str, str]:
    """Ranks of servers, the best first, of which pairs such as "ab" have these outcomes."""
    ratios = {"different": 1.2, "equivalent": 1.01, "inconclusive": 1.05}
    pairs = [
        Pair(one, other, paired(outcomes[one + other], ratios[outcomes[one + other]]))
        for one, other in combinations(names, 2)
    ]
    return {name: place.rank for name, place in places(list(names), pairs, LOOK).items()}


def test_a_place_of_its_own_a_shared_rank_and_a_range() -> None:
    apart = dict.fromkeys(("ab", "ac", "ad", "bc", "bd"), "different")

    assert ranks("abcd", apart | {"cd": "different"}) == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert ranks("abcd", apart | {"cd": "equivalent"}) == {"a": "1", "b": "2", "c": "3=", "d": "3="}
    open_pair = apart | {"cd": "inconclusive"}
    assert ranks("abcd", open_pair) == {"a": "1", "b": "2", "c": "3–4", "d": "3–4"}


def test_servers_share_a_rank_only_where_every_pair_is_equivalent() -> None:
    """a is within 5 % of b and b of c, but a and c are not shown to be within 5 %."""
    chain = {"ab": "equivalent", "bc": "equivalent"}

    assert ranks("abc", chain | {"ac": "inconclusive"}) == dict.fromkeys("abc", "1–3")
    assert ranks("abc", chain | {"ac": "different"}) == {"a": "1–2", "b": "1–3", "c": "2–3"}
    assert ranks("abc", chain | {"ac": "equivalent"}) == dict.fromkeys("abc", "1=")


def test_a_server_that_is_shown_to_be_worse_is_behind_whatever_the_order_of_the_pair() -> None:
    pairs = [Pair("slow", "fast", paired("different", 0.8))]

    found = places(["slow", "fast"], pairs, LOOK)

    assert (found["fast"].rank, found["slow"].rank) == ("1", "2")


def even(blocks: Iterable[int]) -> Series:
    """The same value in each block."""
    return Series.of_blocks(dict.fromkeys(blocks, 1.0))


def noisy(ratio: float, sd: float, blocks: int) -> Comparison:
    """A pair of servers whose log-ratios have exactly that mean and standard deviation."""
    steps = [(-1) ** block * sd * math.sqrt((blocks - 1) / blocks) for block in range(blocks)]
    one = {block: ratio * math.exp(step) for block, step in enumerate(steps)}
    found = compare(Series.of_blocks(one), even(one), LOOK.confidence(6))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ratio", "sd", "more"),
    [(1.00, 0.04, 8), (1.10, 0.08, 8), (1.10, 0.12, 28), (1.045, 0.04, None), (1.0, 0.3, None)],
)
def test_how_many_more_blocks_would_settle_a_pair(ratio: float, sd: float, more: int) -> None:
    """The first later look at which the same mean and spread decide, computed here once more."""
    found = noisy(ratio, sd, 8)
    assert found.outcome == "inconclusive"

    assert blocks_to_settle(found, LOOK) == more

    decided = []
    for look in range(2, 12):
        blocks = 8 + 4 * (look - 1)
        same = noisy(ratio, sd, blocks)
        level = 1 - ALPHA / (look * (look + 1)) / 15
        logs = {b: math.exp(math.log(ratio) + (-1) ** b * sd * math.sqrt((blocks - 1) / blocks))
                for b in range(blocks)}  # fmt: skip
        again = compare(Series.of_blocks(logs), even(logs), level)
        assert again is not None
        assert again.ratio == pytest.approx(same.ratio)
        decided += [4 * (look - 1)] if again.outcome != "inconclusive" else []
    assert (decided or [None])[0] == more


def analysed(
    trials: int, *, completed: int | None = None, planned: int | None = None, **changes: Any
) -> Analysis:
    """A campaign whose profile plans `trials` blocks, of which `completed` have ended."""
    head = synthetic.campaign(trials=planned or trials, **changes)
    head["profile"]["trials"] = trials
    lines = synthetic.records(head)
    outcomes = synthetic.outcomes(head)
    if completed is not None:
        outcomes = [line for line in outcomes if line["block"] <= completed]
    return analyse(head, lines, outcomes)


def test_before_the_first_look_nothing_is_ranked() -> None:
    found = analysed(8, completed=5, state="interrupted")

    assert found.looks == Looks(first=8, planned=8, completed=5)
    assert {row.rank for row in found.rows} == {"—"}
    assert (found.contrasts, found.floor) == ((), ())
    assert not settling.settled(found)
    assert found.unranked is not None
    assert found.unranked.code == "first-look"
    assert found.unranked.why == "5 of 8 blocks are measured, the first look comes after 8"
    assert found.unranked.advice == "Finish it with `c10k run --resume 20260301-140200-quick`"


def test_between_two_looks_no_verdict_changes() -> None:
    at_look = analysed(4, completed=8, planned=12)
    between = analysed(4, completed=11, planned=12)
    after = analysed(4, completed=12, planned=12)

    assert at_look.looks.last == between.looks.last == Look(2, 8)
    assert at_look.groups[0].pairs == between.groups[0].pairs
    assert at_look.contrasts == between.contrasts
    assert after.looks.last == Look(3, 12)
    assert after.groups[0].pairs != between.groups[0].pairs
    pair = between.groups[0].pairs[0].comparison
    assert pair is not None
    assert (pair.blocks, pair.confidence) == (8, pytest.approx(1 - 0.05 / 6 / 10))


def test_a_block_is_complete_when_every_trial_of_it_has_ended() -> None:
    head = synthetic.campaign(trials=5)
    outcomes = [line for line in synthetic.outcomes(head) if line["trial"] != "4-poll"]

    assert of_campaign(head, outcomes) == Looks(first=5, planned=5, completed=3)


def test_a_campaign_of_an_older_version_has_its_one_look_at_its_trials() -> None:
    assert analysed(3).looks.last == Look(1, 3)
    assert analysed(5).looks.last == Look(1, 5)


def test_the_pairs_of_another_cell_are_the_family_of_that_cell() -> None:
    """select-fdset has no figure at 10,000 connections and one at 100: ten pairs and fifteen."""
    found = analysed(5)
    levels = {
        (one.key.scenario, one.key.connections): one.comparison.confidence
        for one in found.contrasts
    }

    assert levels["idle", 10_000] == pytest.approx(1 - 0.025 / 10)
    assert levels["idle", 100] == pytest.approx(1 - 0.025 / 15)
    assert found.contrast("poll", found.headline.key) is not None
    row = next(row for row in found.rows if row.variant == "poll")
    assert (one := found.contrast("poll", found.headline.key))  # type: ignore[arg-type]
    assert one.comparison == row.comparison


def test_an_experimental_server_takes_nothing_from_the_others() -> None:
    head = synthetic.campaign(trials=5)
    lines, outcomes = synthetic.records(head), synthetic.outcomes(head)
    head["variants"][0]["status"] = "experimental"

    found = analyse(head, lines, outcomes)

    (group,) = found.groups
    assert not any("epoll-et" in (pair.one, pair.other) for pair in group.pairs)
    compared = [pair.comparison for pair in group.pairs if pair.comparison]
    assert [one.confidence for one in compared] == pytest.approx([1 - 0.025 / 6] * 6)
    against = found.contrast("epoll-et", found.headline.key)  # type: ignore[arg-type]
    assert against is not None
    assert against.comparison.confidence == pytest.approx(1 - 0.025 / 6)


def test_a_settled_campaign_stops_and_another_takes_four_more_blocks_up_to_its_bound() -> None:
    settled = analysed(5)
    for pair in settled.groups[0].pairs:
        assert pair.is_settled == (pair not in settling.unsettled(settled))
    head = synthetic.campaign(trials=4)
    lines = with_spread(synthetic.records(head), "epoll-et")
    unsettled = analyse(head, lines, synthetic.outcomes(head))

    assert not settling.settled(unsettled)
    assert settling.blocks_to_plan(unsettled, 4) is None
    assert settling.blocks_to_plan(unsettled, 8) == 8
    assert settling.blocks_to_plan(unsettled, 12) == 8
    only = {"epoll-lt", "thread-per-connection"}
    head["variants"] = [one for one in head["variants"] if one["name"] in only]
    head["plan"] = [one for one in head["plan"] if one["variant"] in only]
    kept = [line for line in lines if line["variant"] in only]
    two = analyse(head, kept, synthetic.outcomes(head))
    assert settling.settled(two)
    assert settling.blocks_to_plan(two, 100) is None
    assert settling.progress(two, Look(1, 4), 0) == "look 1 after 4 blocks: settled"


def with_spread(lines: Lines, variant: str, spread: float = 0.04) -> Lines:
    """The headline of a server, by so much slower and faster in turns."""
    changed = copy.deepcopy(lines)
    for line in changed:
        if (line["variant"], line["scenario"], line["connections_requested"]) == (
            variant,
            "idle",
            10_000,
        ):
            factor = 1 + spread * (-1) ** line["block"]
            line["server"]["cpu_ns"] = round(line["server"]["cpu_ns"] * factor)
    return changed


def test_what_is_not_settled_is_said_in_table_and_validity_line_with_what_to_do() -> None:
    head = synthetic.campaign(trials=8)
    lines = with_spread(synthetic.records(head), "epoll-et")

    built = model.build(head, lines, synthetic.outcomes(head))

    row = next(row for row in built.analysis.rows if row.variant == "epoll-et")
    more = row.blocks_to_settle
    assert more is not None
    assert more % LOOK_STEP == 0
    shown = next(row for group in built.groups for row in group.rows if row.variant == "epoll-et")
    assert shown.words == f"none; not settled: about {more} more blocks"
    assert f"`c10k run --resume 20260301-140200-quick --blocks +{more}`" in built.validity.text
    assert "about" in terminal_text.render(built)
    assert "by the 8 blocks of look 1. 1=: equivalent; 1–3: not settled." in built.caption
    told = settling.progress(built.analysis, Look(1, 8), 4)
    assert told.startswith("look 1 after 8 blocks: not settled: epoll-lt and epoll-et")
    assert told.endswith("; 4 more blocks")


def test_the_data_has_every_pair_the_look_and_whether_it_is_settled() -> None:
    head = synthetic.campaign(trials=5)
    built = model.build(head, synthetic.records(head), synthetic.outcomes(head))

    told = data(built)

    assert told["looks"] == {"first": 5, "planned": 5, "completed": 5}
    assert told["look"] == {"number": 1, "blocks": 5}
    assert told["settled"] is settling.settled(built.analysis)
    (group,) = told["groups"]
    columns = group["pairs"]["columns"]
    rows = [dict(zip(columns, row, strict=True)) for row in group["pairs"]["rows"]]
    for row, pair in zip(rows, built.analysis.groups[0].pairs, strict=True):
        assert pair.comparison is not None
        assert (row["one"], row["other"]) == (pair.one, pair.other)
        assert row["comparison.outcome"] == pair.comparison.outcome
        assert row["comparison.ratio"] == pytest.approx(pair.comparison.ratio, rel=1e-4)
    places = {row["variant"]: row.get("places") for row in group["rows"]}
    assert places["poll"] == list(
        next(r for r in built.analysis.rows if r.variant == "poll").places or ()
    )


@pytest.mark.parametrize(
    ("spread", "state", "said"),
    [
        (0.04, "done", "epoll-et ({} more blocks would settle them: `c10k run --resume "),
        (0.04, "running", "epoll-et ({} more blocks would settle them)"),
        (0.5, "done", "(more blocks are unlikely to settle them)"),
        (0.001, "done", ""),
    ],
)
def test_the_advice_is_what_can_be_done(spread: float, state: str, said: str) -> None:
    head = synthetic.campaign(trials=8, state=state)
    only = {"epoll-lt", "epoll-et"}
    head["variants"] = [one for one in head["variants"] if one["name"] in only]
    head["plan"] = [one for one in head["plan"] if one["variant"] in only]
    lines = with_spread(synthetic.records(head), "epoll-et", spread)

    found = analyse(head, lines, synthetic.outcomes(head))

    told = settling.advice(found, head)
    more = {row.blocks_to_settle for row in found.rows if row.places}
    assert said.format(f"about {more.pop()}") in told
    assert told.startswith("not settled: epoll-") is bool(said)


def test_blocks_that_are_planned_already_need_no_option() -> None:
    """Look 1 is complete, the plan has four blocks more, and they would be enough."""
    head = synthetic.campaign(trials=12, state="interrupted")
    head["profile"]["trials"] = 8
    lines = with_spread(synthetic.records(head), "epoll-et")
    outcomes = [line for line in synthetic.outcomes(head) if line["block"] <= 9]

    found = analyse(head, lines, outcomes)

    most = max(row.blocks_to_settle or 0 for row in found.rows)
    assert most >= 4
    added = f" --blocks +{most - 4}" if most > 4 else ""
    assert f"`c10k run --resume 20260301-140200-quick{added}`" in settling.advice(found, head)

"""Comparing two campaigns: what is told, what is refused, and what a program can rely on."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic
from click.testing import CliRunner, Result

from harness.analysis.two_campaigns import compare_unpaired, unlike, welch
from harness.cli import main
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import Exit, UsageError
from harness.contract.stored_campaign import StoredHead
from harness.report import campaign_comparison, draw, model
from harness.report.campaign_comparison import Compared
from harness.report.text import compare_formats
from harness.store.campaign_store import Campaign

Lines = list[dict[str, Any]]
EVIL = "<script>alert(1)</script>"
TRIALS = 5


def side(
    name: str, *, seed: int, cost: dict[str, float] | None = None, **changes: Any
) -> tuple[dict[str, Any], Lines]:
    """A campaign whose servers take `cost` times the CPU time that they took."""
    head = synthetic.campaign(trials=TRIALS) | {"campaign": name, **changes}
    lines = synthetic.records(head, seed)
    for line in lines:
        factor = (cost or {}).get(line["variant"], 1.0)
        if factor != 1.0 and "cpu_ns" in line["server"]:
            line["server"]["cpu_ns"] = round(line["server"]["cpu_ns"] * factor)
    return head, lines


def compared(before: tuple[dict[str, Any], Lines], after: tuple[dict[str, Any], Lines]) -> Compared:
    built = [
        (head, model.build(head, lines, synthetic.outcomes(head)))
        for head, lines in (before, after)
    ]
    return campaign_comparison.build(built[0], built[1])


@pytest.fixture(scope="module")
def slower_poll() -> Compared:
    return compared(side("one", seed=1), side("two", seed=2, cost={"poll": 1.2}))


def outcomes(found: Compared) -> dict[str, str]:
    return {row.variant: row.outcome for row in found.rows}


def test_a_server_that_takes_a_fifth_more_cpu_is_slower_and_the_others_are_not(
    slower_poll: Compared,
) -> None:
    found = outcomes(slower_poll)

    assert found["poll"] == "slower"
    assert {found[name] for name in ("epoll-et", "epoll-lt", "select")} == {"unchanged"}
    poll = next(one for one in slower_poll.changes if one.variant == "poll")
    assert poll.comparison is not None
    assert poll.comparison.interval.low < 1 / 1.2 < poll.comparison.interval.high
    assert slower_poll.verdict.text.startswith("poll −1")
    assert "others unchanged (within ± 5 %)" in slower_poll.verdict.text


def test_what_was_measured_on_neither_side_says_why(slower_poll: Compared) -> None:
    row = next(row for row in slower_poll.rows if row.variant == "select-fdset")

    assert row.outcome.startswith("not compared: capped (holds 1,019")
    assert (row.before, row.after, row.change) == ("—", "—", "—")
    assert "select-fdset not compared" in slower_poll.verdict.text
    assert slower_poll.lost == ()


def test_a_spread_too_wide_to_tell_is_inconclusive_not_unchanged() -> None:
    noisy = side("two", seed=2)
    for line in noisy[1]:
        if line["variant"] == "poll" and "cpu_ns" in line["server"]:
            line["server"]["cpu_ns"] = round(
                line["server"]["cpu_ns"] * (1.0, 1.5, 0.8, 1.4, 0.9)[line["block"] - 1]
            )

    found = compared(side("one", seed=1), noisy)

    assert outcomes(found)["poll"] == "inconclusive"
    assert " inconclusive" in found.verdict.text
    assert found.regressed(1) == ()


def test_the_same_figures_twice_are_unchanged() -> None:
    found = compared(side("one", seed=1), side("two", seed=1))

    assert found.verdict.text == "select-fdset not compared, others unchanged (within ± 5 %)."
    assert found.regressed(0) == ()


def thin(name: str) -> tuple[dict[str, Any], Lines]:
    """A campaign with one trial."""
    head, lines = side(name, seed=1)
    return head, [line for line in lines if line["block"] == 1]


def renamed(name: str) -> tuple[dict[str, Any], Lines]:
    """A campaign of other servers."""
    head, lines = side(name, seed=1)
    for one, key in [(one, "name") for one in head["variants"]] + [
        (one, "variant") for one in (*lines, *head["plan"])
    ]:
        one[key] = f"{one[key]}-2"
    return head, lines


def in_other_cells(name: str) -> tuple[dict[str, Any], Lines]:
    head = synthetic.campaign(trials=TRIALS, connections=(200,)) | {"campaign": name}
    return head, synthetic.records(head)


@pytest.mark.parametrize(
    ("after", "why", "advice"),
    [
        (lambda: thin("two"), "no server has 3 usable trials in both campaigns", "3 trials"),
        (lambda: renamed("two"), "the campaigns have no server in common", "share servers"),
        (lambda: in_other_cells("two"), "no cell in common", "the same profile"),
        (
            lambda: (side("two", seed=1)[0] | {"plan": []}, []),
            *("no cell was measured in the campaign after", "have figures"),
        ),
    ],
    ids=["thin", "servers", "cells", "empty"],
)
def test_a_comparison_of_nothing_says_why_and_is_neither_good_nor_bad(
    after: Callable[[], tuple[dict[str, Any], Lines]], why: str, advice: str
) -> None:
    head, lines = after()
    head["variants"] = [one for one in head["variants"] if lines or one["name"] != "poll"]
    head["variants"] = head["variants"] if lines else []
    found = compared(side("one", seed=1), (head, lines))
    page = compare_formats.page(found)

    assert found.verdict.text.startswith("Nothing is compared: ")
    assert why in found.verdict.text
    assert advice in found.verdict.text
    assert found.tone == "neutral"
    assert '<p class="verdict neutral" id="verdict">' in page
    assert {row.tone for row in found.rows} <= {"neutral", "bad"}
    for text in (compare_formats.text(found), compare_formats.markdown(found), page):
        assert text.count(found.verdict.text) == 1
    assert compare_formats.document(found)["level"] == "neutral"


def test_the_colour_of_a_comparison_is_that_of_its_outcome(slower_poll: Compared) -> None:
    assert slower_poll.tone == "bad"
    assert compared(side("one", seed=1), side("two", seed=1)).tone == "ok"
    lost = thin("two")
    lost = (lost[0], [line for line in lost[1] if line["variant"] != "poll"])
    assert compared(side("one", seed=1), lost).tone == "bad"


def test_the_other_cells_are_compared_too_and_decide_nothing(slower_poll: Compared) -> None:
    found = {cell.what: cell for cell in slower_poll.elsewhere}

    assert "idle 10,000" not in found  # the headline
    assert {"idle 100", "idle 1,000", "active 10,000"} <= set(found)
    rows = {row.variant: row.outcome for row in found["idle 1,000"].rows}
    assert rows["poll"] == "slower"
    assert "1 slower" in found["idle 1,000"].told
    assert "idle 1,000: 1 slower" in compare_formats.page(slower_poll)


def test_only_a_difference_of_that_size_is_a_regression(slower_poll: Compared) -> None:
    assert slower_poll.regressed(5) == ("poll",)
    assert slower_poll.regressed(30) == ()


def test_a_server_that_got_faster_is_no_regression() -> None:
    found = compared(side("one", seed=1), side("two", seed=2, cost={"poll": 0.7}))

    assert outcomes(found)["poll"] == "faster"
    assert found.regressed(0) == ()


def test_a_server_without_a_figure_any_more_is_a_regression() -> None:
    head, lines = side("two", seed=2)
    kept = [line for line in lines if line["variant"] != "poll"]

    assert compared(side("one", seed=1), (head, kept)).regressed(50) == ("poll",)

    head["variants"] = [one for one in head["variants"] if one["name"] != "poll"]
    head["plan"] = [one for one in head["plan"] if one["variant"] != "poll"]

    assert compared(side("one", seed=1), (head, kept)).regressed(50) == ()


def test_the_numbers_of_every_format_are_those_of_the_table(slower_poll: Compared) -> None:
    texts = [
        compare_formats.text(slower_poll),
        compare_formats.markdown(slower_poll),
        compare_formats.page(slower_poll),
    ]

    for text in texts:
        assert all(row.change in text for row in slower_poll.rows)
        assert all(part.text in text for part in slower_poll.verdict.numbers)
    assert json.loads(draw.comparison_as("json", slower_poll))["verdict"] in texts[0]


def test_markup_and_tables_in_a_name_are_text() -> None:
    head, lines = side("two", seed=2)
    head["environment"]["kernel"] = f"{EVIL} | x"
    found = compared(side("one", seed=1), (head, lines))

    assert "<script" not in compare_formats.page(found)
    markdown = compare_formats.markdown(found)
    assert "<script" not in markdown.replace("\\<", "")
    assert "\\| x" in markdown


def test_what_else_changed_is_listed(slower_poll: Compared) -> None:
    head, lines = side("two", seed=2)
    head["environment"] |= {"kernel": "6.9.0-toy", "libraries": {"locust": "2"}}
    head["variants"][1]["digest"] = "f" * 64

    found = compared(side("one", seed=1), (head, lines)).environment

    assert [one.name for one in slower_poll.environment] == []
    assert {(one.name, one.before, one.after) for one in found} == {
        ("kernel", "6.1.0-toy", "6.9.0-toy"),
        ("libraries.locust", "n/a", "2"),
        ("sources of epoll-lt", "000000000000", "ffffffffffff"),
    }


def test_unequal_spread_and_size_give_the_interval_of_welch() -> None:
    """Against SciPy's own test on the logarithms."""
    stats = pytest.importorskip("scipy.stats")
    numpy = pytest.importorskip("numpy")
    one, other = [100.0, 104.0, 98.0, 101.0], [120.0, 90.0, 131.0]

    ratio, interval = welch(one, other)

    expected = stats.ttest_ind(numpy.log(other), numpy.log(one), equal_var=False)
    bounds = numpy.exp(expected.confidence_interval(0.95))
    assert (interval.low, interval.high) == pytest.approx(tuple(bounds))
    assert ratio == pytest.approx(float(numpy.exp(numpy.log(other).mean() - numpy.log(one).mean())))


def test_the_servers_of_a_comparison_share_its_error_evenly() -> None:
    sides = ([100.0, 101.0, 99.0], [100.0, 100.5, 99.5])

    found = compare_unpaired(dict.fromkeys("abcd", sides))

    assert [one.confidence for one in found.values()] == pytest.approx([1 - 0.05 / 4] * 4)


def test_equal_servers_are_called_different_hardly_ever() -> None:
    dice = random.Random(3)  # noqa: S311 (figures to repeat, not secrets)
    called = 0
    for _ in range(200):
        pairs = {
            name: tuple([dice.lognormvariate(0, 0.05) for _ in range(5)] for _ in range(2))
            for name in "abcdef"
        }
        found = compare_unpaired({name: (pair[0], pair[1]) for name, pair in pairs.items()})
        called += any(one.outcome == "different" for one in found.values())

    assert called <= 0.1 * 200


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reports")
    other_host = copy.deepcopy(synthetic.campaign()["environment"]) | {"cpu_model": "Toy CPU 1"}
    for head, lines in (
        side("one", seed=1),
        side("two", seed=2, cost={"poll": 1.2}),
        side("away", seed=2, environment=other_host),
    ):
        campaign = Campaign.create(root, head["campaign"], CampaignHead.of(head))
        for line in lines:
            campaign.append_cell(line)
        for outcome in synthetic.outcomes(head):
            campaign.append_outcome(outcome)
    return root


@pytest.fixture(scope="module")
def c10k(reports: Path) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            main.cli, [*arguments, "--reports", str(reports)], standalone_mode=False
        )

    return run


def test_unlike_hosts_are_refused_by_name_and_compared_under_a_banner_when_forced(
    c10k: Callable[..., Result],
) -> None:
    refused = c10k("compare", "one", "away")
    forced = c10k("compare", "one", "away", "--force")

    assert isinstance(refused.exception, UsageError)
    assert refused.exception.exit_code == Exit.USAGE
    told = "environment.cpu_model is Toy CPU 9000, then Toy CPU 1"
    assert told in refused.exception.message
    assert "--force" in refused.exception.hint
    assert "Forced: plan or host differ (environment.cpu_model)" in forced.output


def test_a_campaign_older_than_a_key_of_profiles_is_no_other_plan() -> None:
    old: dict[str, Any] = {"profile": {"trials": 3, "scenarios": [{"name": "idle"}]}}
    now: dict[str, Any] = {
        "profile": {
            **{"trials": 3, "side_by_side": False},
            "scenarios": [{"name": "idle", "turns": 1, "window_s": None}],
        }
    }
    beside = {"profile": now["profile"] | {"side_by_side": True}}

    first = StoredHead.of(old)
    assert unlike(first, StoredHead.of(now)) == ()
    assert [one.name for one in unlike(first, StoredHead.of(beside))] == ["profile.side_by_side"]


def test_a_regression_is_exit_code_5_only_where_it_is_asked_for(
    c10k: Callable[..., Result],
) -> None:
    assert c10k("compare", "one", "two").return_value == Exit.OK
    limit = "--fail-on-regression"
    assert c10k("compare", "one", "two", limit, "5").return_value == Exit.GATE_FAILED
    assert c10k("compare", "one", "two", limit, "30").return_value == Exit.OK
    assert c10k("compare", "two", "one", limit, "5").return_value == Exit.OK


def test_the_page_is_written_beside_the_later_report(
    reports: Path, c10k: Callable[..., Result]
) -> None:
    path = Path(c10k("compare", "one", "two", "--format", "html").output.splitlines()[-1])

    assert path == reports / "two" / "compare-one.html"
    page = path.read_text("utf-8")
    assert 'href="../one/report.html"' in page
    assert "<script" not in page


def test_a_report_is_printed_in_every_format_from_the_same_figures(
    reports: Path, c10k: Callable[..., Result]
) -> None:
    text, markdown = c10k("report", "one").output, c10k("report", "one", "--format", "md").output
    data = json.loads(c10k("report", "one", "--format", "json").output)
    csv = c10k("report", "one", "--format", "csv").output

    assert (reports / "one" / "report.html").is_file()
    assert data["verdict"].split(". ")[0] in text
    assert data["verdict"].split(". ")[0] in markdown.replace("\\", "")
    assert len(csv.splitlines()) == 1 + len(data["data"]["cells"]["rows"])
    assert "| epoll-et |" in markdown

"""The index lists every campaign directory, whatever is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import synthetic

from harness.analysis import wording
from harness.report import history, index, model
from harness.report.model import Model
from harness.report.page import html


def test_a_campaign_is_listed_from_its_own_report(tmp_path: Path, built: Model) -> None:
    directory = tmp_path / "20260301-140200-quick"
    directory.mkdir()
    (directory / "campaign.json").write_text("{}")
    (directory / "report.html").write_text(html.render(built))

    (entry,) = index.entries(tmp_path)

    assert entry == index.entry(built, "20260301-140200-quick/report.html")
    assert entry.verdict == " ".join(built.verdict_lines)
    assert (entry.profile, entry.level) == ("quick", "warn")


def test_a_campaign_without_a_report_is_listed_without_a_link(tmp_path: Path) -> None:
    for name, content in (("broken", "{"), ("early", json.dumps(synthetic.campaign()))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "campaign.json").write_text(content)
    (tmp_path / "not-a-campaign").mkdir()

    entries = index.entries(tmp_path)

    assert [(entry.campaign, entry.href) for entry in entries] == [("broken", ""), ("early", "")]
    assert entries[1].created == "2026-03-01 14:02 UTC"
    assert "No report yet." in index.render(entries)


def test_the_latest_campaign_comes_first(built: Model) -> None:
    older = index.entry(built, "a/report.html")
    newer = type(older)(**{**_values(older), "created": "2027-01-01 00:00 UTC", "href": "b"})

    page = index.render([older, newer])

    assert page.index("2027-01-01") < page.index("2026-03-01")


def test_a_hostile_campaign_is_listed_as_text(head: dict[str, Any], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    directory = tmp_path / "a b&<c>"
    directory.mkdir()
    (directory / "campaign.json").write_text("{}")
    changed = head | {"campaign": evil, "created_utc": evil}
    (directory / "report.html").write_text(html.render(model.build(changed, [], [])))

    (entry,) = index.entries(tmp_path)
    page = index.render([entry])

    assert (entry.campaign, entry.created) == (directory.name, evil)
    assert "<script" not in page
    assert 'href="a%20b%26%3Cc%3E/report.html"' in page


def campaigns_with(*changes: dict[str, Any]) -> list[index.Entry]:
    """Entries of the same campaign on successive days, each changed."""
    found = []
    for day, changed in enumerate(changes, start=1):
        head = synthetic.campaign() | {"created_utc": f"2026-03-{day:02}T14:02:00+00:00"}
        head |= {"environment": head["environment"] | changed, "campaign": f"day-{day}"}
        records = synthetic.records(head, seed=day)
        drawn = model.build(head, records, synthetic.outcomes(head))
        found.append(index.entry(drawn, f"day-{day}/report.html"))
    return found


def test_the_history_joins_a_server_s_headlines_and_marks_what_changed() -> None:
    entries = campaigns_with({}, {"kernel": "6.2.0-toy"}, {"kernel": "6.2.0-toy", "git": "5d6e7f8"})
    known = [(one.campaign, one.created, one.href, one.history) for one in reversed(entries)]

    tracks = history.tracks(known)
    poll = next(track for track in tracks if track.variant == "poll")

    assert len(tracks) == 5  # select-fdset never reaches the headline
    assert [moment.campaign for moment in poll.moments] == ["day-1", "day-2", "day-3"]
    assert [moment.marks for moment in poll.moments] == [(), ("kernel",), ("harness",)]
    assert poll.change == wording.change(poll.moments[2].value / poll.moments[0].value - 1).text
    page = index.render(entries)
    assert "changed: kernel" in page
    assert page.count("<polyline") == 5


def test_another_host_has_a_line_of_its_own() -> None:
    known = [
        (one.campaign, one.created, one.href, one.history)
        for one in campaigns_with({}, {"cpu_model": "Other CPU"})
    ]

    polls = [track for track in history.tracks(known) if track.variant == "poll"]

    assert [len(track.moments) for track in polls] == [1, 1]
    assert {track.change for track in polls} == {""}


def test_an_index_of_nothing_says_what_to_do() -> None:
    assert "c10k run" in index.render([])


def test_judging_a_cell_loads_no_library_of_charts_or_tables() -> None:
    """`c10k servers` and the trials must not wait for pandas and the renderer."""
    program = (
        "import sys, harness.gates, harness.contract.record, harness.report;"
        "print([m for m in ('pandas', 'scipy', 'vl_convert', 'jinja2') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert found.stdout.strip() == "[]"


def _values(entry: index.Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}


def test_a_copy_is_listed_by_its_directory_and_what_is_no_file_is_no_campaign(
    tmp_path: Path, built: Model
) -> None:
    for name in ("copy", "pipe"):
        (tmp_path / name).mkdir()
    (tmp_path / "copy" / "campaign.json").write_text("{}")
    (tmp_path / "copy" / "report.html").write_text(html.render(built))
    os.mkfifo(tmp_path / "pipe" / "campaign.json")

    (entry,) = index.entries(tmp_path)

    assert entry.campaign == "copy"


def test_a_report_that_cannot_be_read_hides_no_other_campaign(tmp_path: Path) -> None:
    for name in ("loop", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "campaign.json").write_text(json.dumps(synthetic.campaign()))
    (tmp_path / "loop" / "report.html").mkdir()  # root, too, cannot read it as a file

    assert [entry.href for entry in index.entries(tmp_path)] == ["", ""]

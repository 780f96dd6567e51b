"""A campaign on the disk that was damaged, was moved, or was measured with what is gone since."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inprocess import Ended, c10k

from harness.contract.errors import Exit

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "data" / "kept"
SERVERS = ROOT / "servers"


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A campaign that was measured; its profile was a file that is not here."""
    return Path(shutil.copytree(KEPT, tmp_path / "reports" / "kept"))


def report(campaign: Path, *more: str) -> Ended:
    return c10k("report", campaign.name, "--reports", campaign.parent, *more)


def refused(ended: Ended, *words: str) -> None:
    assert ended.code == Exit.USAGE, ended.err
    assert "Traceback" not in ended.err
    for one in words:
        assert one in ended.err


def test_a_campaign_of_an_earlier_version_is_read(campaign: Path) -> None:
    ended = report(campaign, "--format", "csv")

    assert ended.code == Exit.OK, ended.err
    assert len(ended.out.splitlines()) > len((campaign / "trials.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "expected a table, got a list"),
        ("{", "is damaged: Expecting property name"),
        ("[" * 3_000, "is damaged: its lists or tables are nested too deeply"),
        (f'{{"schema": 1, "seed": {"9" * 5_000}}}', "an integer has 5,000 digits"),
        ('{"schema": 1, "seed": 1e999}', "1e999 is no finite number"),
        ('{"schema": 1, "variants": [{"name": 5}]}', "`variants.0.name`"),
        ('{"schema": 1, "plan": {}}', "`plan`"),
        ('{"schema": 1, "waves": {"anchor": "poll"}}', "`waves.members`"),
        ('{"schema": 1, "waves": {"anchor": "poll", "members": []}}', "`waves.members`"),
        ('{"schema": 1, "others": {"view": "groups", "span_s": "1"}}', "`others.span_s`"),
    ],
)
def test_a_damaged_head_is_told_with_what_is_wrong(
    campaign: Path, content: str, words: str
) -> None:
    path = campaign / "campaign.json"
    path.write_text(content)

    refused(report(campaign), f"{path}: ", words)


def in_line(number: int, change: Callable[[dict[str, Any]], object], path: Path) -> None:
    """Change the record in a line of a file, counted from 1."""
    lines = path.read_text().splitlines()
    record = json.loads(lines[number - 1])
    change(record)
    lines[number - 1] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"histogram": "HISTFAAAAA"}, "damaged histogram"),
        ({"cell": "first"}, "`cell`"),
        ({"parts_per_s": [1.0, "x"]}, "`parts_per_s.1`"),
        ({"reasons": [["steal"]]}, "`reasons.0`"),
        ({"closing": "30m"}, "`closing`"),
        ({"echoes_per_s": float("nan")}, "NaN is no finite number"),
    ],
)
def test_a_damaged_line_is_told_with_its_number_and_the_way_out(
    campaign: Path, change: dict[str, Any], words: str
) -> None:
    path = campaign / "trials.jsonl"
    in_line(4, lambda record: record.update(change), path)

    refused(report(campaign), f"{path}: line 4 is damaged: ", words, "Remove the line")


def test_a_damaged_line_of_an_x_ray_is_told(campaign: Path) -> None:
    path = campaign / "xray.jsonl"
    in_line(1, lambda record: record.pop("tool"), path)

    refused(report(campaign), f"{path}: line 1 is damaged: `tool`: Field required")


def test_a_directory_in_place_of_the_report_is_told(campaign: Path) -> None:
    (campaign / "report.html").mkdir()

    refused(report(campaign), f"{campaign}/report.html: is a directory", "Move or remove")
    assert not list(campaign.glob(".*"))


def test_an_escape_sequence_in_a_stored_title_reaches_neither_terminal_nor_report(
    campaign: Path,
) -> None:
    path = campaign / "campaign.json"
    head = json.loads(path.read_text())
    head["variants"][0]["title"] = "\x1b[31mred\x07"
    path.write_text(json.dumps(head))

    ended = report(campaign)

    assert ended.code == Exit.OK, ended.err
    page = (campaign / "report.html").read_text()
    assert "\x1b" not in page + ended.out
    assert "[31mred" in page


def test_a_resume_needs_no_profile_and_no_place(
    campaign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = json.loads((campaign / "campaign.json").read_text())["profile"]
    (tmp_path / "kept.toml").write_text("trials = 99")

    ended = c10k("run", "--resume", campaign, "--dry-run", "--json", "--servers-dir", SERVERS)

    assert ended.code == Exit.OK, ended.err
    resumed = json.loads(ended.out)["profile"]
    for key in ("name", "trials", "timing", "same_twice"):  # a later version has more keys
        assert resumed[key] == profile[key]
    missing = c10k("run", "--resume", campaign, "--dry-run")
    refused(missing, "servers: no such directory", "--servers-dir")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": "7"}, "`seed`"),
        ({"backend": "podman"}, "`backend`"),
        ({"variants": []}, "`variants`"),
        ({"workers": 10**6}, "`workers`"),
        ({"profile": {"name": "kept.toml", "trials": 0}}, "`trials`"),
    ],
)
def test_a_campaign_whose_plan_is_damaged_is_not_resumed(
    campaign: Path, change: dict[str, Any], words: str
) -> None:
    path = campaign / "campaign.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    resumed = c10k(
        *("run", "--resume", campaign, "--dry-run", "--servers-dir", SERVERS),
    )

    refused(resumed, words)

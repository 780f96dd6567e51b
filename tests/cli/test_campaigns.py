"""Find campaigns by hand: `list`, `open`, and the name `latest`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.contract.errors import Exit, UsageError
from harness.store.campaign_store import Campaign

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "data" / "kept"
NAMES = ("20260301-140200-quick", "20260301-140200-quick-2", "20251231-235959-full", "zz-by-hand")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Four copies of one campaign; the second has a report."""
    for name in NAMES:
        shutil.copytree(KEPT, tmp_path / name)
        head = json.loads((tmp_path / name / "campaign.json").read_text())
        (tmp_path / name / "campaign.json").write_text(json.dumps({**head, "campaign": name}))
    (tmp_path / NAMES[1] / "report.html").write_text("<title>drawn</title>")
    return tmp_path


def c10k(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_latest_is_the_campaign_that_started_last_by_its_name(reports: Path) -> None:
    assert Campaign.open(reports, "latest").name == NAMES[1]
    with pytest.raises(UsageError, match="no campaign `latest`"):
        Campaign.open(reports / "empty", "latest")

    shutil.copytree(KEPT, reports / "latest")
    assert Campaign.open(reports, "latest").name == "latest"


def test_every_command_that_names_a_campaign_takes_latest(reports: Path) -> None:
    printed = c10k("report", "latest", "--format", "json", "--reports", reports)
    compared = c10k("compare", NAMES[2], "latest", "--reports", reports)
    resumed = c10k("run", "--resume", "latest", "--dry-run", "--reports", reports)

    assert json.loads(printed.stdout)["campaign"] == NAMES[1]
    assert compared.returncode == 0, compared.stderr
    assert "profile kept.toml" in resumed.stdout, resumed.stderr


def test_list_shows_each_campaign_with_its_verdict(reports: Path, tmp_path: Path) -> None:
    listed = c10k("list", "--reports", reports)
    data = json.loads(c10k("list", "--last", "2", "--json", "--reports", reports).stdout)
    none = c10k("list", "--reports", tmp_path / "none")

    assert [line.split()[0] for line in listed.stdout.splitlines()[::2]] == sorted(
        NAMES, reverse=True
    )
    assert listed.stdout.count("No report yet.") == len(NAMES)
    assert [len(data["campaigns"]), data["schema"]] == [2, 1]
    assert none.returncode == 0
    assert "no campaigns" in none.stdout


def test_open_shows_the_latest_report_in_the_browser(reports: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {shown}\n')
    browser.chmod(0o755)

    done = c10k("open", "--reports", reports, BROWSER=f"{browser} %s")
    undrawn = c10k("open", NAMES[2], "--reports", reports, BROWSER=f"{browser} %s")

    assert done.returncode == 0, done.stderr
    assert shown.read_text() == (reports / NAMES[1] / "report.html").as_uri()
    assert undrawn.returncode == Exit.USAGE
    assert f"`c10k report {NAMES[2]}` draws it" in undrawn.stderr


def test_where_there_is_no_browser_open_says_where_the_report_is(reports: Path) -> None:
    done = c10k("open", "--reports", reports, BROWSER="/no/such/browser %s", PATH="", DISPLAY="")

    assert done.returncode == Exit.HOST_NOT_FIT
    assert "no browser can be started here" in done.stderr
    assert str(reports / NAMES[1] / "report.html") in done.stdout

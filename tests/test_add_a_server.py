"""docs/add-a-server.md, word for word: its files, its commands and what they print.

In a copy of the tree, in the order of the page. Only what the machine decides is not asked: whether
the cells of a busy host are valid, and so whether the rows get a rank.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/add-a-server.md").read_text("utf-8")
ADDED = ("mine", "mine-asyncio", "mine-perl")
TIMEOUT_S = 600
NOFILE_NEEDED = 10_200
EXIT_VOID = 5


def blocks() -> Iterator[tuple[str, str, str]]:
    """`(language, file or "", content)` of every block of the page, in its order."""
    pattern = r"(?:^`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$"
    for name, language, content in re.findall(pattern, PAGE, re.DOTALL | re.MULTILINE):
        yield language, name, content


def expect(told: str, wanted: str) -> None:
    """Find the lines in what a command told, in this order; `…` is anything."""
    lines = [line for line in wanted.splitlines() if line != "…"]
    pattern = r"[^\n]*\n(?:.*\n)?".join(re.escape(line).replace("…", ".*") for line in lines)
    assert re.search(f"^{pattern}", told, re.MULTILINE | re.DOTALL), f"{wanted}\n--- in\n{told}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a fresh clone has for this page."""
    ignored = shutil.ignore_patterns("build", "__pycache__")
    shutil.copytree(ROOT / "servers", tmp_path / "servers", symlinks=True, ignore=ignored)
    return tmp_path


@pytest.mark.slow
def test_the_page_takes_three_servers_from_nothing_to_a_row_of_the_ranking(clone: Path) -> None:
    for tool in ("make", "perl", os.environ.get("CXX", "g++")):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < NOFILE_NEEDED:
        pytest.skip(f"ranks need {NOFILE_NEEDED:,} open files (`ulimit -Hn`)")
    told = ""
    for language, name, content in blocks():
        if name:
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_text(content)
        elif language == "sh":
            told = "".join(run(line, clone) for line in content.splitlines())
        elif language == "text":
            expect(told, content)

    (head,) = clone.glob("reports/*/campaign.json")
    for entry in json.loads(head.read_text())["variants"]:
        assert entry["conformance"]["failures"] == [], entry["name"]
    outcomes = [json.loads(line) for line in (head.parent / "outcomes.jsonl").open()]
    assert {(one["variant"], one["outcome"]) for one in outcomes} >= {
        (name, "done") for name in ADDED
    }
    table = told[told.index("rank ") :]
    for name in ADDED:
        assert re.search(rf"^[\d=–—]+ +{name} +[\d.,]+", table, re.MULTILINE), told


def run(command: str, directory: Path) -> str:
    """A line of the page; what it printed."""
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env={**os.environ, "PATH": here, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    allowed = {0, EXIT_VOID} if command.startswith("c10k run") else {0}
    assert done.returncode in allowed, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout

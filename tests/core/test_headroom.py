"""The harness refuses limits under which it could not draw a report."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness import headroom
from harness.errors import Exit, HostNotFit

GIB = 1 << 30


@pytest.mark.parametrize("limit_bytes", [GIB, 64 * GIB, 80 * GIB - 1])
def test_too_few_addresses_for_a_report_are_refused(limit_bytes: int) -> None:
    with pytest.raises(HostNotFit, match=r"RLIMIT_AS.*80 GiB") as raised:
        headroom.require_addresses(limit_bytes)

    assert "ulimit -v unlimited" in raised.value.hint


def test_a_user_without_room_for_more_tasks_is_refused() -> None:
    with pytest.raises(HostNotFit, match=r"may have 3 .* and has 2; c10k needs 64 more"):
        headroom.require_tasks(3, 2)


def test_enough_of_both_is_enough() -> None:
    headroom.require_addresses(resource.RLIM_INFINITY)
    headroom.require_addresses(80 * GIB)
    headroom.require_tasks(resource.RLIM_INFINITY, 10_000)
    headroom.require_tasks(100, 36)
    assert headroom._tasks_of(os.getuid()) >= 1


def test_the_command_ends_with_3_before_a_campaign_is_begun(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    arguments = ("--backend", "process", "--profile", "smoke", "--reports", str(reports))
    done = subprocess.run(
        ["prlimit", f"--as={4 * GIB}", sys.executable, "-m", "harness.cli", "run", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == Exit.HOST_NOT_FIT, done.stderr
    assert "4.0 GiB of addresses" in done.stderr
    assert "Traceback" not in done.stderr
    assert not reports.exists()

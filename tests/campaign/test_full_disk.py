"""A disk that fills up while a campaign runs, made of memory in a mount namespace of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import C10k, marked_processes
from faulty_servers import echo

# Enough for the figures of two cells, too little for a report. What is left is listed before the
# namespace ends, and the disk with it.
SCRIPT = """
mkdir -p "$C10K_REPORTS" && mount -t tmpfs -o size=160k tmpfs "$C10K_REPORTS" || exit 99
"$@"
code=$?
find "$C10K_REPORTS" -type f
exit $code
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk")
def test_a_disk_that_is_full_when_the_report_is_drawn_costs_the_report_only(c10k: C10k) -> None:
    c10k.add_server("mine", echo())

    done = c10k.run(c10k.profile(), under=("unshare", "--mount", "sh", "-c", SCRIPT, "sh"))

    left = [Path(line) for line in done.out.splitlines() if line.startswith(str(c10k.reports))]
    (head,) = (path for path in left if path.name == "campaign.json")
    assert done.code == 3, done.err + done.out
    assert "report.html: cannot be written: No space left on device" in done.err
    assert f"then: `c10k report {head.parent.name}`" in done.err
    assert "Traceback" not in done.err
    assert {"outcomes.jsonl", "trials.jsonl"} <= {path.name for path in left}
    assert not any(path.name.endswith(".partial") for path in left)
    assert marked_processes() == []

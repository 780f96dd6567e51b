"""A disk that fills up while a campaign runs, made of memory in a mount namespace of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from command import C10k, marked_processes
from faulty_servers import echo

# Another program takes the rest of the disk once a cell is stored. What is left is listed before
# the namespace ends, and the disk with it.
SCRIPT = """
mkdir -p "$C10K_REPORTS" && mount -t tmpfs -o size=80m tmpfs "$C10K_REPORTS" || exit 99
(
    until [ -s "$C10K_REPORTS"/*/trials.jsonl ]; do sleep 0.02; done
    head -c 100m /dev/zero >"$C10K_REPORTS/filler"
) 2>/dev/null &
"$@"
code=$?
kill $! 2>/dev/null
rm -f "$C10K_REPORTS/filler"
find "$C10K_REPORTS" -type f
exit $code
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk")
def test_a_disk_that_fills_up_costs_no_cell_and_is_told_with_the_command_that_goes_on(
    c10k: C10k,
) -> None:
    c10k.add_server("mine", echo())
    hidden = ("unshare", "--mount", "sh", "-c", SCRIPT, "sh")

    done = c10k.run(c10k.profile(), under=hidden)

    left = [Path(line) for line in done.out.splitlines() if line.startswith(str(c10k.reports))]
    assert done.code == 3, done.err + done.out
    (head,) = (path for path in left if path.name == "campaign.json")
    # Which file finds no room first is a matter of time
    assert re.search(r"cannot be (written|appended to): No space left on device", done.err)
    goes_on = rf"then: `c10k (report|run --resume) {head.parent.name}`"
    assert re.search(goes_on, done.err)
    assert "Traceback" not in done.err
    assert "trials.jsonl" in {path.name for path in left}
    assert not any(path.name.endswith(".partial") for path in left)
    assert marked_processes() == []

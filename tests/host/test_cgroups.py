"""Control groups of containers, as they are found below `/sys/fs/cgroup`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.host import cgroups

COME_AND_GO = "while :; do mkdir -p docker/{1..40}/inner; rm -r docker; done"


def test_groups_that_come_and_go_while_they_are_walked_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "slice" / "wanted").mkdir(parents=True)
    with subprocess.Popen(["bash", "-c", COME_AND_GO], cwd=tmp_path) as others:
        try:
            found = {cgroups.find(tmp_path, "wanted") for _ in range(500)}
            missing = {cgroups.find(tmp_path, "missing") for _ in range(500)}
        finally:
            others.kill()

    assert found == {tmp_path / "slice" / "wanted"}
    assert missing == {None}

"""Control groups of containers, as they are found below `/sys/fs/cgroup`."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from harness.backends import cgroups


def test_groups_that_come_and_go_while_they_are_walked_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "slice" / "wanted").mkdir(parents=True)
    stops = threading.Event()

    def others() -> None:
        while not stops.is_set():
            for number in range(50):
                (tmp_path / "docker" / f"other{number}" / "inner").mkdir(parents=True)
            shutil.rmtree(tmp_path / "docker")

    busy = threading.Thread(target=others)
    busy.start()
    try:
        found = {cgroups.find(tmp_path, "wanted") for _ in range(200)}
    finally:
        stops.set()
        busy.join()

    assert found == {tmp_path / "slice" / "wanted"}

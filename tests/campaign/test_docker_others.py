"""What a harness in a container sees of other programs, as `docker-compose.yml` starts it."""

from __future__ import annotations

import json
from typing import Any

import docker
import pytest
from command import ROOT
from one_cell import NEIGHBOUR

from harness.backends import images

pytestmark = [pytest.mark.docker, pytest.mark.slow]
BUILD_TIMEOUT_S = 900
LOOK = """
import json, time
from harness.campaign import other_programs_read
from harness.gates import other_programs
before = other_programs_read.snapshot()
time.sleep(1.5)
print(json.dumps(other_programs.between(before, other_programs_read.snapshot()).as_json()))
"""
# docker compose -f docker-compose.yml -f docker-compose.pid.yml up
OVERRIDE = ROOT / "docker-compose.pid.yml"


def seen(engine: docker.DockerClient, **options: Any) -> dict[str, Any]:
    out = engine.containers.run(
        images.harness_image(engine, BUILD_TIMEOUT_S),
        entrypoint=["python", "-c", LOOK],
        network_mode="none",
        remove=True,
        **options,
    )
    found: dict[str, Any] = json.loads(out)
    return found


CGROUPS = {"/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "ro"}}


def test_with_the_host_s_pids_programs_are_named(engine: docker.DockerClient, hog: Any) -> None:
    assert "\n    pid: host\n" in OVERRIDE.read_text()
    hog([0])

    found = seen(engine, volumes=CGROUPS, pid_mode="host")

    assert found["view"] == "processes"
    assert found["cpu_s"][NEIGHBOUR] > 0.1


def test_without_them_control_groups_are(engine: docker.DockerClient) -> None:
    busy = engine.containers.run(
        images.harness_image(engine, BUILD_TIMEOUT_S),
        entrypoint=["python", "-c", "while True: pass"],
        network_mode="none",
        detach=True,
    )
    try:
        found = seen(engine, volumes=CGROUPS)
    finally:
        busy.remove(force=True)

    assert found["view"] == "groups"
    assert found["cpu_s"][f"container {str(busy.id)[:12]}"] > 0.1


def test_where_no_group_is_mounted_it_says_so(engine: docker.DockerClient) -> None:
    assert seen(engine)["view"] == "nothing"

"""No server hides CPU time in a container: the kernel charges its control group with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command import commands
from faulty_servers import echo
from forking_servers import HIDES, forks, lends, supervised
from one_cell import profile
from test_accounts import assert_agree
from test_docker import built  # noqa: F401 (a fixture)

from harness.backends import cpu_time

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# A server, and whether each of its ended children was waited for.
SERVERS = {
    "recycles": (lends(one_in=4, life_s=0.3), True),
    "recycles-unwaited": (lends(one_in=2, life_s=0.1, collects=False), False),
    "supervised": (supervised(echo()), True),
    "hides": (HIDES, True),
    # The engine confines it to its CPUs: it asks for more in vain
    "widens": (echo(on_data="served == 500 and os.sched_setaffinity(0, range(99))"), True),
}
CHURNING = {"forks": (forks(), True), "forks-unwaited": (forks(collects=False), False)}
ALL = SERVERS | CHURNING


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Each server's cell."""
    found: dict[str, dict[str, Any]] = {}
    for scenario, servers in (("idle", SERVERS), ("churn", CHURNING)):
        place: Path = tmp_path_factory.mktemp(scenario)
        with commands(place) as c10k:
            for name, (program, _) in servers.items():
                c10k.add_server(name, program)
            arguments = ("run", "--backend", "docker", "--servers-dir", c10k.servers)
            done = c10k(*arguments, "--profile", profile(c10k, scenario, window_s=1.5, settle_s=10))
        failed = {line["variant"]: line["text"] for line in done.outcomes if line["code"]}
        assert failed == {}
        found |= {cell["variant"]: cell for cell in done.cells}
    return found


@pytest.mark.parametrize("name", ALL)
def test_a_container_is_charged_with_all_that_its_server_forks(
    cells: dict[str, dict[str, Any]], name: str
) -> None:
    charged = cells[name]["server"]["charged"]

    assert charged["source"] in (cpu_time.V1, cpu_time.V2)
    assert charged["cpu_ns"] <= charged["busy_ns"] + charged["exact_ns"] + charged["busy_exact_ns"]
    assert not {"unaccounted", "outside-cpus"} & dict(cells[name]["reasons"]).keys()
    if ALL[name][1]:
        assert_agree(charged)
    else:
        assert charged["processes_ns"] < 0.8 * charged["cpu_ns"]

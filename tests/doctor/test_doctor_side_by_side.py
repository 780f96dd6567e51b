"""The doctor on servers that are up at once: they share what the host has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import doctor
from harness.campaign import launch
from harness.contract.errors import HostNotFit
from harness.doctor import Ask, Facts, Finding

ALONE = Ask(connections=10_000, backend="process")
SEVEN = replace(ALONE, servers=7)
ROOMY = Facts(
    isolated=True,
    fs_file_max=100_000,
    files_open=1_500,
    fs_epoll_max_user_watches=100_000,
    memory_available_bytes=2_000_000_000,
    tasks=500,
    kernel_pid_max=32_768,
    kernel_threads_max=25_000,
    tasks_of_user=500,
    nproc=21_000,
    nproc_exempt=False,
    pids_left=20_500,
    vm_overcommit_memory=2,
    commit_left_bytes=1_500_000_000,
)


ROOT = Path(__file__).parents[2]
THREADED = ["thread-per-connection", "python-thread-per-connection"]


def asked(profile: str, *servers: str) -> Ask:
    """What a campaign with this profile and these servers asks of a host."""
    request = launch.request_of(
        profile=profile,
        servers=servers,
        servers_dir=ROOT / "servers",
        seed=1,
        workers=0,
        reports=Path("reports"),
        argv=(),
    )
    return launch.asked_of_host(request, "process")


def found(check: str, ask: Ask, facts: Facts = ROOMY) -> Finding:
    (one,) = doctor.examine(facts, ask, [check]).findings
    return one


@pytest.mark.parametrize("check", ["file-max", "watches", "memory"])
def test_what_is_enough_for_one_server_is_not_for_seven(check: str) -> None:
    alone, beside = found(check, ALONE), found(check, SEVEN)

    assert alone.level != "error"
    assert beside.level == "error"
    assert alone.connections_max is not None
    assert beside.connections_max is not None
    # The memory of harness and loads comes before that of the connections
    assert beside.connections_max < alone.connections_max / 6


def test_a_refusal_says_how_many_servers_were_to_be_up_at_once() -> None:
    with pytest.raises(HostNotFit) as raised:
        doctor.examine(ROOMY, SEVEN, ["memory"]).require_ready()

    assert "10,000 connections to each of 7 servers at once" in raised.value.message
    assert "or fewer servers" in (raised.value.hint or "")


def test_servers_side_by_side_need_a_network_namespace_each() -> None:
    refused = replace(ROOMY, isolated=False)

    assert found("isolation", ALONE, refused).level == "warning"
    assert found("isolation", SEVEN, refused).level == "error"
    assert "side by side" in found("isolation", SEVEN, refused).text


@pytest.mark.parametrize("check", ["pid-max", "threads-max", "pids-cgroup", "nproc", "overcommit"])
def test_servers_of_threads_that_are_up_at_once_share_the_hosts_threads(check: str) -> None:
    beside = found(check, replace(SEVEN, threaded=4))

    assert found(check, SEVEN).level == "ok"
    assert beside.level == "warning"
    alone_max, each_max = found(check, SEVEN).threads_max, beside.threads_max
    assert alone_max is not None
    assert each_max == alone_max // 4


def test_each_process_has_mappings_of_its_own() -> None:
    mapped = replace(ROOMY, vm_max_map_count=65_530)

    assert found("map-count", replace(SEVEN, threaded=4), mapped) == found(
        "map-count", SEVEN, mapped
    )


def test_memory_is_for_the_connections_of_all_and_for_the_threads_of_those_that_have_some() -> None:
    memory = replace(ROOMY, memory_available_bytes=4_400_000_000)

    assert found("memory", SEVEN, memory).level == "ok"
    assert found("memory", replace(SEVEN, threaded=4), memory).level == "warning"


def test_a_campaign_side_by_side_asks_for_all_servers_of_a_block() -> None:
    beside = asked("standard", *THREADED, "epoll-lt")

    # epoll-lt runs twice
    assert (beside.servers, beside.threaded, beside.connections) == (4, 2, 10_000)
    alone = asked("smoke", *THREADED, "epoll-lt")
    assert (alone.servers, alone.threaded) == (1, 1)
    assert asked("standard", "epoll-lt", "poll").threaded == 1

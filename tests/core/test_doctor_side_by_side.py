"""The doctor on servers that are up at once: they share what the host has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness import doctor
from harness.doctor import Ask, Facts, Finding

ALONE = Ask(connections=10_000, backend="process")
SEVEN = replace(ALONE, servers=7)
ROOMY = Facts(
    isolated=True,
    fs_file_max=100_000,
    files_open=1_500,
    fs_epoll_max_user_watches=100_000,
    memory_available_bytes=2_000_000_000,
)


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


def test_servers_side_by_side_need_a_network_namespace_each() -> None:
    refused = replace(ROOMY, isolated=False)

    assert found("isolation", ALONE, refused).level == "warning"
    assert found("isolation", SEVEN, refused).level == "error"
    assert "side by side" in found("isolation", SEVEN, refused).text

"""How long a wait for a server lasts, by the CPU time that the server was given."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.host.fair_wait import Wait
from harness.host.wait_budget import WAIT_STRETCH_MAX, Reading, Spent, left_s

S = 1_000_000_000


def spent(span_s: float, *, server: float = 0.0, others: float = 0.0, steal: float = 0.0) -> Spent:
    """Shares of one CPU."""
    busy_ns = round((server + others) * span_s * S)
    return Spent(
        span_ns=round(span_s * S),
        cpus=1,
        server_ns=round(server * span_s * S),
        busy_ns=busy_ns,
        steal_ns=round(steal * span_s * S),
        load_wait_ns=0,
        exact_ns=0,
    )


@pytest.mark.parametrize("server", [0.0, 0.5, 1.0])
def test_a_wait_with_the_cpu_to_itself_ends_at_its_timeout(server: float) -> None:
    """Whether the server uses the CPU does not matter: it could have."""
    assert left_s(10.0, spent(10.0, server=server), 10.0) == 0.0


@pytest.mark.parametrize("taken", [{"others": 0.5}, {"steal": 0.5}, {"others": 0.3, "steal": 0.2}])
def test_a_wait_lasts_longer_by_what_others_and_the_hypervisor_took(
    taken: dict[str, float],
) -> None:
    assert left_s(10.0, spent(10.0, server=0.4, **taken), 10.0) == pytest.approx(5.0)
    assert left_s(20.0, spent(20.0, **taken), 10.0) == 0.0


def test_a_wait_ends_at_its_longest_even_if_the_server_never_had_the_cpu() -> None:
    all_taken = {"others": 1.0}
    assert left_s(10.0, spent(10.0, **all_taken), 10.0) == pytest.approx(10.0)
    assert left_s(55.0, spent(55.0, **all_taken), 10.0) == pytest.approx(5.0)
    assert left_s(WAIT_STRETCH_MAX * 10.0, spent(60.0, **all_taken), 10.0) == 0.0


def test_what_is_taken_of_one_cpu_of_two_is_half_of_the_server_s_time() -> None:
    two = Spent(10 * S, 2, server_ns=0, busy_ns=10 * S, steal_ns=0, load_wait_ns=0, exact_ns=0)
    assert left_s(10.0, two, 10.0) == pytest.approx(5.0)


@pytest.mark.parametrize("unknown", ["server_ns", "busy_ns"])
def test_time_that_is_not_known_to_be_taken_makes_no_wait_longer(unknown: str) -> None:
    members = spent(10.0, others=0.9).as_json() | {unknown: None}
    assert left_s(10.0, Spent(**members), 10.0) == 0.0
    stolen = Spent(**members | {"steal_ns": 4 * S})
    assert left_s(10.0, stolen, 10.0) == pytest.approx(4.0)


def test_time_before_the_first_reading_counts_as_the_server_s() -> None:
    assert left_s(10.0, spent(4.0, others=1.0), 10.0) == pytest.approx(4.0)


def test_run_time_beyond_the_busy_time_is_none_of_others() -> None:
    """Two clocks that are read one after the other differ by a little."""
    over = spent(10.0, server=0.5)
    assert Spent(**over.as_json() | {"busy_ns": 4 * S}).others_ns == 0


class Host:
    """A host whose clock stands until a wait looks at it, and whose others take a share of it."""

    def __init__(self, others: float) -> None:
        self.now_s = 0.0
        self.others = others
        self.readings = 0

    def clock(self) -> float:
        return self.now_s

    def read(self) -> Reading:
        self.readings += 1
        return Reading(round(self.now_s * S), 1, 0, round(self.others * self.now_s * S), 0, 0)


def lasted_s(host: Host, timeout_s: float, read: Callable[[], Reading] | None) -> float:
    wait = Wait(timeout_s, read, host.clock)
    while not wait.is_over():
        host.now_s += 0.01
    return host.now_s


@pytest.mark.parametrize(
    ("others", "expected_s"), [(0.0, 2.0), (0.5, 4.0), (0.75, 8.0), (0.9, 12.0), (1.0, 12.0)]
)
def test_a_wait_lasts_until_the_server_could_run_for_the_timeout(
    others: float, expected_s: float
) -> None:
    host = Host(others)
    assert lasted_s(host, 2.0, host.read) == pytest.approx(expected_s, abs=0.25)
    assert host.readings < 20


def test_a_wait_without_readings_ends_at_its_timeout() -> None:
    host = Host(1.0)
    assert lasted_s(host, 2.0, None) == pytest.approx(2.0, abs=0.02)


def test_a_wait_that_is_short_reads_nothing() -> None:
    host = Host(1.0)
    wait = Wait(2.0, host.read, host.clock)
    host.now_s += 0.01
    assert not wait.is_over()
    assert host.readings == 0
    assert wait.end() is None


def test_a_wait_that_began_with_a_reading_says_how_its_time_was_spent() -> None:
    host = Host(0.5)
    wait = Wait(2.0, host.read, host.clock).begin()
    host.now_s += 0.01
    found = wait.end()
    assert found is not None
    assert (found.span_ns, found.others_ns) == (S // 100, S // 200)
    assert Spent.of(found.as_json()) == found

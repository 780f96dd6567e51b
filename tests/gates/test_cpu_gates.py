"""The balance of CPU time: each gate trips just above its bound, and not just below it."""

from __future__ import annotations

from typing import Any

import pytest
from lines import cells, judge
from test_gates import PLAIN, changed, measured

from harness.gates.attempts import to_repeat

MS = 1_000_000
# A server that ran for 1.5 s of 2 s on one CPU, alone, for 300,000 echoes
CHARGED: dict[str, Any] = {
    "source": "cgroup-v1",
    "cpu_ns": 1_500 * MS,
    "exact_ns": 0,
    "outside_ns": 0,
    "processes_ns": 1_500 * MS,
    "processes_exact_ns": 0,
    "echoes": 300_000,
    "span_ns": 2_000 * MS,
    "cpus": 1,
    "busy_ns": 1_500 * MS,
    "busy_source": "cpuacct",
    "busy_exact_ns": 0,
    "host_busy_ns": 3_500 * MS,
    "host_exact_ns": 0,
    "others_ns": None,
    "loses_children": False,
}
UNGROUPED = CHARGED | {"source": "processes", "outside_ns": None, "others_ns": 2_000 * MS}


def charged(**changes: Any) -> dict[str, Any]:
    """A good record whose server has a control group, with changes of its accounts."""
    found: dict[str, Any] = changed(measured(), ("server", "charged"), CHARGED | changes)
    return found


def ungrouped(**changes: Any) -> dict[str, Any]:
    """The same of a server that has none."""
    found: dict[str, Any] = changed(measured(), ("server", "charged"), UNGROUPED | changes)
    return found


@pytest.mark.parametrize("record", [charged(), ungrouped()])
def test_a_server_alone_on_its_cpus_is_valid(record: dict[str, Any]) -> None:
    assert judge(record, PLAIN).reasons == ()


# A gate, the record that trips it, one just inside the bound, and what it says
CASES = [
    ("shared-cpu", charged(busy_ns=1_702 * MS), charged(busy_ns=1_700 * MS), "10%"),
    (
        "shared-cpu",
        charged(busy_ns=1_707 * MS, busy_exact_ns=5 * MS, exact_ns=1 * MS),
        charged(busy_ns=1_706 * MS, busy_exact_ns=5 * MS, exact_ns=1 * MS),
        "other processes used 10% of the server's CPU time",
    ),
    (
        "outside-cpus",
        charged(outside_ns=31 * MS),
        charged(outside_ns=30 * MS),
        "2% of the server's CPU time was not on its CPUs",
    ),
    ("outside-cpus", charged(busy_ns=1_459 * MS), charged(busy_ns=1_460 * MS), "3%"),
    # Where busy time is not known: more run time than the span has
    (
        "outside-cpus",
        charged(cpu_ns=2_041 * MS, processes_ns=2_041 * MS, busy_ns=None),
        charged(cpu_ns=2_040 * MS, processes_ns=2_040 * MS, busy_ns=None),
        "2%",
    ),
    (
        "outside-cpus",
        charged(busy_ns=1_299 * MS, busy_source="stat"),
        charged(busy_ns=1_300 * MS, busy_source="stat"),
        "13%",
    ),
    (
        "unaccounted",
        ungrouped(busy_ns=1_531 * MS, host_busy_ns=3_600 * MS),
        ungrouped(busy_ns=1_530 * MS, host_busy_ns=3_600 * MS),
        "2% of the server's CPU time belongs to no known process",
    ),
    # What the host ran beside all known processes may have been elsewhere, but is no more than that
    (
        "unaccounted",
        ungrouped(busy_ns=1_800 * MS, host_busy_ns=3_537 * MS),
        ungrouped(busy_ns=1_800 * MS, host_busy_ns=3_536 * MS),
        "2%",
    ),
    (
        "unaccounted",
        ungrouped(busy_ns=2_000 * MS, host_busy_ns=4_000 * MS, loses_children=True),
        ungrouped(loses_children=True),
        "25% of the server's CPU time belongs to no known process (the server ignores SIGCHLD",
    ),
    # Children on other CPUs, of which the kernel dropped the time
    (
        "unaccounted",
        ungrouped(host_busy_ns=3_531 * MS, loses_children=True),
        ungrouped(host_busy_ns=3_531 * MS),
        "2%",
    ),
    ("unaccounted", ungrouped(others_ns=None, busy_ns=1_531 * MS), ungrouped(others_ns=None), "2%"),
    (
        "unaccounted",
        charged(processes_ns=1_532 * MS),
        charged(processes_ns=1_530 * MS),
        "2% of the server's CPU time is not in its control group",
    ),
    ("cpu-time", charged(cpu_ns=99 * MS, busy_ns=99 * MS), charged(cpu_ns=100 * MS), "99.0 ms"),
    ("cpu-time", charged(exact_ns=76 * MS), charged(exact_ns=75 * MS), "± 5% only"),
]
EFFECTS = {
    "shared-cpu": "noisy",
    "outside-cpus": "void",
    "unaccounted": "void",
    "cpu-time": "void",
}


@pytest.mark.parametrize(("gate", "bad", "good", "text"), CASES)
def test_each_gate_of_the_balance_has_its_bound(
    gate: str, bad: dict[str, Any], good: dict[str, Any], text: str
) -> None:
    verdict = judge(bad, PLAIN)

    assert text in dict(verdict.reasons)[gate]
    assert verdict.status == "void" or EFFECTS[gate] == "noisy"
    assert gate not in dict(judge(good, PLAIN).reasons)


def test_what_a_control_group_leaves_over_is_others_and_voids_nothing() -> None:
    record = charged(busy_ns=1_990 * MS, others_ns=None, loses_children=True)

    assert set(dict(judge(record, PLAIN).reasons)) == {"shared-cpu"}


def test_two_cpus_have_twice_the_time() -> None:
    record = charged(cpus=2, busy_ns=1_890 * MS)

    assert judge(record, PLAIN).status == "valid"


def test_time_of_no_known_process_is_measured_again() -> None:
    record = ungrouped(busy_ns=1_800 * MS, host_busy_ns=3_800 * MS) | {"cell": 3, "attempt": 1}
    verdict = judge(record, PLAIN)
    record |= {"status": verdict.status, "reasons": [list(one) for one in verdict.reasons]}

    assert verdict.status == "void"
    assert to_repeat(cells([record]), [], str(record["trial"])) == [3]

"""The trial's JSON and the texts of /proc, parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from load_trials import cell, spec, step

from harness.contract import address, trial_spec
from harness.host import procfs


def test_a_trial_is_read_with_its_cells_counted_through() -> None:
    ceiling = {"connections_max": 25, "beyond": "queue", "reason": None}
    plan = trial_spec.parse(json.dumps(spec(step(20), step(30), ceiling=ceiling)))
    assert [c.index for c in plan.cells] == [0, 1, 2, 3]
    assert [c.scenario for c in plan.cells if c.is_ramp] == ["ramp", "ramp"]
    assert plan.ceiling == trial_spec.Ceiling(25, "queue", None)
    assert plan.connections_max == 30


def changed(**changes: Any) -> dict[str, Any]:
    return spec() | changes


def with_cell(**changes: Any) -> dict[str, Any]:
    cells = [cell("ramp", 20), cell("idle", 20, 5, 0.2) | changes]
    return spec({"connections": 20, "cells": cells})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "C10K_TRIAL is not JSON: "),
        ("[]", "C10K_TRIAL: input should be an object, not []"),
        (changed(schema=2), "C10K_TRIAL.schema: input should be 1, not 2"),
        (changed(variant=None), "C10K_TRIAL.variant: input should be a valid string, not null"),
        (changed(workers=-1), "C10K_TRIAL.workers: input should be greater than or equal to 0"),
        (changed(workers=True), "C10K_TRIAL.workers: input should be a valid integer, not true"),
        (changed(load_cpus=[]), "C10K_TRIAL.load_cpus: tuple should have at least 1 item"),
        (changed(steps=[]), "C10K_TRIAL.steps: tuple should have at least 1 item"),
        (changed(sede=7), "C10K_TRIAL.sede is not a known key"),
        (changed(timeouts={}), "C10K_TRIAL.timeouts.ready_s is missing"),
        (
            changed(sysctls={"net/../../etc/passwd": "1"}),
            "C10K_TRIAL: 'net/../../etc/passwd' is not the name of a sysctl",
        ),
        (
            changed(sysctls={"net.core.somaxconn": 1}),
            "somaxconn: input should be a valid string",
        ),
        (with_cell(depth=0), "C10K_TRIAL.steps[0].cells[1].depth: input should be greater than or"),
        (with_cell(active=21), "cells[1]: active is more than the 20 open connections"),
        (with_cell(active=0), "cells[1]: active must be at least 1 in a cell with a window"),
        (with_cell(connections=30), "steps[0]: a cell's connections are not its step's: 20"),
        (
            with_cell(window_s=0),
            "steps[0]: a cell has no window: only a step's first cell",
        ),
    ],
)
def test_what_is_wrong_with_a_trial_is_named_by_its_key(text: Any, complaint: str) -> None:
    with pytest.raises(trial_spec.TrialError) as raised:
        trial_spec.parse(text if isinstance(text, str) else json.dumps(text))
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("tcp://127.0.0.1:7000", ("127.0.0.1", 7000)),
        ("tcp://[::1]:7000", ("::1", 7000)),
        ("unix:///run/c10k/echo.sock", "/run/c10k/echo.sock"),
    ],
)
def test_every_kind_of_address_is_read(text: str, target: tuple[str, int] | str) -> None:
    assert address.parse(text).target == target


@pytest.mark.parametrize("text", ["127.0.0.1:7000", "tcp://127.0.0.1:0", "tcp://::1:7", "unix://x"])
def test_what_is_no_address_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address: use tcp://"):
        address.parse(text)


def test_the_command_in_a_process_stat_may_hold_spaces_and_brackets() -> None:
    fields = "S 17 9 10 0 -1 0 1 2 3 4 550 660 7 8 20 0 10001 0 99"
    stat = procfs.process_stat(f"4711 (evil ) 1 2 (name) {fields}\n")
    assert stat == procfs.ProcessStat(
        state="S",
        parent=17,
        session=10,
        user_ticks=550,
        system_ticks=660,
        collected_ticks=15,
        threads=10001,
        started_ticks=99,
        flags=0,
        name="evil ) 1 2 (name",
    )


STATUS = """Name:\tserver
Pid:\t4711
PPid:\t1
Uid:\t1000\t1000\t1000\t1000
NSpid:\t4711\t12
VmPTE:\t      84 kB
SigIgn:\t0000000000011000
Cpus_allowed_list:\t1-3,8
Mems_allowed_list:\t0
voluntary_ctxt_switches:\t1234567
nonvoluntary_ctxt_switches:\t89
"""


def test_a_status_gives_the_signals_that_are_ignored_and_the_cpus_that_are_allowed() -> None:
    assert procfs.ignored_signals(STATUS) == 1 << 16 | 1 << 12  # SIGCHLD and SIGPIPE
    assert procfs.allowed_cpus(STATUS.encode()) == b"1-3,8"


def test_a_status_gives_identity_cpus_page_tables_and_switches() -> None:
    assert procfs.task_status(STATUS) == procfs.TaskStatus(
        uid=1000, namespace_pids=(4711, 12), cpus=(1, 2, 3, 8), page_tables_bytes=84 * 1024
    )
    assert procfs.switches(STATUS.encode()) == (1234567, 89)


def test_limits_are_read_as_numbers_and_unlimited_as_none() -> None:
    text = (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max cpu time              unlimited            unlimited            seconds   \n"
        "Max open files            1024                 20000                files     \n"
        "Max nice priority         0                    0                    \n"
    )
    assert procfs.limits(text) == {
        "Max cpu time": (None, None),
        "Max open files": (1024, 20000),
        "Max nice priority": (0, 0),
    }


def test_ticks_are_read_per_cpu_and_guest_time_is_not_counted_twice() -> None:
    text = (
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 6 7 8 100 100\ncpu12 8 7 6 5 4 3 2 1 0 0\nctxt 1"
    )
    ticks = procfs.cpu_ticks(text)
    assert set(ticks) == {0, 12}
    assert ticks[0] == dict(zip(procfs.TICK_NAMES, range(1, 9), strict=True))
    assert ticks[12]["steal"] == 1


def test_counters_are_read_by_name_from_pairs_of_lines() -> None:
    text = "Ip: Forwarding TTL\nIp: 1 64\nTcp: MaxConn RetransSegs\nTcp: -1 7\n"
    assert procfs.counters(text) == {
        "Ip": {"Forwarding": 1, "TTL": 64},
        "Tcp": {"MaxConn": -1, "RetransSegs": 7},
    }


def test_dropped_packets_are_hexadecimal_and_summed_over_cpus() -> None:
    assert procfs.softnet_dropped("000010 0000000a 0 0\n000020 00000010 1 0\n") == 26


def test_pressure_is_the_total_of_some() -> None:
    text = "some avg10=0.00 avg60=0.12 avg300=0.05 total=4242\nfull avg10=0.00 total=99\n"
    assert procfs.pressure_some_us(text) == 4242


def test_sizes_are_bytes_and_other_lines_are_left_out() -> None:
    text = "Rss:  12 kB\nPss_Anon:   8 kB\n55d0-7fff ---p 0 00:00 0  [rollup]\nHugePages_Total: 0\n"
    assert procfs.sizes(text) == {"Rss": 12288, "Pss_Anon": 8192}


def mapping(start: int, end: int, mode: str, *, name: str = "", rss_kib: int = 0) -> str:
    inode = 0 if not name or name.startswith("[") else 77
    return (
        f"{start:x}-{end:x} {mode} 00000000 00:00 {inode}                     {name}\n"
        f"Size:  {(end - start) // 1024} kB\nRss:  {rss_kib} kB\nPss:  {rss_kib} kB\n"
    )


def test_a_stack_is_what_lies_directly_above_a_guard_of_one_page() -> None:
    page = 4096
    text = (
        mapping(0x10000, 0x10000 + page, "---p")
        + mapping(0x10000 + page, 0x80000, "rw-p", rss_kib=12)
        + mapping(0x80000, 0x80000 + page, "---p")
        + mapping(0x80000 + page, 0xF0000, "rw-p", name="[anon: pthread stack]", rss_kib=20)
    )
    assert procfs.stack_bytes(text, page) == 32 * 1024


def test_what_is_no_stack_is_not_counted_as_one() -> None:
    page = 4096
    text = (
        mapping(0x10000, 0x20000, "---p")  # the rest of a malloc arena: no guard, too large
        + mapping(0x20000, 0x30000, "rw-p", rss_kib=64)
        + mapping(0x40000, 0x40000 + page, "---p")
        + mapping(0x50000, 0x60000, "rw-p", rss_kib=64)  # not directly above
        + mapping(0x70000, 0x70000 + page, "---p", name="/lib/libc.so.6")
        + mapping(0x70000 + page, 0x80000, "rw-p", rss_kib=64)  # above a file's gap
        + mapping(0x90000, 0x90000 + page, "---p")
        + mapping(0x90000 + page, 0xA0000, "rw-p", name="/lib/libc.so.6", rss_kib=64)
        + mapping(0xB0000, 0xC0000, "rw-p", name="[stack]", rss_kib=64)
    )
    assert procfs.stack_bytes(text, page) == 0

"""The harness refuses limits under which it could not draw a report."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness.contract.errors import Exit, HostNotFit, lacking
from harness.host import headroom

GIB = 1 << 30


@pytest.mark.parametrize("limit_bytes", [GIB, 64 * GIB, 80 * GIB - 1])
def test_too_few_addresses_for_a_report_are_refused(limit_bytes: int) -> None:
    with pytest.raises(HostNotFit, match=r"RLIMIT_AS.*80 GiB") as raised:
        headroom.require_addresses(limit_bytes, headroom.ADDRESS_SPACE_BYTES, "drawing a report")

    assert "ulimit -v unlimited" in raised.value.hint


def test_a_user_without_room_for_more_tasks_is_refused() -> None:
    with pytest.raises(HostNotFit, match=r"may have 3 .* and has 2; c10k needs 64 more"):
        headroom.require_tasks(3, 2)


def test_enough_of_both_is_enough() -> None:
    for limit_bytes in (resource.RLIM_INFINITY, 80 * GIB):
        headroom.require_addresses(limit_bytes, headroom.ADDRESS_SPACE_BYTES, "drawing a report")
    headroom.require_tasks(resource.RLIM_INFINITY, 10_000)
    headroom.require_tasks(100, 36)
    assert headroom.tasks_of(os.getuid()) >= 1


def test_the_command_ends_with_3_before_a_campaign_is_begun(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    arguments = ("--backend", "process", "--profile", "smoke", "--reports", str(reports))
    done = subprocess.run(
        ["prlimit", f"--as={4 * GIB}", sys.executable, "-m", "harness.cli", "run", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == Exit.HOST_NOT_FIT, done.stderr
    assert "4.0 GiB of addresses" in done.stderr
    assert "Traceback" not in done.stderr
    assert not reports.exists()


# As another user, who reaches this Python as root does: root has no limit of processes.
AS_USER = ("setpriv", "--reuid=65534", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
COMMANDS = {
    "report": ("report", "kept"),
    "compare": ("compare", "kept", "kept", "--force"),
    "drive": ("drive", "127.0.0.1:9"),
    "check": ("check", "epoll-lt", "--backend", "process"),
    "selftest": ("selftest", "--backend", "process"),
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("limit", ["--as=150000000", "--nproc=2"])
def test_every_command_that_computes_ends_with_3_under_a_limit(
    arguments: tuple[str, ...], limit: str
) -> None:
    user = AS_USER if limit.startswith("--nproc") else ()
    if user and os.geteuid() != 0:
        pytest.skip("needs root: it becomes a user without other processes")
    done = subprocess.run(
        [*user, "prlimit", limit, sys.executable, "-m", "harness.cli", *arguments],
        env={**os.environ, "C10K_REPORTS": str(Path("tests/data").resolve())},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == Exit.HOST_NOT_FIT, done.stderr
    assert "RLIMIT_" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_library_that_cannot_be_mapped_is_lack_of_memory() -> None:
    error = ImportError("numpy: failed to map segment from shared object")
    outer = ImportError("Unable to import required dependency numpy.")
    outer.__context__ = error

    assert lacking(outer) == lacking(error)
    assert "too little memory" in str(lacking(outer))
    assert lacking(ImportError("No module named numpy")) is None

"""Run all tests in two processes, side by side: `make test` and `.ci/run` do.

Campaigns mostly wait for windows to pass; what needs none runs next to them. Each lane has a lock
of its own, as the host's lock allows one campaign at a time. A test marked `timing` runs alone
(`lanes.py`). One that fails runs once more, since other work on the host may have caused the
failure. The run fails if a third of them fail, or any other test, or if a test did not run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from lanes import LANES, TALLY, Tally

ROOT = Path(__file__).resolve().parents[1]
# All that builds images is in the first lane, since a campaign may replace an image that another
# is about to start.
CAMPAIGNS = ("campaign", "conformance")
# The first in their lane: those of conformance, late in theirs, build in the same directory
FIRST = "servers"
# Tests that are campaigns and run in the second lane, so that both take about as long
MOVED = ("drive", "full_disk", "process", "sweep")
# Directories of data
NO_TESTS = ("bad_servers", "foreign_servers", "data", "support", "__pycache__")
PASSED, FAILED, NONE_SELECTED = 0, 1, 5  # of pytest; the others mean that it broke off
INTERRUPTED = 130
LONG_S = 15.0
TEAR_DOWN_S = 60.0  # a campaign of a test ends in some seconds
ONCE_MORE_MAX = 1 / 3
SECOND = "others"
LOCK = "C10K_LOCK"


def lanes(root: Path) -> dict[str, list[str]]:
    """{name: arguments for pytest}, each test in one lane. The order is that of the run."""
    tests = root / "tests"
    moved = [f"tests/campaign/test_{name}.py" for name in MOVED]
    folders = sorted(path.name for path in tests.iterdir() if path.is_dir())
    rest = [name for name in folders if name not in (*CAMPAIGNS, *NO_TESTS, FIRST)]
    return {
        "campaigns": [
            *(f"--ignore={path}" for path in moved),
            *(f"tests/{name}/" for name in CAMPAIGNS),
        ],
        SECOND: [
            f"tests/{FIRST}/",
            *moved,
            *(f"tests/{name}/" for name in rest),
            *sorted(f"tests/{path.name}" for path in tests.glob("test_*.py")),
        ],
    }


def start(
    name: str, arguments: Iterable[str], work: Path, out: int | None = None
) -> subprocess.Popen[bytes]:
    """Start pytest; `out` is a descriptor for what it prints."""
    variables = {TALLY: str(work / f"{name}.tally")}
    if name == SECOND:
        variables[LOCK] = str(work / "second.lock")
    pytest = Path(sys.executable).with_name("pytest")
    return subprocess.Popen(
        # A shell's background job ignores SIGINT, and so would all that it starts
        ["env", "--default-signal=INT", pytest, "-o", f"cache_dir={work / name}.cache", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        start_new_session=True,  # a Ctrl-C is for this process, which passes it on once
    )


def tally_of(name: str, work: Path) -> Tally | None:
    """What a lane counted; None where it broke off."""
    return Tally.read(work / f"{name}.tally")


def unfinished(codes: Mapping[str, int], tallies: Mapping[str, Tally | None]) -> str:
    """Why not all tests ran, or "". Pure.

    A process that a test ends by os._exit(0) has the exit code of one that passed, and no tally.
    """
    whole = (PASSED, FAILED, NONE_SELECTED)
    broken = [name for name, code in codes.items() if code not in whole or tallies[name] is None]
    if broken:
        return f"broke off before its end: {', '.join(broken)}"
    missing = sum(tally.collected - len(tally.begun) for tally in tallies.values() if tally)
    return f"{missing} tests did not run (`-x` and `--maxfail` stop early)" if missing else ""


def verdict(codes: Mapping[str, int], tallies: Mapping[str, Tally | None]) -> tuple[list[str], str]:
    """Which tests run once more, and why the run fails, or "" where it does not yet. Pure."""
    if why := unfinished(codes, tallies):
        return [], why
    if set(codes.values()) == {NONE_SELECTED}:
        return [], "no test was selected"
    counted = [tally for tally in tallies.values() if tally]
    timing = {name for tally in counted for name in tally.timing}
    failed = {name for tally in counted for name in tally.failed}
    again = sorted(failed & timing)
    if failed - timing:
        return [], f"{len(failed - timing)} tests failed that are not marked `timing`"
    if FAILED in codes.values() and not again:
        return [], "pytest failed, though no test did"
    if again and len(again) >= len(timing) * ONCE_MORE_MAX:
        return [], f"{len(again)} of {len(timing)} tests marked `timing` failed, a third or more"
    return again, ""


def ended(running: dict[str, subprocess.Popen[bytes]]) -> dict[str, int]:
    """Wait for processes; their exit codes. A signal ends them with all that they started."""
    try:
        return {name: process.wait() for name, process in running.items()}
    finally:
        left = [process for process in running.values() if process.poll() is None]
        try:
            for process in left:
                process.send_signal(signal.SIGINT)  # pytest then tears down what its tests made
            for process in left:
                process.wait(TEAR_DOWN_S)
        finally:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def interruptible() -> None:
    """Have SIGTERM and SIGHUP end the run as Ctrl-C does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def both(work: Path, options: list[str]) -> dict[str, int]:
    """Run both lanes. What the second one prints comes when it has ended."""
    with (work / "second.log").open("wb") as log:
        try:
            return ended(
                {
                    name: start(
                        name, [*options, *arguments], work, log.fileno() if name == SECOND else None
                    )
                    for name, arguments in lanes(ROOT).items()
                }
            )
        finally:
            sys.stdout.write((work / "second.log").read_text(errors="replace"))


def longest(tallies: Mapping[str, Tally | None]) -> list[str]:
    """Lines that tell where the time went: each lane, and its files that took long. Pure."""
    told = []
    for name, tally in tallies.items():
        if tally is None:
            continue
        spent = sorted(tally.spent_s.items(), key=lambda one: -one[1])
        told.append(
            f"{name}: {sum(tally.spent_s.values()):.0f} s of tests, and {tally.waited_s:.0f} s "
            "waited for tests that run alone"
        )
        told += [f"  {spent_s:4.0f} s  {file}" for file, spent_s in spent if spent_s >= LONG_S]
    return told


def main() -> int:
    """Run both lanes, then what may run once more; the exit code."""
    interruptible()
    with tempfile.TemporaryDirectory(prefix="lanes-") as directory:
        work = Path(directory)
        os.environ[LANES] = str(work / "lock")
        codes = both(work, sys.argv[1:])
        tallies = {name: tally_of(name, work) for name in codes}
        print(*longest(tallies), sep="\n")
        again, why = verdict(codes, tallies)
        print(f"tests that run once more: {len(again)}", *again, sep="\n  ", flush=True)
        if again:
            codes = ended({"again": start("again", again, work)})
            why = unfinished(codes, {"again": tally_of("again", work)})
        if why:
            print(f"error: {why}")
            return FAILED
        return codes["again"] if again else PASSED


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        raise SystemExit(INTERRUPTED) from None

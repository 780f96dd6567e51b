"""Time everything around a measurement: commands, a report, the image, a smoke run.

Prints a table with a bound for each; the exit code is 1 if a bound is broken. `--before` takes
another checkout with its own `.venv`; then runs of the two alternate. Next to each time is the CPU
time of the command and of its children; on a host with other work only the CPU time is reliable.
With `--docker` it needs an engine, and builds the image.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients import ROOT, warn_if_busy

SERVERS = "poll,epoll-lt"
SHORT_RUNS = 5
LONG_RUNS = 3
TIMEOUT_S = 1200
MB = 1_000_000  # as `docker images` counts
LINE = "| {} | {} | {} | {} | {} |"


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: the bounded value, and its CPU time in seconds where the command has one."""

    value: float
    cpu_s: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A thing to time, its bound, and its number of runs. `once` measures it in one checkout."""

    what: str
    unit: str
    bound: float
    runs: int
    once: Callable[[Path], Figure]


class Runs:
    """The commands of a checkout, with reports and a lock of their own."""

    def __init__(self, directory: Path) -> None:
        self._environment = {
            **os.environ,
            "C10K_LOCK": str(directory / "lock"),
            "C10K_REPORTS": str(directory / "reports"),
        }

    def command(self, checkout: Path, *arguments: str) -> Figure:
        """Time `c10k ARGUMENTS`. Raises RuntimeError if its exit code is not 0."""
        return self._timed([str(checkout / ".venv/bin/c10k"), *arguments], checkout)

    def build(self, checkout: Path, *arguments: str) -> Figure:
        """Time the build of the harness's image."""
        base = os.environ.get("C10K_BASE", "debian:bookworm-slim")
        options = ["--quiet", "--build-arg", f"BASE={base}", "--tag", tag(checkout), *arguments]
        built = self._timed(["docker", "build", *options, str(checkout)], checkout)
        return Figure(built.value)  # the engine's CPU time is not the command's

    def _timed(self, command: Sequence[str], directory: Path) -> Figure:
        start_s, start_cpu_s = time.monotonic(), cpu_s()
        done = subprocess.run(
            command,
            cwd=directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {done.stderr[-2000:]}")
        return Figure(time.monotonic() - start_s, cpu_s() - start_cpu_s)


def cpu_s() -> float:
    """CPU time of all processes that this one has waited for, including their children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tag(checkout: Path) -> str:
    """Name of a checkout's image, different from the one that its users run."""
    return "c10k/around" if checkout == ROOT else "c10k/around-before"


def size_mb(checkout: Path) -> Figure:
    """Size of the image as `docker images` shows it, its base included."""
    shown = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", tag(checkout)],
        capture_output=True,
        text=True,
        check=True,
    )
    return Figure(int(shown.stdout) / MB)


def rows(runs: Runs, campaign: Path | None, *, docker: bool) -> list[Row]:
    """List everything to time. `campaign` is the directory of a campaign of the profile quick."""
    smoke = ("--profile", "smoke", "--servers", SERVERS, "--seed", "7")
    found = [
        Row("`c10k --help`", "s", 0.3, SHORT_RUNS, lambda at: runs.command(at, "--help")),
        Row("`c10k servers`", "s", 0.5, SHORT_RUNS, lambda at: runs.command(at, "servers")),
    ]
    if campaign is not None:
        report = ("report", campaign.name, "--reports", str(campaign.parent))
        text = "`c10k report` of a quick campaign"
        found.append(Row(text, "s", 2.0, SHORT_RUNS, lambda at: runs.command(at, *report)))

    def run(backend: str) -> Callable[[Path], Figure]:
        return lambda at: runs.command(at, "run", "--backend", backend, *smoke)

    words = "smoke of two servers, built before"
    found.append(Row(f"{words}, without Docker", "s", 30.0, LONG_RUNS, run("process")))
    if docker:
        found += [
            Row(
                "image, built from nothing",
                *("s", 90.0, 1),
                lambda at: runs.build(at, "--no-cache"),
            ),
            Row("image", "MB", 350.0, 1, size_mb),
            Row(f"{words}, with Docker", "s", 40.0, LONG_RUNS, run("docker")),
        ]
    return found


def measured(row: Row, checkouts: Sequence[Path]) -> list[list[Figure]]:
    """The figures of each checkout; the runs of the checkouts alternate."""
    figures: list[list[Figure]] = [[] for _ in checkouts]
    for _ in range(row.runs):
        for place, checkout in enumerate(checkouts):
            figures[place].append(row.once(checkout))
    return figures


def shown(figures: Sequence[Figure], unit: str) -> str:
    """Format the median, lowest and highest if there are several, and the CPU time."""
    digits = 0 if unit == "MB" else 2
    values = [figure.value for figure in figures]
    text = f"{statistics.median(values):.{digits}f} {unit}"
    if len(figures) > 1:
        text += f" ({min(values):.{digits}f}–{max(values):.{digits}f})"
    used = [figure.cpu_s for figure in figures if figure.cpu_s is not None]
    return f"{text}; CPU {statistics.median(used):.2f} s" if used else text


def main() -> int:
    """Print the table; return 1 if a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--campaign", type=Path, help="directory of a campaign of profile quick")
    parser.add_argument("--docker", action="store_true", help="time the image and containers too")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    arguments = parser.parse_args()
    warn_if_busy()
    checkouts = [ROOT] + ([arguments.before.resolve()] if arguments.before else [])
    broken = False
    print(LINE.format("what", "bound", "before", "now", "within"))
    print("|---|--:|--:|--:|---|", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        runs = Runs(Path(directory))
        for row in rows(runs, arguments.campaign, docker=arguments.docker):
            if arguments.only not in row.what:
                continue
            if row.what.startswith("smoke"):
                for checkout in checkouts:  # this builds the servers
                    row.once(checkout)
            now, *before = measured(row, checkouts)
            within = statistics.median(figure.value for figure in now) <= row.bound
            broken |= not within
            told = shown(before[0], row.unit) if before else ""
            bound = f"{row.bound:g} {row.unit}"
            verdict = "yes" if within else "no"
            print(LINE.format(row.what, bound, told, shown(now, row.unit), verdict), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

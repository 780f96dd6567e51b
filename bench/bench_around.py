"""Time what surrounds a measurement: commands, a report, the image, a smoke run.

Prints a table with a bound for each; the program ends with 1 where one is broken. `--before` names
another checkout with its own `.venv`: then each run of this one is followed by one of that one.
Run it on a host that does nothing else. With `--docker` it needs an engine, and builds the image.
"""

from __future__ import annotations

import argparse
import os
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
class Row:
    """What is timed, its bound, and how often it runs. `once` gives the figure of one checkout."""

    what: str
    unit: str
    bound: float
    runs: int
    once: Callable[[Path], float]


class Runs:
    """The commands of a checkout, with reports and a lock of their own."""

    def __init__(self, directory: Path) -> None:
        self._environment = {
            **os.environ,
            "C10K_LOCK": str(directory / "lock"),
            "C10K_REPORTS": str(directory / "reports"),
        }

    def wall_s(self, checkout: Path, *arguments: str) -> float:
        """How long `c10k ARGUMENTS` takes. Raises RuntimeError where it does not end with 0."""
        return self._wall_s([str(checkout / ".venv/bin/c10k"), *arguments], checkout)

    def build_s(self, checkout: Path, *arguments: str) -> float:
        """How long the image of the harness takes to build."""
        base = os.environ.get("C10K_BASE", "debian:bookworm-slim")
        options = ["--quiet", "--build-arg", f"BASE={base}", "--tag", tag(checkout), *arguments]
        return self._wall_s(["docker", "build", *options, str(checkout)], checkout)

    def _wall_s(self, command: Sequence[str], directory: Path) -> float:
        start_s = time.monotonic()
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
        return time.monotonic() - start_s


def tag(checkout: Path) -> str:
    """The image of a checkout, apart from the one that its users run."""
    return "c10k/around" if checkout == ROOT else "c10k/around-before"


def size_mb(checkout: Path) -> float:
    """What `docker images` shows for the image, its base included."""
    shown = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", tag(checkout)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(shown.stdout) / MB


def rows(runs: Runs, campaign: Path | None, *, docker: bool) -> list[Row]:
    """All that is timed. `campaign` is the directory of one of the profile quick."""
    smoke = ("--profile", "smoke", "--servers", SERVERS, "--seed", "7")
    found = [
        Row("`c10k --help`", "s", 0.3, SHORT_RUNS, lambda at: runs.wall_s(at, "--help")),
        Row("`c10k servers`", "s", 0.5, SHORT_RUNS, lambda at: runs.wall_s(at, "servers")),
    ]
    if campaign is not None:
        report = ("report", campaign.name, "--reports", str(campaign.parent))
        text = "`c10k report` of a quick campaign"
        found.append(Row(text, "s", 2.0, SHORT_RUNS, lambda at: runs.wall_s(at, *report)))

    def run_s(backend: str) -> Callable[[Path], float]:
        return lambda at: runs.wall_s(at, "run", "--backend", backend, *smoke)

    words = "smoke of two servers, built before"
    found.append(Row(f"{words}, without Docker", "s", 30.0, LONG_RUNS, run_s("process")))
    if docker:
        found += [
            Row(
                "image, built from nothing",
                *("s", 90.0, 1),
                lambda at: runs.build_s(at, "--no-cache"),
            ),
            Row("image", "MB", 350.0, 1, size_mb),
            Row(f"{words}, with Docker", "s", 40.0, LONG_RUNS, run_s("docker")),
        ]
    return found


def measured(row: Row, checkouts: Sequence[Path]) -> list[list[float]]:
    """The figures of each checkout, of which one run follows the other."""
    figures: list[list[float]] = [[] for _ in checkouts]
    for _ in range(row.runs):
        for place, checkout in enumerate(checkouts):
            figures[place].append(row.once(checkout))
    return figures


def shown(figures: Sequence[float], unit: str) -> str:
    """The median, with the lowest and the highest where there are several."""
    digits = 0 if unit == "MB" else 2
    middle = f"{statistics.median(figures):.{digits}f} {unit}"
    if len(figures) == 1:
        return middle
    return f"{middle} ({min(figures):.{digits}f}–{max(figures):.{digits}f})"


def main() -> int:
    """Print the table; 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout, to compare with")
    parser.add_argument("--campaign", type=Path, help="directory of a campaign of profile quick")
    parser.add_argument("--docker", action="store_true", help="the image and runs in containers")
    parser.add_argument("--only", default="", help="rows whose name has these words")
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
                for checkout in checkouts:  # builds the servers
                    row.once(checkout)
            now, *before = measured(row, checkouts)
            within = statistics.median(now) <= row.bound
            broken |= not within
            told = shown(before[0], row.unit) if before else ""
            bound = f"{row.bound:g} {row.unit}"
            verdict = "yes" if within else "no"
            print(LINE.format(row.what, bound, told, shown(now, row.unit), verdict), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

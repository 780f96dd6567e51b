"""Compare the sources of CPU time: control groups, processes, and busy CPUs.

For each backend and each source that this host has, a campaign measures servers that fork and
servers that do not. Each row is a server: its CPU time per echo by the source, by its processes in
the same cells, and the busy time of its CPUs, which on an idle host only the server uses. The exit
code is 1 if a source is more than 5 % from the busy time, or if, for a server that does not fork,
control group and processes differ by more than 0.5 %.

Run it on a host without other work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients import ROOT
from short_campaigns import CAMPAIGN_TIMEOUT_S, FINISHED

from harness.backends.cpu_time import SOURCE_VARIABLE, V1, V2
from harness.contract.errors import Exit
from harness.host.cpu_accounting import PROCESSES
from harness.store.campaign_store import campaigns

sys.path.insert(0, str(ROOT / "tests" / "support"))
from faulty_servers import echo
from forking_servers import HIDES, forks, lends, supervised

AGREE_SHARE = 0.005
BUSY_SHARE = 0.05
CLASSIC = ("thread-per-connection", "select", "select-fdset", "poll", "epoll-lt", "epoll-et")
# Programs, and whether a parent waits for each of their children.
FORKING = {
    "prefork-recycles": (lends(one_in=4, life_s=0.3), True),
    "prefork-unwaited": (lends(one_in=2, life_s=0.1, collects=False), False),
    "supervised-worker": (supervised(echo()), True),
    "hidden-worker": (HIDES, True),
}
CHURNING = {"process-per-connection": (forks(), True), "unwaited": (forks(collects=False), False)}
DOCKERFILE = """ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends python3
COPY server.py /server.py
ENTRYPOINT ["python3", "/server.py"]
"""
PROFILE = """
summary = "Accounts of CPU time."
ranked = false
trials = {trials}
conformance = "off"
timing = {{ warmup_s = 0.5, window_s = {window_s} }}

[[scenarios]]
name = "{scenario}"
connections = [{connections}]
active = {active}
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Servers that are measured alike; `directory` has those that do not ship with c10k."""

    servers: Sequence[str]
    scenario: str
    connections: int
    active: int
    directory: Path | None = None


def written(programs: Mapping[str, tuple[str, bool]], directory: Path) -> Path:
    """Write the programs as server directories."""
    for name, (program, _) in programs.items():
        place = directory / name
        place.mkdir(parents=True)
        (place / "server.py").write_text(program)
        (place / "Dockerfile").write_text(DOCKERFILE)
        (place / "variant.toml").write_text(
            f'title = "{name}"\narchitecture = "forking"\nlanguage = "Python"\nsummary = "."\n'
            f'[process]\ncommand = [{json.dumps(sys.executable)}, "server.py"]\n'
        )
    return directory


def cells(part: Part, backend: str, source: str, options: argparse.Namespace) -> Iterator[Any]:
    """The cells of one campaign; exits the program if it has none."""
    with tempfile.TemporaryDirectory(prefix="c10k-accounts-") as name:
        reports, profile = Path(name) / "reports", Path(name) / "accounts.toml"
        profile.write_text(
            PROFILE.format(
                trials=options.trials,
                window_s=options.window,
                scenario=part.scenario,
                connections=part.connections,
                active=part.active,
            )
        )
        command = [sys.executable, "-m", "harness.cli", "run", "--backend", backend]
        command += ["--profile", str(profile), "--servers", ",".join(part.servers)]
        if part.directory is not None:
            command += ["--servers-dir", str(part.directory)]
        done = subprocess.run(
            [*command, "--reports", str(reports)],
            cwd=ROOT,
            env={**os.environ, SOURCE_VARIABLE: source},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=CAMPAIGN_TIMEOUT_S,
        )
        if done.returncode not in (*FINISHED, Exit.SERVER_FAULT):
            sys.exit(f"the campaign ended with {done.returncode}: {done.stderr.strip()}")
        (campaign,) = campaigns(reports)
        yield from campaign.cells()


def row(name: str, backend: str, source: str, found: Sequence[Mapping[str, Any]]) -> bool:
    """Print the trials of one server; return whether it is within the bounds."""
    accounts = [cell["server"]["charged"] for cell in found]
    used = {account["source"] for account in accounts}
    if used != {source}:
        return True  # this host has no such source for this backend
    per_echo = [one["cpu_ns"] / one["echoes"] / 1e3 for one in accounts]
    agree = [one["processes_ns"] / one["cpu_ns"] for one in accounts]
    busy = [one["cpu_ns"] / one["busy_ns"] for one in accounts]
    statuses = sorted({str(cell["status"]) for cell in found})
    unwaited = not (FORKING | CHURNING).get(name, ("", True))[1]
    within_busy = abs(statistics.median(busy) - 1) <= BUSY_SHARE or (
        unwaited and source == PROCESSES
    )
    exact = statistics.median(one["exact_ns"] / one["cpu_ns"] for one in accounts)
    agrees = name not in CLASSIC or all(abs(one - 1) <= AGREE_SHARE for one in agree)
    print(
        f"| {name} | {backend} | {source} | {len(found)} | {statistics.median(per_echo):.2f} "
        f"({min(per_echo):.2f}–{max(per_echo):.2f}) | ± {exact:.2%} "
        f"| {min(agree):.4f}–{max(agree):.4f} | {min(busy):.3f}–{max(busy):.3f} "
        f"| {', '.join(statuses)} | {'yes' if within_busy and agrees else '**no**'} |",
        flush=True,
    )
    return within_busy and agrees


def main() -> int:
    """Run all campaigns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default="process,docker", help="comma-separated names")
    sources = ",".join((V1, V2, PROCESSES))
    parser.add_argument("--sources", default=sources, help="comma-separated names")
    parser.add_argument("--trials", type=int, default=5, help="trials of each server")
    parser.add_argument("--window", type=float, default=2.0, help="seconds")
    parser.add_argument("--connections", type=int, default=10_000, help="for the classic six")
    options = parser.parse_args()
    print(
        "| server | backend | source | trials | µs of CPU per echo | exact | processes / source "
        "| source / busy | cells | within bounds |\n" + "|---" * 10 + "|"
    )
    good = True
    with tempfile.TemporaryDirectory(prefix="c10k-servers-") as name:
        forking = written(FORKING, Path(name) / "forking")
        churning = written(CHURNING, Path(name) / "churning")
        parts = (
            Part(CLASSIC, "idle", options.connections, 100),
            Part(list(FORKING), "idle", 200, 50, forking),
            Part(list(CHURNING), "churn", 50, 10, churning),
        )
        for backend in options.backends.split(","):
            for source in options.sources.split(","):
                for part in parts:
                    of: dict[str, list[Any]] = defaultdict(list)
                    for cell in cells(part, backend, source, options):
                        if (cell["server"] or {}).get("charged"):
                            of[cell["variant"]].append(cell)
                    for server in part.servers:
                        if of[server]:
                            good = row(server, backend, source, of[server]) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

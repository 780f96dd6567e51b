"""Compare the cost of an echo in two builds of the load engine.

Each round starts three engines at each number of connections: the old build, the old build again
and the new one, each in a fresh process. Three `epoll-lt` servers run all the time, because some
hosts allow a process fewer than 30,000 descriptors; each engine uses one of them. The engines run
short cells in turns, in random order: a closed loop over all connections with 64 bytes. The servers
share a CPU and the engines share another, in a private network namespace. The cost is the CPU time
of the engine thread per echo; a round's ratio is that of the medians over its turns. The table
gives the geometric mean of the ratios with its 95 % confidence interval. The ratio of the old build
to itself is the noise of the comparison.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import clients

from harness.analysis.intervals import log_interval

CONNECTIONS = (100, 1_000, 10_000)
OLD, AGAIN, NEW = BUILDS = ("old", "old again", "new")
PORTS = tuple(range(clients.PORT, clients.PORT + len(BUILDS)))

Costs = dict[str, list[float]]  # by build, µs per echo: one per turn, or the median of each round


class Engine:
    """A process that drives the server with one build."""

    def __init__(self, library: Path, port: int, options: tuple[float, ...]) -> None:
        program = clients.ROOT / "bench/engine_of_build.py"
        task = [library, f"tcp://{clients.HOST}:{port}", *options]
        self._process = subprocess.Popen(
            [sys.executable, str(program), *map(str, task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._ask("") != "ready\n":
            raise RuntimeError(f"{library}: the engine could not open its connections")

    def run_cell(self) -> float:
        """Run one cell; return µs of CPU time per echo."""
        return float(self._ask("run\n"))

    def end(self) -> None:
        """Let the process close its connections and exit."""
        self._process.communicate(timeout=clients.RUN_TIMEOUT_S)

    def _ask(self, line: str) -> str:
        """Write a line; return the answer, empty if the process has ended."""
        if self._process.stdin is None or self._process.stdout is None:
            return ""
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextlib.contextmanager
def engines(libraries: dict[str, Path], *options: float) -> Iterator[dict[str, Engine]]:
    """Start one engine of each build, with the options of its command line; end them."""
    started: dict[str, Engine] = {}
    try:
        for name, port in zip(random.sample(BUILDS, len(BUILDS)), PORTS, strict=True):
            started[name] = Engine(libraries[name], port, options)
        yield started
    finally:
        for engine in started.values():
            engine.end()


def run_round(running: dict[str, Engine], turns: int) -> dict[str, float]:
    """Let the engines take turns; return the median cost of each, in µs per echo."""
    costs: Costs = {name: [] for name in BUILDS}
    for _ in range(turns):
        for name in random.sample(BUILDS, len(BUILDS)):
            costs[name].append(running[name].run_cell())
    return {name: statistics.median(values) for name, values in costs.items()}


def measure(arguments: argparse.Namespace, cpu: int) -> dict[int, Costs]:
    """Run all rounds; return the cost of each round, by number of connections."""
    random.seed(clients.SEED)
    libraries = {OLD: arguments.old, AGAIN: arguments.old, NEW: arguments.new}
    costs: dict[int, Costs] = {n: {name: [] for name in BUILDS} for n in CONNECTIONS}
    for number in range(arguments.rounds):
        for connections, by_build in costs.items():
            with engines(libraries, connections, arguments.window, cpu) as running:
                for name, cost in run_round(running, arguments.turns).items():
                    by_build[name].append(cost)
        last = {n: {name: round(by[name][-1], 3) for name in BUILDS} for n, by in costs.items()}
        print(f"round {number + 1} of {arguments.rounds}: {last}", file=sys.stderr, flush=True)
    return costs


def ratio(costs: Costs, name: str) -> str:
    """Format the geometric mean of a build's ratio to the old one, and its interval."""
    ratios = [cost / old for cost, old in zip(costs[name], costs[OLD], strict=True)]
    interval = log_interval(ratios)
    bounds = "–" if interval is None else f"{interval.low:.3f}–{interval.high:.3f}"
    return f"{statistics.geometric_mean(ratios):.3f} ({bounds})"


def print_table(costs: dict[int, Costs]) -> None:
    """Print one line of Markdown per number of connections."""
    columns = ("connections", "rounds", "old, µs", "new, µs", "old again/old", "new/old")
    print("|", " | ".join(columns), "|")
    print("|--:|--:|--:|--:|---|---|")
    for connections, by_build in costs.items():
        old, new = (statistics.median(by_build[name]) for name in (OLD, NEW))
        rounds = len(by_build[OLD])
        print(
            f"| {connections:,} | {rounds} | {old:.2f} | {new:.2f} "
            f"| {ratio(by_build, AGAIN)} | {ratio(by_build, NEW)} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, required=True, help="_engine*.so of the old build")
    parser.add_argument("--new", type=Path, required=True, help="_engine*.so of the new build")
    parser.add_argument("--rounds", type=int, default=10, help="number of rounds")
    parser.add_argument("--turns", type=int, default=9, help="cells of each engine per round")
    parser.add_argument("--window", type=float, default=0.2, help="seconds of each cell")
    arguments = parser.parse_args()
    clients.enter_namespace()
    server_cpu, client_cpu = clients.cpus()
    clients.warn_if_busy()
    with contextlib.ExitStack() as servers:
        for port in PORTS:
            servers.enter_context(clients.served("epoll-lt", server_cpu, port))
        print_table(measure(arguments, client_cpu))


if __name__ == "__main__":
    main()

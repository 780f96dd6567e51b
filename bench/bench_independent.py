"""Compare the engine's measurements with those of a client that shares no code with it.

The engine under Locust and `independent_client.cpp` take turns at the same server process, in
random order in each round. Two figures are compared as paired ratios, with the geometric mean over
the rounds and its 90 % interval, which must lie within the bound. One is the unloaded round trip
(one connection, one message at a time; both sleep until the reply). The other is the rate of a
closed loop over all connections (both poll, as the engine does in campaigns). A second table shows
the server's cost per message of either side and how busy it was, which explains a difference.

Rounds are many and short, like the turns of campaigns side by side. So both runs of a pair meet the
same speed of a shared host.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import agreement
import clients
from clients import SEED, Settings

VARIANTS = ("epoll-lt", "thread-per-connection")
SIDES = ("harness", "independent")


@dataclass(frozen=True, slots=True)
class Case:
    """A comparison, and the share within which the two must agree."""

    variant: str
    connections: int
    within: float

    @property
    def is_round_trip(self) -> bool:
        """Whether it compares a time; otherwise a rate."""
        return self.connections == 1

    @property
    def what(self) -> str:
        """The figure's name, for the table."""
        return "round trip, us" if self.is_round_trip else "echoes/s"


CASES = tuple(
    Case(variant, connections, within)
    for variant in VARIANTS
    for connections, within in ((1, 0.05), (100, 0.10), (1_000, 0.10))
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one side.

    Attributes:
        value: the mean round trip in µs, or echoes per second.
        server_busy: the server's CPU time, as a share of one CPU.
    """

    value: float
    echoes_per_s: float
    server_busy: float

    @property
    def server_us(self) -> float:
        """Cost of an echo for the server, in µs of CPU time."""
        return self.server_busy * 1e6 / self.echoes_per_s


Runs = dict[Case, dict[str, list[Run]]]


def run(side: str, case: Case, settings: Settings, server: int) -> Run:
    """Run one side at the server with this process id."""
    return (
        run_harness(case, settings)
        if side == "harness"
        else run_independent(case, settings, server)
    )


def run_harness(case: Case, settings: Settings) -> Run:
    """Run the engine under Locust."""
    # A blocking client sleeps in every round trip; a loop polls, as campaigns do
    spin = not case.is_round_trip
    active = clients.run_engine(case.variant, case.connections, settings, spin=spin).active
    server = active["server"]
    rate = active["echoes_per_s"]
    return Run(
        value=active["latency_us"]["mean"] if case.is_round_trip else rate,
        echoes_per_s=rate,
        server_busy=server["cpu_ns"] / server["interval_ns"],
    )


def run_independent(case: Case, settings: Settings, server: int) -> Run:
    """Run the client in plain C++."""
    mode = "ping" if case.is_round_trip else "spin"
    program = [str(settings.independent_client), mode, str(server)]
    figures = clients.run_program(program, case.connections, settings)
    rate = figures["echoes"] / figures["window_s"]
    return Run(
        value=figures["round_trip_us"]["mean"] if case.is_round_trip else rate,
        echoes_per_s=rate,
        server_busy=figures["server_cpu_s"] / figures["window_s"],
    )


def measure(rounds: int, settings: Settings) -> Runs:
    """Run all cases; each round has both sides of a case, at the same server."""
    order = random.Random(SEED)  # noqa: S311
    found: Runs = {case: {side: [] for side in SIDES} for case in CASES}
    for variant in VARIANTS:
        with clients.served(variant, settings.server_cpu) as server:
            for number in range(rounds):
                for case in (case for case in CASES if case.variant == variant):
                    for side in order.sample(SIDES, len(SIDES)):
                        done = run(side, case, settings, server)
                        found[case][side].append(done)
                        print(
                            f"round {number + 1}  {variant:<22} {case.connections:>6,} connections"
                            f"  {side:<12}{done.value:>12,.1f} {case.what}",
                            flush=True,
                        )
    return found


def print_costs(found: Runs) -> None:
    """Print the server's costs: medians over the rounds, one line per case and side."""
    line = "{:<22} {:>11} {:<12} {:>16} {:>12}"
    header = ("server us/echo", "server busy")
    print("\n" + line.format("server", "connections", "side", *header))
    for case, sides in found.items():
        for side, runs in sides.items():
            columns = [
                f"{statistics.median(run.server_us for run in runs):.2f}",
                f"{statistics.median(run.server_busy for run in runs):.0%}",
            ]
            print(line.format(case.variant, f"{case.connections:,}", side, *columns))


def print_table(found: Runs) -> bool:
    """Print one line per case; return True if all agree."""
    line = "{:<22} {:>11} {:<15} {:>12} {:>12} {:>7} {:>15} {:>8}  {}"
    header = ("server", "connections", "what", *SIDES, "ratio", "90 % interval", "bound", "")
    print("\n" + line.format(*header))
    agreed = []
    for case, sides in found.items():
        pairs = zip(*(sides[side] for side in SIDES), strict=True)
        found_of = agreement.of([one.value / other.value for one, other in pairs], case.within)
        agreed.append(found_of.holds)
        medians = [f"{statistics.median(run.value for run in sides[side]):,.1f}" for side in SIDES]
        columns = (case.variant, f"{case.connections:,}", case.what, *medians)
        judged = (f"{found_of.ratio:.3f}", found_of.span, f"± {case.within:.0%}", found_of.verdict)
        print(line.format(*columns, *judged))
    return all(agreed)


def main() -> int:
    clients.enter_namespace()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=36)
    parser.add_argument("--warmup", type=float, default=0.2, help="seconds")
    parser.add_argument("--window", type=float, default=0.6, help="seconds")
    arguments = parser.parse_args()
    server_cpu, client_cpu = clients.cpus()
    clients.warn_if_busy()
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            warmup_s=arguments.warmup,
            window_s=arguments.window,
            server_cpu=server_cpu,
            client_cpu=client_cpu,
            independent_client=clients.build_client(Path(directory)),
        )
        found = measure(arguments.rounds, settings)
    agreed = print_table(found)
    print_costs(found)
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())

"""Does a client that shares no code with the engine measure the same?

The engine, as campaigns run it, and `independent_client.cpp` take turns at one and the same server
process, in random order in each round. Compared are the unloaded round trip (one connection, one
message at a time) and the rate of a closed loop over all connections, as paired ratios: the
geometric mean over the rounds with its 95 % interval.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import clients
from clients import SEED, Settings

from harness.analysis.intervals import log_interval

VARIANTS = ("epoll-lt", "thread-per-connection")
SIDES = ("harness", "independent")


@dataclass(frozen=True, slots=True)
class Case:
    """What is compared, and within which share the two must agree."""

    variant: str
    connections: int
    within: float

    @property
    def is_round_trip(self) -> bool:
        """Whether a time is compared rather than a rate."""
        return self.connections == 1

    @property
    def what(self) -> str:
        """For the table."""
        return "round trip, us" if self.is_round_trip else "echoes/s"


CASES = tuple(
    Case(variant, connections, within)
    for variant in VARIANTS
    for connections, within in ((1, 0.05), (100, 0.10), (1_000, 0.10))
)


def run(side: str, case: Case, settings: Settings) -> float:
    """One run of one side: the mean round trip in µs, or echoes per second."""
    if side == "harness":
        active = clients.run_engine(case.variant, case.connections, settings).active
        return float(active["latency_us"]["mean"] if case.is_round_trip else active["echoes_per_s"])
    mode = "ping" if case.is_round_trip else "loop"
    program = [str(settings.independent_client), mode]
    figures = clients.run_program(program, case.connections, settings)
    if case.is_round_trip:
        return float(figures["round_trip_us"]["mean"])
    return float(figures["echoes"] / figures["window_s"])


def measure(rounds: int, settings: Settings) -> dict[Case, dict[str, list[float]]]:
    """All cases; both sides of a case in each round, at the same server."""
    order = random.Random(SEED)  # noqa: S311
    found: dict[Case, dict[str, list[float]]] = {
        case: {side: [] for side in SIDES} for case in CASES
    }
    for variant in VARIANTS:
        with clients.served(variant, settings.server_cpu):
            for number in range(rounds):
                for case in (case for case in CASES if case.variant == variant):
                    for side in order.sample(SIDES, len(SIDES)):
                        value = run(side, case, settings)
                        found[case][side].append(value)
                        print(
                            f"round {number + 1}  {variant:<22} {case.connections:>6,} connections"
                            f"  {side:<12}{value:>12,.1f} {case.what}",
                            flush=True,
                        )
    return found


def print_table(found: dict[Case, dict[str, list[float]]]) -> bool:
    """One line per case; True if all agree."""
    line = "{:<22} {:>11} {:<15} {:>12} {:>12} {:>7} {:>15} {:>8}  {}"
    header = ("server", "connections", "what", *SIDES, "ratio", "95 % interval", "bound", "")
    print("\n" + line.format(*header))
    agreed = []
    for case, sides in found.items():
        ratios = [one / other for one, other in zip(*(sides[side] for side in SIDES), strict=True)]
        ratio = math.exp(statistics.fmean(map(math.log, ratios)))
        interval = log_interval(ratios)
        span = f"{interval.low:.3f}-{interval.high:.3f}" if interval else "3 rounds needed"
        agreed.append(abs(ratio - 1) <= case.within)
        medians = [f"{statistics.median(sides[side]):,.1f}" for side in SIDES]
        bound, verdict = f"± {case.within:.0%}", "agree" if agreed[-1] else "DIFFER"
        columns = (case.variant, f"{case.connections:,}", case.what, *medians)
        print(line.format(*columns, f"{ratio:.3f}", span, bound, verdict))
    return all(agreed)


def main() -> int:
    clients.enter_namespace()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds")
    parser.add_argument("--window", type=float, default=2.0, help="seconds")
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
        return 0 if print_table(measure(arguments.rounds, settings)) else 1


if __name__ == "__main__":
    sys.exit(main())

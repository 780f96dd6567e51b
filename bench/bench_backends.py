"""Do containers cost the servers anything? CPU per echo in both backends, for each server.

Campaigns of one trial run in turns, containers and processes, in random order in each round.
Printed is the ratio docker / process for each server and cell: the geometric mean over the rounds
with its 95 % interval. Within 10 % the backends measure the same.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import tempfile
from pathlib import Path

import clients
import short_campaigns

from harness import draw
from harness.analysis.intervals import log_interval
from harness.store import Campaign

BACKENDS = ("docker", "process")
SERVERS = ("thread-per-connection", "select", "select-fdset", "poll", "epoll-lt", "epoll-et")
WITHIN = 0.10

Costs = dict[tuple[str, int], float]


def costs(campaign: Campaign) -> Costs:
    """CPU µs per echo of each server and number of open connections."""
    return {
        (cell.variant, cell.key.connections): cell.cpu_us_per_echo.median
        for cell in draw.model_of(campaign).analysis.cells
        if cell.key.scenario == "idle" and cell.cpu_us_per_echo
    }


def measure(
    rounds: int, profile: Path, servers: list[str], reports: Path
) -> list[dict[str, Costs]]:
    """Both backends in each round."""
    order = random.Random(clients.SEED)  # noqa: S311
    found = []
    for number in range(1, rounds + 1):
        both: dict[str, Costs] = {}
        for backend in order.sample(BACKENDS, len(BACKENDS)):
            both[backend] = costs(short_campaigns.run(profile, servers, backend, reports))
            print(f"round {number}  {backend}: {len(both[backend])} cells", flush=True)
        found.append(both)
    return found


def print_table(found: list[dict[str, Costs]]) -> bool:
    """One line per server and cell; True if all agree."""
    line = "{:<22} {:>11} {:>12} {:>12} {:>7} {:>15}  {}"
    columns = ("server", "connections", *(f"{name}, us" for name in BACKENDS), "ratio")
    print("\n" + line.format(*columns, "95 % interval", f"± {WITHIN:.0%}"))
    keys = sorted({key for both in found for each in both.values() for key in each})
    agreed = []
    for key in keys:
        pairs = [
            (both["docker"][key], both["process"][key])
            for both in found
            if all(key in both[name] for name in BACKENDS)
        ]
        if not pairs:
            continue
        ratios = [docker / process for docker, process in pairs]
        ratio = math.exp(statistics.fmean(map(math.log, ratios)))
        interval = log_interval(ratios)
        span = f"{interval.low:.3f}-{interval.high:.3f}" if interval else "3 rounds needed"
        agreed.append(abs(ratio - 1) <= WITHIN)
        medians = [f"{statistics.median(values):.2f}" for values in zip(*pairs, strict=True)]
        verdict = "agree" if agreed[-1] else "DIFFER"
        print(line.format(key[0], f"{key[1]:,}", *medians, f"{ratio:.3f}", span, verdict))
    return bool(agreed) and all(agreed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--servers", default=",".join(SERVERS), help="names, commas between")
    short_campaigns.add_options(parser, trials=1, connections="1000, 10000")
    arguments = parser.parse_args()
    clients.warn_if_busy()
    with tempfile.TemporaryDirectory() as directory:
        reports = arguments.reports or Path(directory) / "reports"
        profile = short_campaigns.plan_of(arguments).write(Path(directory) / "backends.toml")
        servers = arguments.servers.split(",")
        return 0 if print_table(measure(arguments.rounds, profile, servers, reports)) else 1


if __name__ == "__main__":
    sys.exit(main())

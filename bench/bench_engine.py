"""Measure the client's CPU time per echo: the engine under Locust, a bare client, a Locust user.

All three load one `epoll-lt` server, one after the other and in random order in each round, in a
closed loop over all connections. Server and client have a CPU each, in a private network namespace.
The table has the CPU time of the whole client process per echo, and the ratio of clients in the
same round; then the time and memory that 10,000 connections took.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import clients
from clients import ROOT, SEED, Settings

CONNECTIONS = (1, 100, 1_000, 10_000)

RATIO_TO_BARE_MAX = 1.10
RATIO_TO_GEVENT_MAX = 0.40
RATIO_CONNECTIONS_MIN = 100
ESTABLISH_MAX_S = 1.0
MEMORY_MAX_MB = 250


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one client. Memory and the time to establish are only known for the engine."""

    cpu_us_per_echo: float
    echoes_per_s: float
    establish_s: float | None = None
    memory_mb: float | None = None


def run_engine(connections: int, settings: Settings) -> Run:
    """Run the engine under Locust. It sleeps like the others, because CPU time is compared."""
    load = clients.run_engine("epoll-lt", connections, settings, spin=False)
    generator = load.active["generator"]
    busy = generator["process_cpu_ns"] / generator["interval_ns"]
    return Run(
        cpu_us_per_echo=busy * 1e6 / load.active["echoes_per_s"],
        echoes_per_s=load.active["echoes_per_s"],
        establish_s=load.ramp["ramp"]["time_to_n_s"],
        memory_mb=load.memory_mb,
    )


def run_client(name: str, connections: int, settings: Settings, server: int) -> Run:
    if name == "engine":
        return run_engine(connections, settings)
    gevent_user = [sys.executable, str(ROOT / "bench/gevent_user.py")]
    bare = [str(settings.independent_client), "loop", str(server)]
    figures = clients.run_program(gevent_user if name == "gevent" else bare, connections, settings)
    return Run(
        cpu_us_per_echo=figures["cpu_s"] * 1e6 / figures["echoes"],
        echoes_per_s=figures["echoes"] / figures["window_s"],
    )


CLIENTS = ("engine", "bare", "gevent")


def spread(values: list[float], digits: int = 2) -> str:
    """Format the median, and the range of all values."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def verdict(held: bool) -> str:
    return "met" if held else "NOT MET"


def print_table(runs: dict[int, dict[str, list[Run]]]) -> None:
    """Print cost per client and ratios per round, one line per number of connections."""
    header = ("connections", *CLIENTS, "engine/bare", "engine/gevent")
    print("\nCPU of the client, us per echo: median (min–max) over the rounds")
    print("{:>11}  {:>21}  {:>21}  {:>21}  {:>18}  {:>18}".format(*header))
    for connections, by_client in runs.items():
        cost = {name: [run.cpu_us_per_echo for run in by_client[name]] for name in CLIENTS}
        ratios = [
            spread([e / o for e, o in zip(cost["engine"], cost[other], strict=True)])
            for other in ("bare", "gevent")
        ]
        columns = [spread(cost[name]) for name in CLIENTS]
        line = "{:>11,}  {:>21}  {:>21}  {:>21}  {:>18}  {:>18}"
        print(line.format(connections, *columns, *ratios))


def print_targets(runs: dict[int, dict[str, list[Run]]]) -> None:
    """Print the targets, and whether the medians reach them."""
    print()
    for other, limit in (("bare", RATIO_TO_BARE_MAX), ("gevent", RATIO_TO_GEVENT_MAX)):
        worst = max(
            statistics.median(
                e.cpu_us_per_echo / o.cpu_us_per_echo
                for e, o in zip(by_client["engine"], by_client[other], strict=True)
            )
            for connections, by_client in runs.items()
            if connections >= RATIO_CONNECTIONS_MIN
        )
        text = (
            f"engine/{other} at {RATIO_CONNECTIONS_MIN} connections and more: at most {worst:.2f}"
        )
        print(f"{text}, target {limit:.2f}: {verdict(worst <= limit)}")
    most = max(runs)
    establish = [run.establish_s for run in runs[most]["engine"] if run.establish_s is not None]
    memory = [run.memory_mb for run in runs[most]["engine"] if run.memory_mb is not None]
    print(
        f"{most:,} connections established in {spread(establish)} s, target {ESTABLISH_MAX_S}: "
        f"{verdict(statistics.median(establish) <= ESTABLISH_MAX_S)}"
    )
    print(
        f"memory of the load process with them: {spread(memory, 0)} MB, target {MEMORY_MAX_MB}: "
        f"{verdict(max(memory) <= MEMORY_MAX_MB)}"
    )


def measure(rounds: int, settings: Settings, server: int) -> dict[int, dict[str, list[Run]]]:
    """Run all clients at all sizes, interleaved; print one line as each run ends."""
    order = random.Random(SEED)  # noqa: S311
    runs: dict[int, dict[str, list[Run]]] = {
        connections: {name: [] for name in CLIENTS} for connections in CONNECTIONS
    }
    for number in range(rounds):
        for connections in CONNECTIONS:
            for name in order.sample(CLIENTS, len(CLIENTS)):
                run = run_client(name, connections, settings, server)
                runs[connections][name].append(run)
                print(
                    f"round {number + 1}  {connections:>6,} connections  {name:<6}"
                    f"  {run.cpu_us_per_echo:6.2f} us/echo  {run.echoes_per_s:9,.0f} echoes/s",
                    flush=True,
                )
    return runs


def main() -> None:
    clients.enter_namespace()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds")
    parser.add_argument("--window", type=float, default=1.5, help="seconds")
    arguments = parser.parse_args()
    server_cpu, client_cpu = clients.cpus()
    clients.warn_if_busy()
    with (
        tempfile.TemporaryDirectory() as directory,
        clients.served("epoll-lt", server_cpu) as server,
    ):
        settings = Settings(
            warmup_s=arguments.warmup,
            window_s=arguments.window,
            server_cpu=server_cpu,
            client_cpu=client_cpu,
            independent_client=clients.build_client(Path(directory)),
        )
        runs = measure(arguments.rounds, settings, server)
    print_table(runs)
    print_targets(runs)


if __name__ == "__main__":
    main()

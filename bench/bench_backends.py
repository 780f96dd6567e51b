"""Compare the CPU time per echo of each server in both backends.

In each round a container and a process of each server are up side by side, loaded in turns, in
random order. The table has the ratio docker / process for each server and cell: the geometric mean
over the rounds with its 90 % interval. If that lies within 10 %, the backends measure the same. A
cell without a round in both backends does not agree, unless it is above its server's declared
ceiling.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import agreement
import clients
import short_campaigns

from harness.backends.base import Backend, Prepared, TrialContext
from harness.campaign import launch
from harness.campaign.campaign_run import Request
from harness.campaign.trial_run import TrialRun, in_turns
from harness.host import lock
from harness.host.interrupt import watched
from harness.plan import trial_plan
from harness.plan.limits import Asked

BACKENDS = ("docker", "process")
SERVERS = ("thread-per-connection", "select", "select-fdset", "poll", "epoll-lt", "epoll-et")
WITHIN = 0.10

# {(server, open connections): {backend: CPU µs per echo, one per round}}
Costs = dict[tuple[str, int], dict[str, list[float]]]


class Rounds:
    """Run every server in both backends, round after round."""

    def __init__(self, request: Request, backends: Mapping[str, Backend]) -> None:
        self._request = request
        self._backends = backends
        self._order = random.Random(request.seed)  # noqa: S311
        self._prepared: dict[tuple[str, str], Prepared] = {}
        build_s = request.profile.timeouts.build_s
        for name, backend in backends.items():
            backend.prepare_load(build_s)
            for variant in request.variants:
                self._prepared[name, variant.name] = backend.prepare(variant, build_s)

    def run(self, number: int) -> dict[tuple[str, int], dict[str, float]]:
        """CPU µs per echo of each cell that both backends have."""
        found: dict[tuple[str, int], dict[str, float]] = {}
        for variant in self._request.variants:
            records: dict[str, list[dict[str, Any]]] = {name: [] for name in self._backends}
            runs = [
                self._trial(number, variant.name, name, records[name])
                for name in self._order.sample(BACKENDS, len(BACKENDS))
            ]
            for outcome in in_turns([run.run() for run in runs]):
                if outcome.text:
                    print(f"round {number}  {variant.name}: {outcome.text}", flush=True)
            for name, cells in records.items():
                for cell in cells:
                    cost = (cell["server"] or {}).get("cpu_us_per_echo")
                    if cell["scenario"] == "idle" and cell["status"] != "void" and cost:
                        key = (variant.name, cell["connections_requested"])
                        found.setdefault(key, {})[name] = cost
            for why in sorted({text for cells in records.values() for text in _void(cells)}):
                print(f"round {number}  {variant.name}: {why}", flush=True)
        paired = {key: both for key, both in found.items() if len(both) == len(BACKENDS)}
        print(f"round {number}: {len(paired)} of {len(self.expected)} cells", flush=True)
        return paired

    @property
    def expected(self) -> list[tuple[str, int]]:
        """The cells that each round must have: up to the ceiling that a server declares."""
        steps = trial_plan.steps_of(self._request.profile)
        ceilings = {one.name: one.file.limits for one in self._request.variants}
        return [
            (name, step.connections)
            for name, ceiling in ceilings.items()
            for step in steps
            if ceiling is None or step.connections <= ceiling.connections_max
        ]

    def _trial(
        self, number: int, variant: str, backend: str, records: list[dict[str, Any]]
    ) -> TrialRun:
        (trial,) = trial_plan.make(self._request.profile, [variant], self._request.seed + number)
        context = TrialContext(
            campaign=f"bench-backends-{number}",
            trial=trial,
            prepared=self._prepared[backend, variant],
            cpus=self._request.split,
            asked=Asked.for_connections(self._request.profile.at_once_max),
            timeouts=self._request.profile.timeouts,
            workers=0,
            side_by_side=True,
        )
        return TrialRun(
            self._backends[backend],
            context,
            attempt=1,
            store=records.append,
            show=lambda name, **facts: None,
        )


def _void(cells: list[dict[str, Any]]) -> list[str]:
    """Why rejected cells have no figure."""
    return [
        f"void at {cell['connections_requested']:,}: {text}"
        for cell in cells
        if cell["status"] == "void"
        for _, text in cell["reasons"]
    ]


def print_table(found: Costs, expected: list[tuple[str, int]]) -> bool:
    """Print one line per server and cell; return True if all expected cells agree."""
    line = "{:<22} {:>11} {:>12} {:>12} {:>7} {:>15}  {}"
    columns = ("server", "connections", *(f"{name}, us" for name in BACKENDS), "ratio")
    print("\n" + line.format(*columns, "90 % interval", f"± {WITHIN:.0%}"))
    agreed = []
    for server, connections in sorted(expected):
        costs = found.get((server, connections))
        if costs is None:
            agreed.append(False)
            print(line.format(server, f"{connections:,}", "-", "-", "-", "-", "NOT MEASURED"))
            continue
        ratios = [a / b for a, b in zip(costs["docker"], costs["process"], strict=True)]
        judged = agreement.of(ratios, WITHIN)
        agreed.append(judged.holds)
        medians = [f"{statistics.median(costs[name]):.2f}" for name in BACKENDS]
        columns = (server, f"{connections:,}", *medians)
        print(line.format(*columns, f"{judged.ratio:.3f}", judged.span, judged.verdict))
    return bool(agreed) and all(agreed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--servers", default=",".join(SERVERS), help="comma-separated names")
    short_campaigns.add_options(parser, connections="1000, 10000", window_s=4.0, turns=20)
    arguments = parser.parse_args()
    clients.warn_if_busy()
    found: Costs = {}
    with tempfile.TemporaryDirectory() as directory, watched(), lock.held("make bench-backends"):
        plan_of = short_campaigns.plan_of(arguments)
        request = launch.request_of(
            profile=str(plan_of.write(Path(directory) / "backends.toml")),
            servers=arguments.servers.split(","),
            servers_dir=clients.ROOT / "servers",
            seed=clients.SEED,
            workers=0,
            reports=Path(directory),
            argv=sys.argv[1:],
        )
        backends = {name: launch.backend_named(name) for name in BACKENDS}
        for backend in backends.values():
            backend.sweep()  # remains of an earlier run that was killed
        rounds = Rounds(request, backends)
        os.sched_setaffinity(0, request.split.load)
        for number in range(1, arguments.rounds + 1):
            for key, both in rounds.run(number).items():
                for name, cost in both.items():
                    found.setdefault(key, {one: [] for one in BACKENDS})[name].append(cost)
    return 0 if print_table(found, rounds.expected) else 1


if __name__ == "__main__":
    sys.exit(main())

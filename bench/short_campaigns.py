"""Run campaigns one after another for a comparison: a profile of their own, and `c10k run`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clients import ROOT

from harness.store.campaign_store import Campaign, campaigns

CAMPAIGN_TIMEOUT_S = 3600
# 5: a cell is rejected, and the table leaves it out.
FINISHED = (0, 5)


@dataclass(frozen=True, slots=True)
class Plan:
    """The content of each campaign: the scenario `idle`, with 100 active."""

    trials: int
    connections: str
    warmup_s: float
    window_s: float
    same_twice: str = ""
    turns: int = 1

    def write(self, path: Path) -> Path:
        """Write the plan as a profile."""
        keys = f'same_twice = "{self.same_twice}"\n' if self.same_twice else ""
        if self.turns > 1:
            keys += "side_by_side = true\n"
        scenarios = "".join(
            f'\n[[scenarios]]\nname = "{name}"\nconnections = [{self.connections}]\n'
            for name in ("ramp", "idle")
        )
        if self.turns > 1:
            scenarios += f"turns = {self.turns}\n"
        path.write_text(
            f'summary = "Short, to be run again and again."\ntrials = {self.trials}\n{keys}'
            f"\n[timing]\nwarmup_s = {self.warmup_s}\nwindow_s = {self.window_s}\n{scenarios}"
        )
        return path


def add_options(
    parser: argparse.ArgumentParser, *, connections: str, window_s: float, turns: int
) -> None:
    """Add the options that all these comparisons have."""
    parser.add_argument("--turns", type=int, default=turns, help="turns of each window")
    parser.add_argument("--connections", default=connections, help="comma-separated numbers")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds")
    parser.add_argument("--window", type=float, default=window_s, help="seconds")


def plan_of(arguments: argparse.Namespace, trials: int = 1, same_twice: str = "") -> Plan:
    """The plan from the options; with several turns a block's trials run side by side."""
    return Plan(
        trials=trials,
        connections=arguments.connections,
        warmup_s=arguments.warmup,
        window_s=arguments.window,
        same_twice=same_twice,
        turns=arguments.turns,
    )


def run(profile: Path, servers: Sequence[str], backend: str, reports: Path) -> Campaign:
    """Run one campaign to its end; exit the program if there is none."""
    before = {campaign.name for campaign in campaigns(reports)} if reports.is_dir() else set()
    command = [sys.executable, "-m", "harness.cli", "run", "--backend", backend]
    command += ["--profile", str(profile), "--servers", ",".join(servers)]
    done = subprocess.run(
        [*command, "--reports", str(reports)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=CAMPAIGN_TIMEOUT_S,
    )
    if done.returncode not in FINISHED:
        sys.exit(f"the campaign ended with {done.returncode}: {done.stderr.strip()}")
    (campaign,) = (one for one in campaigns(reports) if one.name not in before)
    return campaign

"""Compare one server with itself in many campaigns, to check that the method finds no difference.

Each campaign has the server twice in every block, under two names, side by side and loaded in
turns, in the process backend. For each campaign and cell the program prints the ratio of the two,
its interval and the campaign's verdict. Of ten campaigns one may report "different" by chance.
Intervals wider than ± 5 % are too wide to be useful.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

import clients
import short_campaigns

from harness.analysis.results import Contrast
from harness.report import draw
from harness.store.campaign_store import Campaign

HALF_WIDTH_MAX = 0.05
DIFFERENT_MAX = 1


def half_width(found: Contrast) -> float:
    """Half of the interval of the ratio, as a share."""
    interval = found.comparison.interval
    return math.sqrt(interval.high / interval.low) - 1


def print_campaign(number: int, campaign: Campaign) -> list[Contrast]:
    """Print one line per cell with both runs of the server."""
    analysis = draw.model_of(campaign).analysis
    floor = list(analysis.floor)
    if not floor:
        cells = [cell for cell in (*analysis.cells, *analysis.control) if cell.key.active]
        why = {reason.text for cell in cells for reason in cell.reasons} or {"too few trials"}
        print(f"{number:>3}  nothing to compare: {'; '.join(sorted(why))}", flush=True)
    for found in floor:
        compared = found.comparison
        print(
            f"{number:>3}  {found.key.scenario} {found.key.connections:>6,}"
            f"  {compared.outcome:<12}  ratio {compared.ratio:.3f}"
            f"  {compared.interval.low:.3f}-{compared.interval.high:.3f}"
            f"  ± {half_width(found):.1%}  of {compared.blocks} pairs",
            flush=True,
        )
    return floor


def summed_up(found: list[Contrast]) -> bool:
    """Print a summary of all campaigns; return True if it is within the limits."""
    different = sum(one.comparison.outcome == "different" for one in found)
    widths = [half_width(one) for one in found]
    print(
        f"\n{len(found)} comparisons: {different} different (at most {DIFFERENT_MAX}); intervals "
        f"± {statistics.median(widths):.1%} in the middle, ± {max(widths):.1%} at the widest "
        f"(at most ± {HALF_WIDTH_MAX:.0%})"
    )
    return different <= DIFFERENT_MAX and max(widths) <= HALF_WIDTH_MAX


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", type=int, default=10)
    parser.add_argument("--variant", default="epoll-lt")
    parser.add_argument("--trials", type=int, default=8, help="trials of each campaign")
    short_campaigns.add_options(parser, connections="10000", window_s=3.0, turns=30)
    parser.add_argument("--reports", type=Path, help="keep the campaigns in this directory")
    arguments = parser.parse_args()
    clients.warn_if_busy()
    found: list[Contrast] = []
    with tempfile.TemporaryDirectory() as directory:
        reports = arguments.reports or Path(directory) / "reports"
        plan = short_campaigns.plan_of(arguments, arguments.trials, arguments.variant)
        profile = plan.write(Path(directory) / "same.toml")
        for number in range(1, arguments.campaigns + 1):
            campaign = short_campaigns.run(profile, [arguments.variant], "process", reports)
            found += print_campaign(number, campaign)
    # A campaign without a comparison is no evidence of a correct verdict
    return 0 if len(found) >= arguments.campaigns and summed_up(found) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Kill short campaigns at random moments. Is anything lost, or left behind?

Each campaign has two servers and 100 connections. The script kills the harness, the load or a
server by a random signal at a random moment, then cleans, then resumes. It checks these rules:

1. The command ends with a documented exit code, and prints no traceback. No signal is lost.
2. No finished cell and no ended trial is lost or changed.
3. After the next start no process, container, volume or control group of the campaign is left.
4. The report is whole, after the clean and after the resume.
5. The resume ends with 0 and runs exactly the trials that have no result. A server that was killed
   has a result, since the campaign cannot know who killed it: then the resume ends with 4.
"""

from __future__ import annotations

import argparse
import itertools
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import killing
from clients import warn_if_busy

from harness.attempts import is_result
from harness.errors import Exit
from harness.store import Campaign

Victim = Literal["harness", "load", "server"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
KINDS: tuple[tuple[Victim, signal.Signals], ...] = (
    *itertools.product(("harness", "load", "server"), SIGNALS),
    ("harness", signal.SIGHUP),
)
# How a run may end that was hit: by itself, or by what hit it before it could know
ENDS = {int(code) for code in Exit} | {-by for _, by in KINDS}
# A busy host can disturb a trial, which a resume then runs again
RESUMES_MAX = 3


@dataclass(frozen=True, slots=True)
class Kill:
    """What is killed by which signal, after which share of a campaign's usual time."""

    number: int
    victim: Victim
    by: signal.Signals
    share: float

    def __str__(self) -> str:
        return f"{self.number:>3}  {self.victim:<8} {self.by.name:<8} at {self.share:4.0%}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a campaign's store holds at one moment, line by line."""

    cells: tuple[dict[str, Any], ...]
    outcomes: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, campaign: Campaign | None) -> Kept:
        """Read it; nothing of a campaign that was not begun."""
        if campaign is None:
            return cls((), ())
        return cls(tuple(campaign.cells()), tuple(campaign.outcomes()))

    @property
    def ended(self) -> set[str]:
        """The trials that have a result."""
        return {line["trial"] for line in self.outcomes if is_result(line)}


def planned(count: int, seed: int) -> list[Kill]:
    """So many kills, each kind as often as any other, in random order at random moments."""
    chance = random.Random(seed)  # noqa: S311
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    chance.shuffle(kinds)
    return [
        Kill(number, victim, by, chance.uniform(0.02, 0.95))
        for number, (victim, by) in enumerate(kinds, start=1)
    ]


def lost(before: Kept, after: Kept) -> list[str]:
    """Rule 2: what was there must be there still, in its place."""
    found = []
    for what in ("cells", "outcomes"):
        old, new = getattr(before, what), getattr(after, what)
        if new[: len(old)] != old:
            found.append(f"{len(old)} {what} were stored, and are not the first of {len(new)} now")
    return found


def not_exactly(trials: Sequence[str], before: Kept, after: Kept) -> list[str]:
    """Rule 5: the trials that a resume ran must be those without a result."""
    missing = set(trials) - before.ended
    ran = {line["trial"] for line in after.outcomes[len(before.outcomes) :]}
    found = []
    if ran != missing:
        found.append(f"the resume ran {sorted(ran)}, but {sorted(missing)} were missing")
    if after.ended != set(trials):
        found.append(f"after the resume {sorted(set(trials) - after.ended)} have no result")
    return found


def codes_allowed(kept: Kept) -> set[int]:
    """Rule 5: how a resume may end."""
    died = {line["code"] for line in kept.outcomes if is_result(line)} - {""}
    return {Exit.SERVER_FAULT} if died else {Exit.OK}


def traced(ended: killing.Ended) -> list[str]:
    """A traceback, but for the one of Python's own where SIGINT finds it at its imports."""
    if "Traceback" not in ended.err or ended.err.rstrip().endswith("KeyboardInterrupt"):
        return []
    return [f"traceback: {ended.err}"]


def survived(kill: Kill, place: killing.Place, usual_s: float) -> list[str]:
    """Run a campaign, kill, clean, resume; what is wrong, in sentences."""
    run = place.start()
    moment_s = time.monotonic() + kill.share * usual_s
    hit = place.hit(run, kill.victim, kill.by, moment_s)
    before = Kept.of(place.campaign())
    killed = run.finish()
    marks = place.marks()
    wrong = [] if killed.code in ENDS else [f"the run ended with {killed.code}"]
    cleaned = place.command("clean")
    if cleaned.code != Exit.OK:
        wrong.append(f"`c10k clean` ended with {cleaned.code}: {cleaned.err}")
    if hit and kill.victim == "harness" and killed.code in (Exit.OK, Exit.BUG):
        wrong.append(f"the signal was lost: {killed.err}")
    wrong += place.left_behind(marks)
    wrong += traced(killed) + traced(cleaned)
    campaign = place.campaign()
    if campaign is not None:
        wrong += resumed(place, campaign, before)
    told = "" if hit else "  (it had ended before)"
    print(f"{kill}  ended with {killed.code}{told}  {'; '.join(wrong) or 'ok'}", flush=True)
    return wrong


def resumed(place: killing.Place, campaign: Campaign, before: Kept) -> list[str]:
    """What is wrong with the campaign that was killed, and with its resume."""
    stopped = Kept.of(campaign)
    wrong = lost(before, stopped) + killing.unreadable(campaign)
    trials = [trial["id"] for trial in campaign.head()["plan"]]
    for _ in range(RESUMES_MAX):
        start = Kept.of(campaign)
        done = place.command("run", "--resume", campaign.name)
        ended = Kept.of(campaign)
        wrong += lost(start, ended)
        if done.code != Exit.GATE_FAILED:  # which a disturbed trial ends with
            break
    wrong += not_exactly(trials, start, ended)
    if done.code not in codes_allowed(ended):
        wrong.append(f"the resume ended with {done.code}: {done.err or done.out[-500:]}")
    return wrong + traced(done) + killing.unreadable(campaign) + place.left_behind(place.marks())


def main() -> int:
    """Print a line for each kill; 1 if one left something wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("process", "docker"), default="process")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--keep", type=Path, help="keep the campaigns there")
    arguments = parser.parse_args()
    warn_if_busy()
    print(f"{arguments.kills} kills, backend {arguments.backend}, seed {arguments.seed}")
    wrong: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory:
        root = arguments.keep or Path(directory)
        # The first one builds the servers
        built, whole = (
            killing.Place(root / name, arguments.backend) for name in ("first", "whole")
        )
        built.whole_s()
        usual_s = whole.whole_s()
        print(f"a whole campaign takes {usual_s:.1f} s", flush=True)
        for kill in planned(arguments.kills, arguments.seed):
            place = killing.Place(root / str(kill.number), arguments.backend)
            if survived(kill, place, usual_s):
                wrong[f"{kill.victim} {kill.by.name}"] += 1
    told = ", ".join(f"{kind} ({count})" for kind, count in wrong.items())
    print(f"{arguments.kills - wrong.total()} of {arguments.kills} left nothing wrong. {told}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

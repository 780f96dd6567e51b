"""Kill short campaigns at random moments, and check that nothing is lost or left behind.

Each campaign has two servers and 100 connections. The script sends a random signal at a random
moment to the harness, the load, a server, or (with Docker) the engine. Then it cleans, and resumes
the campaign. It checks these rules:

1. The run ends with an exit code that its kill explains (`ENDS`), and prints no traceback.
2. No finished cell and no ended trial is lost or changed.
3. After the next start no process, container, volume or control group of the campaign is left.
4. The report is complete, after the clean and after the resume.
5. The resume ends with 0 and runs exactly the trials without a result. A killed server has a
   result, since the campaign cannot know what killed it: then the resume ends with 4.

With Docker all campaigns run on a private engine (`private_engine.py`), which needs root.
`--record` keeps a line for each kill, and `--only` runs a part of the plan of a seed:

    bench/bench_kills.py --seed 7 --only 1-10 --record kills.jsonl
    bench/bench_kills.py --table kills.jsonl
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import kill_table
import killing
import private_engine
from clients import ROOT, warn_if_busy
from kill_table import Fault, Told
from private_engine import PrivateEngine

from harness.contract.errors import Exit
from harness.contract.stored_campaign import StoredOutcome
from harness.gates.attempts import is_result
from harness.store.campaign_store import Campaign
from harness.variants import variant_files

Victim = Literal["harness", "load", "server", "engine"]
Kind = tuple[Victim, signal.Signals]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
ENDED: tuple[Victim, ...] = ("harness", "load", "server")
PROCESS_KINDS: tuple[Kind, ...] = (
    *itertools.product(ENDED, SIGNALS),
    ("harness", signal.SIGHUP),
)
# An engine that stops ends its containers first; a killed one leaves them running
DOCKER_KINDS: tuple[Kind, ...] = (
    *PROCESS_KINDS,
    ("engine", signal.SIGTERM),
    ("engine", signal.SIGKILL),
)
# Exit codes that a hit run may have. Exit code 1 is a bug: no kill explains it.
ENDS: dict[Victim, set[int]] = {
    "harness": {Exit.INTERRUPTED},
    "load": {Exit.OK, Exit.GATE_FAILED, Exit.INTERRUPTED},
    "server": {Exit.OK, Exit.GATE_FAILED, Exit.SERVER_FAULT},
    "engine": {Exit.OK, Exit.HOST_NOT_FIT, Exit.INTERRUPTED},
}
BUILD_S = 900.0
# A busy host can disturb a trial; a resume then runs it again
RESUMES_MAX = 3


@dataclass(frozen=True, slots=True)
class Kill:
    """The victim, the signal, and the moment as a share of a campaign's usual time."""

    number: int
    victim: Victim
    by: signal.Signals
    share: float

    def __str__(self) -> str:
        return f"{self.number:>3}  {self.victim:<8} {self.by.name:<8} at {self.share:4.0%}"


@dataclass(frozen=True, slots=True)
class Kept:
    """The content of a campaign's store at one moment, line by line."""

    cells: tuple[dict[str, Any], ...]
    outcomes: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, campaign: Campaign | None) -> Kept:
        """Read it; empty if the campaign has not begun."""
        if campaign is None:
            return cls((), ())
        return cls(tuple(campaign.cells()), tuple(campaign.outcomes()))

    @property
    def results(self) -> list[StoredOutcome]:
        """The ends of attempts that are results."""
        return [end for end in map(StoredOutcome.of, self.outcomes) if is_result(end)]

    @property
    def ended(self) -> set[str]:
        """The trials with a result."""
        return {end.trial for end in self.results}


def planned(count: int, seed: int, kinds: Sequence[Kind]) -> list[Kill]:
    """Plan `count` kills: each kind equally often, in random order at random moments."""
    chance = random.Random(seed)  # noqa: S311
    chosen = [kinds[number % len(kinds)] for number in range(count)]
    chance.shuffle(chosen)
    return [
        Kill(number, victim, by, chance.uniform(0.02, 0.95))
        for number, (victim, by) in enumerate(chosen, start=1)
    ]


def explained(kill: Kill, code: int, *, hit: bool) -> bool:
    """Rule 1: whether the kill explains how the run ended.

    A signal may end the harness before its handler is set; SIGKILL always does.
    """
    if not hit:
        return code in (Exit.OK, Exit.GATE_FAILED)  # the code after a disturbed trial
    if kill.victim == "harness":
        return code == -kill.by or (kill.by != signal.SIGKILL and code in ENDS["harness"])
    return code in ENDS[kill.victim]


def lost(before: Kept, after: Kept) -> list[str]:
    """Rule 2: stored lines must still be there, in their place."""
    found = []
    for what in ("cells", "outcomes"):
        old, new = getattr(before, what), getattr(after, what)
        if new[: len(old)] != old:
            found.append(f"{len(old)} {what} were stored, and are not the first of {len(new)} now")
    return found


def not_exactly(trials: Sequence[str], before: Kept, after: Kept) -> list[str]:
    """Rule 5: the resume must run exactly the trials without a result."""
    missing = set(trials) - before.ended
    ran = {line["trial"] for line in after.outcomes[len(before.outcomes) :]}
    found = []
    if ran != missing:
        found.append(f"the resume ran {sorted(ran)}, but {sorted(missing)} were missing")
    if after.ended != set(trials):
        found.append(f"after the resume {sorted(set(trials) - after.ended)} have no result")
    return found


def codes_allowed(kept: Kept) -> set[int]:
    """Rule 5: the exit codes that a resume may have."""
    died = {end.code for end in kept.results} - {""}
    return {Exit.SERVER_FAULT} if died else {Exit.OK}


def traced(ended: killing.Ended) -> list[str]:
    """Find a traceback, except Python's own after a SIGINT during its imports."""
    if "Traceback" not in ended.err or ended.err.rstrip().endswith("KeyboardInterrupt"):
        return []
    return [f"traceback: {ended.err}"]


def survived(
    kill: Kill, place: killing.Place, usual_s: float, engine: PrivateEngine | None
) -> Told:
    """Run a campaign, kill, clean, resume; return the outcome."""
    run = place.start()
    moment_s = time.monotonic() + kill.share * usual_s
    hit = place.hit(run, kill.victim, kill.by, moment_s)
    before = Kept.of(place.campaign())
    killed = run.finish()
    if engine is not None and kill.victim == "engine" and hit:
        engine.restart()
    marks = place.marks()
    found: list[Fault] = []
    if not explained(kill, killed.code, hit=hit):
        found.append(Fault("end", f"the run ended with {killed.code}: {killed.err}"))
    cleaned = place.command("clean")
    if cleaned.code != Exit.OK:
        found.append(Fault("left", f"`c10k clean` ended with {cleaned.code}: {cleaned.err}"))
    found += [Fault("left", text) for text in place.left_behind(marks)]
    found += [Fault("end", text) for text in traced(killed) + traced(cleaned)]
    campaign = place.campaign()
    if campaign is not None:
        found += resumed(place, campaign, before)
    told = Told(
        backend="process" if engine is None else "docker",
        number=kill.number,
        victim=kill.victim,
        by=kill.by.name,
        share=kill.share,
        hit=hit,
        code=killed.code,
        kept=len(before.cells),
        faults=tuple(found),
    )
    said = "; ".join(fault.text for fault in found) or "ok"
    late = "" if hit else "  (it had ended before)"
    print(f"{kill}  ended with {killed.code}{late}  {said}", flush=True)
    return told


def resumed(place: killing.Place, campaign: Campaign, before: Kept) -> list[Fault]:
    """Describe what is wrong with the killed campaign, and with its resume."""
    stopped = Kept.of(campaign)
    missing, unreadable = lost(before, stopped), killing.unreadable(campaign)
    trials = [trial.id for trial in campaign.head().plan]
    for _ in range(RESUMES_MAX):
        start = Kept.of(campaign)
        done = place.command("run", "--resume", campaign.name)
        ended = Kept.of(campaign)
        missing += lost(start, ended)
        if done.code != Exit.GATE_FAILED:  # the code after a disturbed trial
            break
    wrong = not_exactly(trials, start, ended)
    if done.code not in codes_allowed(ended):
        wrong.append(f"the resume ended with {done.code}: {done.err or done.out[-500:]}")
    unreadable += killing.unreadable(campaign)
    return [
        *(Fault("lost", text) for text in missing),
        *(Fault("resume", text) for text in wrong + traced(done)),
        *(Fault("report", text) for text in unreadable),
        *(Fault("left", text) for text in place.left_behind(place.marks())),
    ]


@contextmanager
def private(root: Path) -> Iterator[PrivateEngine]:
    """A private engine with all images of the campaigns; all clients use it inside the block."""
    from harness.backends import docker_engine as engines
    from harness.backends import images

    client = engines.connected()
    with contextlib.closing(client):
        built = [images.harness_image(client, BUILD_S)]
        for server in killing.SERVERS:
            variant = variant_files.read(ROOT / "servers" / server)
            built.append(images.build_variant(client, variant, BUILD_S))
        # By name, because the campaigns look for names, and with the base that the names include
        tags = [tag for one in built for tag in client.images.get(one).tags]
        names = [images.base_image(), *tags]
    with private_engine.running(root) as engine:
        engine.take_over(names)
        with private_engine.used(engine):
            os.environ["C10K_HARNESS_IMAGE"] = images.HARNESS_IMAGE
            yield engine


def part(text: str) -> range:
    """Parse `3-8` as the numbers of kills."""
    first, last = text.split("-")
    return range(int(first), int(last) + 1)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=("process", "docker"), default="process")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--only", type=part, help="run these kills of the plan, for example 1-10")
    parser.add_argument("--record", type=Path, help="append a line for each kill to this file")
    parser.add_argument("--table", type=Path, nargs="+", help="print the table of these files")
    parser.add_argument("--keep", type=Path, help="keep the campaigns there")
    parser.add_argument("--engine", type=Path, help="keep the private engine's images there")
    return parser.parse_args()


def main() -> int:
    """Print a line for each kill; return 1 if one broke a rule."""
    given = arguments()
    if given.table:
        told = kill_table.read(given.table)
        print("\n".join([kill_table.table(told), "", *kill_table.faults(told)]))
        return 0
    warn_if_busy()
    kinds = DOCKER_KINDS if given.backend == "docker" else PROCESS_KINDS
    kills = planned(given.kills, given.seed, kinds)
    if given.only:
        kills = [kill for kill in kills if kill.number in given.only]
    print(f"{len(kills)} of {given.kills} kills, backend {given.backend}, seed {given.seed}")
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        root = given.keep or Path(directory)
        engine = None
        if given.backend == "docker":
            engine = stack.enter_context(private(given.engine or Path(directory) / "engine"))
        told = run(kills, root, engine, given.record)
    print("\n".join([kill_table.table(told), "", *kill_table.faults(told)]))
    return 1 if any(one.faults for one in told) else 0


def run(
    kills: Sequence[Kill], root: Path, engine: PrivateEngine | None, record: Path | None
) -> list[Told]:
    """Run all kills, each in a campaign of its own below `root`."""
    # The first campaign builds the servers
    built, whole = (killing.Place(root / name, engine) for name in ("first", "whole"))
    built.whole_s()
    usual_s = whole.whole_s()
    print(f"a whole campaign takes {usual_s:.1f} s", flush=True)
    told = []
    for kill in kills:
        told.append(survived(kill, killing.Place(root / str(kill.number), engine), usual_s, engine))
        if record:
            with record.open("a") as file:
                file.write(told[-1].line() + "\n")
    return told


if __name__ == "__main__":
    sys.exit(main())

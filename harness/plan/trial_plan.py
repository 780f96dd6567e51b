"""Plan a campaign: from servers and a profile to the ordered, seeded list of trials and cells.

Pure: the same arguments give the same plan, on any host and at any time.

A block holds one trial of every server, in an order of its own. So a slow change of the host's
speed affects all servers alike, and ratios can be paired inside a block. If the host cannot hold
all servers at once, a block has waves (harness/plan/waves.py), with one trial of the anchor in
each. Block 0 measures capacities, if the profile has rates that are shares of them. Its cells are
kept, but never ranked.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.contract.campaign_head import PlannedCell, PlannedSteps, PlannedTrial
from harness.contract.trial_spec import Cell, Closing, Step
from harness.plan.capacity import Capacity
from harness.plan.profiles.profile import CLOSING_DEFAULT, Profile, ScenarioUse
from harness.plan.scenarios import CALIBRATION, SCENARIOS
from harness.plan.waves import Waves

# Time of a trial outside its windows, measured on two cores with the process backend: start and end
# of load and server, and the ramp of each step.
TRIAL_OVERHEAD_S = 0.4
STEP_OVERHEAD_S = 0.35
# After each window: the last replies, the memory reading, and the record.
CELL_OVERHEAD_S = 0.15
# Between two turns of a cell: the last replies, the hand-over between trials, the warm-up.
TURN_OVERHEAD_S = 0.04
# Name suffix of the second trial of a server in a block. No server's directory has a dot in it.
AGAIN = ".again"
RATE_DIGITS = 3
# The block whose trials measure capacities, before all others: rates are shares of them.
CALIBRATION_BLOCK = 0
# Share of all other planned trials that may be spent on measuring noisy cells again.
REPEATS_SHARE_MAX = 1 / 3


@dataclass(frozen=True, slots=True)
class Trial:
    """One fresh server process, which runs all the steps once.

    `numbers` are the positions of its cells in the plan, if it is a part of a planned trial.
    `wave`: the number of its wave in the block, from 1; 0 if the block has no waves.
    """

    id: str
    block: int
    variant: str
    seed: int
    steps: tuple[Step, ...]
    numbers: tuple[int, ...] | None = None
    wave: int = 0

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All its cells in the order in which they run."""
        return tuple(cell for step in self.steps for cell in step.cells)

    def number(self, position: int) -> int:
        """Position in the plan of the `position`-th cell to run.

        Behind the last cell, it is the position after it.
        """
        if self.numbers is None:
            return position
        return self.numbers[position] if position < len(self.numbers) else self.numbers[-1] + 1

    def planned(self) -> PlannedTrial:
        """Return the trial for the plan in `campaign.json`."""
        steps = [
            PlannedSteps(
                connections=step.connections,
                cells=[PlannedCell(**asdict(cell)) for cell in step.cells],
            )
            for step in self.steps
        ]
        return PlannedTrial(
            id=self.id,
            block=self.block,
            variant=self.variant,
            seed=self.seed,
            steps=steps,
            wave=self.wave,
        )


def make(
    profile: Profile,
    variants: Sequence[str],
    seed: int,
    blocks: int | None = None,
    waves: Waves | None = None,
) -> list[Trial]:
    """Lay out blocks of one trial per variant, each block in a seeded order.

    The server in the profile's `same_twice` has two trials in each block. The anchor of waves has
    one in each wave.

    Args:
        blocks: number of blocks; default: the profile's `trials`. A plan of more blocks begins
            with all trials of a plan of fewer.
        waves: how the trials of a block are divided; default: all in one group.
    """
    generator = random.Random(seed)  # noqa: S311 (an order to reproduce, not a secret)
    calibration = calibration_of(profile)
    trials = []
    for name in variants if calibration else ():
        trial_seed = generator.getrandbits(32)
        block = CALIBRATION_BLOCK
        trials.append(Trial(f"{block}-{name}", block, name, trial_seed, calibration))
    named = [*variants, *(again(name) for name in variants if name == profile.same_twice)]
    for block in range(1, (blocks or profile.trials) + 1):
        steps = steps_of(profile, block)
        for wave, order in _drawn(named, waves, generator):
            place = f"{block}.{wave}" if wave else f"{block}"
            for name in order:
                trial_seed = generator.getrandbits(32)
                trials.append(Trial(f"{place}-{name}", block, name, trial_seed, steps, wave=wave))
    return trials


def _drawn(
    named: Sequence[str], waves: Waves | None, generator: random.Random
) -> Iterator[tuple[int, list[str]]]:
    """Draw the order of a block's waves, and the order of the servers in each."""
    numbers = list(range(1, len(waves.members) + 1)) if waves else [0]
    if waves:
        generator.shuffle(numbers)
    for wave in numbers:
        order = waves.of(wave) if waves else list(named)
        generator.shuffle(order)
        yield wave, order


def blocks_of(trials: Iterable[Mapping[str, Any]]) -> int:
    """Count the blocks in the plan of a `campaign.json` that is a document."""
    return max((int(trial.get("block") or 0) for trial in trials), default=0)


def steps_of(profile: Profile, block: int | None = None) -> tuple[Step, ...]:
    """Group the profile's cells by open connections, ascending, the opening first.

    With a block, only the cells that are measured in it; without one, all cells.

    Churn comes last, in steps of its own. For a minute it leaves 100,000 sockets and more in the
    kernel (TIME_WAIT). Every later look at the server's sockets would read them, and delay the
    generator.
    """
    cells: dict[tuple[bool, int], list[Cell]] = {}
    for use in profile.scenarios:
        if block is not None and not is_in_block(use, profile.trials, block):
            continue
        for cell in _cells(profile, use):
            cells.setdefault((cell.closing is not None, cell.connections), []).append(cell)
    return tuple(
        Step(connections, tuple(sorted(grouped, key=lambda cell: cell.window_s > 0)))
        for (_, connections), grouped in sorted(cells.items(), key=lambda item: item[0])
    )


def is_in_block(use: ScenarioUse, trials: int, block: int) -> bool:
    """Whether a scenario is measured in a block, counted from 1.

    A scenario in k of n blocks is measured whenever k/n × block passes a whole number: in the
    first, and then at even distances. A block after the n-th has none of its cells.
    """
    if use.blocks is None:
        return True
    return block <= trials and (block - 1) * use.blocks % trials < use.blocks


def calibration_of(profile: Profile) -> tuple[Step, ...]:
    """Plan a closed loop over all connections for each setting with rates in shares."""
    settings = {
        (cell.connections, cell.payload_bytes, cell.depth): None
        for step in steps_of(profile)
        for cell in step.cells
        if cell.rate_share is not None
    }
    cells: dict[int, list[Cell]] = {}
    for connections, payload_bytes, depth in settings:
        cells.setdefault(connections, []).append(
            Cell(
                scenario=CALIBRATION,
                connections=connections,
                active=connections,
                payload_bytes=payload_bytes,
                depth=depth,
                rate_per_s=None,
                warmup_s=profile.timing.warmup_s,
                window_s=profile.timing.window_s,
            )
        )
    return tuple(Step(connections, tuple(cells[connections])) for connections in sorted(cells))


def again(name: str) -> str:
    """The second name of a server that runs twice in each block."""
    return name + AGAIN


def program_of(name: str) -> str:
    """The server's name, from a name that may be its second."""
    return name.removesuffix(AGAIN)


def resolve(trial: Trial, capacities: Mapping[str, Sequence[Capacity]]) -> Trial:
    """Replace each share of a capacity by its rate, to three digits.

    A cell with an unknown capacity is left out: no other rate may replace it.
    """
    known = capacities.get(program_of(trial.variant), ())

    def rated(cell: Cell) -> Cell:
        setting = (cell.connections, cell.payload_bytes, cell.depth)
        fitting = [one for one in known if one.fits(*setting)]
        if not fitting or cell.rate_share is None:
            return cell
        return replace(cell, rate_per_s=_rounded(fitting[0].echoes_per_s * cell.rate_share))

    resolved = replace(
        trial,
        steps=tuple(
            Step(step.connections, tuple(rated(cell) for cell in step.cells))
            for step in trial.steps
        ),
    )
    numbers = [number for number, cell in enumerate(resolved.cells) if cell.is_resolved]
    return resolved if len(numbers) == len(resolved.cells) else part(resolved, numbers)


def part(trial: Trial, numbers: Collection[int]) -> Trial:
    """The trial with only these cells, which keep their positions in the plan."""
    kept: list[int] = []
    steps: list[Step] = []
    position = 0
    for step in trial.steps:
        cells = []
        for cell in step.cells:
            number = trial.number(position)
            position += 1
            if number in numbers:
                cells.append(cell)
                kept.append(number)
        if cells:
            steps.append(Step(step.connections, tuple(cells)))
    return replace(trial, steps=tuple(steps), numbers=tuple(kept))


def together(trials: Sequence[Trial], *, side_by_side: bool) -> list[list[Trial]]:
    """Group the trials that run at the same time.

    Side by side, a group has the trials of a wave, or of a block without waves.

    A calibration runs alone: the capacity must be that of a server without others at the same time.
    """
    groups: list[list[Trial]] = []
    places = itertools.groupby(trials, key=lambda trial: (trial.block, trial.wave))
    for (block, _), members in places:
        if side_by_side and block != CALIBRATION_BLOCK:
            groups.append(list(members))
        else:
            groups += [[trial] for trial in members]
    return groups


def may_repeat(
    trials: Sequence[Trial],
    repeated: Mapping[int, int],
    block: int,
    together: int = 1,
    *,
    least: int = 0,
    left_s: float | None = None,
    needed_s: float = 0.0,
) -> bool:
    """Whether a block may spend more trials on measuring noisy cells again.

    Each block adds its share, rounded up at its end; otherwise the first block would use all of it.
    Only the profile's `repeats_max` limits a calibration, which uses none of the others' share.

    Args:
        repeated: {block: number of trials spent on repetitions}.
        together: trials per repetition: all that run side by side, or one.
        least: number of trials that may always be spent, even in a short plan.
        left_s: time left in the campaign's budget; None without a budget.
        needed_s: time that the repetition and the remaining trials take.
    """
    if left_s is not None and needed_s > left_s:
        return False
    if block == CALIBRATION_BLOCK:
        return True
    planned = [trial.block for trial in trials if trial.block != CALIBRATION_BLOCK]
    spent = sum(count for one, count in repeated.items() if one != CALIBRATION_BLOCK)
    blocks = set(planned)
    begun = sum(1 for one in blocks if one <= block)
    share = math.ceil(int(len(planned) * REPEATS_SHARE_MAX) * begun / len(blocks))
    return spent + together <= max(share, least)


def _rounded(rate: float) -> float:
    return float(f"{rate:.{RATE_DIGITS - 1}e}")


def _cells(profile: Profile, use: ScenarioUse) -> Iterator[Cell]:
    scenario = SCENARIOS[use.name]
    rates: list[tuple[float | None, float | None]] = [(rate, None) for rate in use.rate_per_s]
    rates += [(None, share) for share in use.rate_share]
    closings: tuple[Closing | None, ...] = (None,)
    if scenario.churns:
        closings = use.closing or CLOSING_DEFAULT
    for connections, payload_bytes, depth, (rate_per_s, rate_share), closing in itertools.product(
        use.connections,
        use.payload_bytes or (profile.traffic.payload_bytes,),
        use.depth or (1 if scenario.churns else profile.traffic.depth,),
        rates or [(None, None)],
        closings,
    ):
        yield Cell(
            scenario=use.name,
            connections=connections,
            active=scenario.active_of(connections, use.active),
            payload_bytes=payload_bytes,
            depth=depth,
            rate_per_s=rate_per_s,
            warmup_s=profile.warmup_s(use),
            window_s=profile.window_s(use),
            rate_share=rate_share,
            closing=closing,
            turns=use.turns,
        )


def estimate_s(trials: Sequence[Trial]) -> float:
    """Estimate the seconds that the trials take, builds not included."""
    total_s = 0.0
    for trial in trials:
        total_s += TRIAL_OVERHEAD_S + STEP_OVERHEAD_S * len(trial.steps)
        total_s += sum(
            cell.warmup_s + cell.window_s + CELL_OVERHEAD_S + (cell.turns - 1) * TURN_OVERHEAD_S
            for cell in trial.cells
            if cell.window_s
        )
    return total_s

"""Variants × profile → the ordered, seeded list of trials and their cells.

Pure: the same arguments give the same plan, on any host and at any time.

A block holds one trial of every variant, in an order of its own: slow drift of the host then
falls on all variants alike, and ratios can be paired inside a block. Where the host does not hold
all of them at once, a block has waves (harness/plan/waves.py), and the anchor a trial in each.
Block 0 measures capacities, where the profile has rates that are shares of them; its cells are
kept, and rank nothing.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.contract.trial_spec import Cell, Closing, Step
from harness.plan.capacity import Capacity
from harness.plan.profiles.profile import CLOSING_DEFAULT, Profile, ScenarioUse
from harness.plan.scenarios import CALIBRATION, SCENARIOS
from harness.plan.waves import Waves

# What a trial spends outside its windows, as measured on two cores by the process backend: start
# and end of load and server, and of each step the ramp.
TRIAL_OVERHEAD_S = 0.4
STEP_OVERHEAD_S = 0.35
# After each window: the last replies, the memory reading, and the record.
CELL_OVERHEAD_S = 0.15
# Between two turns of a cell: the last replies, the hand-over between trials, the warm-up.
TURN_OVERHEAD_S = 0.04
# Of the second of two trials of one variant in a block. No directory of a variant has a dot in it.
AGAIN = ".again"
RATE_DIGITS = 3
# The trials of this block measure capacities, before all others: rates are shares of them.
CALIBRATION_BLOCK = 0
# Of all other planned trials, this share may be spent on measuring noisy cells again.
REPEATS_SHARE_MAX = 1 / 3


@dataclass(frozen=True, slots=True)
class Trial:
    """One fresh server process, taken through all the steps once.

    `numbers` are the places of its cells in the plan, where it is a part of a planned trial.
    `wave`: the number of its wave in the block, from 1; 0 where the block has no waves.
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
        """The place in the plan of the cell that is `position`-th to run; of the one behind the
        last, a place behind its."""
        if self.numbers is None:
            return position
        return self.numbers[position] if position < len(self.numbers) else self.numbers[-1] + 1

    def as_json(self) -> dict[str, Any]:
        """The trial as plain values, for the store."""
        plain = asdict(self)
        del plain["numbers"]
        return plain


def make(
    profile: Profile,
    variants: Sequence[str],
    seed: int,
    blocks: int | None = None,
    waves: Waves | None = None,
) -> list[Trial]:
    """Lay out blocks of one trial per variant, each block in a seeded order.

    The variant that the profile names in `same_twice` has two trials in each block. The anchor of
    waves has one in each wave.

    Args:
        blocks: how many; those of the profile (`trials`) without it. A plan of more blocks begins
            with all trials of a plan of fewer.
        waves: how the trials of a block are divided; all are in one group without it.
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
    """The waves of a block in a random order, each with its servers in a random order."""
    numbers = list(range(1, len(waves.members) + 1)) if waves else [0]
    if waves:
        generator.shuffle(numbers)
    for wave in numbers:
        order = waves.of(wave) if waves else list(named)
        generator.shuffle(order)
        yield wave, order


def blocks_of(trials: Iterable[Mapping[str, Any]]) -> int:
    """How many blocks the plan of a `campaign.json` has."""
    return max((int(trial.get("block") or 0) for trial in trials), default=0)


def steps_of(profile: Profile, block: int | None = None) -> tuple[Step, ...]:
    """Group the profile's cells by open connections, ascending, the opening first.

    Of a block, only the cells that are measured in it; without one, all cells.

    Churn comes after all else, in steps of its own: what it leaves in the kernel for a minute
    (TIME_WAIT, 100,000 sockets and more) is in every look at the server's sockets, and would delay
    the generator in the cells behind it.
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

    One that asks for k of n blocks has those at which k/n of the way passes a whole number: the
    first, and then at even distances. A block behind the n-th has none of its cells.
    """
    if use.blocks is None:
        return True
    return block <= trials and (block - 1) * use.blocks % trials < use.blocks


def calibration_of(profile: Profile) -> tuple[Step, ...]:
    """A closed loop over all connections for each setting that has rates in shares."""
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
    """The second name of a variant that runs twice in each block."""
    return name + AGAIN


def program_of(name: str) -> str:
    """The variant behind a name, which may be the second name of one that runs twice."""
    return name.removesuffix(AGAIN)


def resolve(trial: Trial, capacities: Mapping[str, Sequence[Capacity]]) -> Trial:
    """Give each share of a capacity its rate, to three digits.

    A cell whose capacity is not known is left out: no rate may stand in for it.
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
    """The trial with only those of its cells, which keep their places in the plan."""
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
    """The trials in the groups in which they run.

    Side by side these are the trials of a wave, or of a block that has no waves.

    A calibration is alone: its capacity is that of a server with nobody beside it.
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
    """Whether more trials may be spent in a block on measuring noisy cells again.

    Each block adds its share, rounded up at its end: else the first would take all of it. A
    calibration is bounded by the profile's `repeats_max` alone, and takes nothing from the others.

    Args:
        repeated: {block: how many trials were spent on that}.
        together: how many at once: all that run side by side, or none of them.
        least: so many may be spent however few trials are planned.
        left_s: what is left of the campaign's time budget; None without a budget.
        needed_s: what the repetition takes, and the trials that are still to come.
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
    """Roughly how many seconds the trials take, builds not included."""
    total_s = 0.0
    for trial in trials:
        total_s += TRIAL_OVERHEAD_S + STEP_OVERHEAD_S * len(trial.steps)
        total_s += sum(
            cell.warmup_s + cell.window_s + CELL_OVERHEAD_S + (cell.turns - 1) * TURN_OVERHEAD_S
            for cell in trial.cells
            if cell.window_s
        )
    return total_s

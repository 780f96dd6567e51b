"""Simulate campaigns to check the error rates of the looks and the number of blocks per verdict.

The rates are synthetic; the verdicts are those of the harness (harness/analysis/looks.py). Of six
servers one is faster by a known ratio. A campaign has looks after 8, 12, 16 and 20 blocks and
stops at the first one that settles every pair, as `trials_max = 20` does. Each logarithm of a rate
is the sum of:

- the server's own rate,
- a drift that all servers of a block share: a random walk from block to block,
- a drift inside the block: AR(1) over the turns of the servers, which come in a random order,
- noise of the trial: Student's t with three degrees of freedom, scaled to the given deviation,
- in some trials an outlier: the rate is lower by a tenth to two fifths.

With `--waves` three servers are in one wave and two in another, each wave with drifts of its own.
The sixth is in both, and pairs the waves.

Prints a table in Markdown. Exits with 1 if false verdicts are more frequent than 5 %.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.analysis.looks import ALPHA, Look, compare_all
from harness.analysis.series import Place, Series

SERVERS = 6
# With two waves: the server in both, and the number of other servers in the first.
ANCHOR, FIRST_WAVE = 5, 3
FIRST, LOOKS = 8, 4
FIRST_LOOK = Look(1, FIRST)
BLOCKS = FIRST + 4 * (LOOKS - 1)
DRIFT, FREEDOM = 0.05, 3
OUTLIERS = (0.10, 0.40)
RATIOS = (1.00, 1.03, 1.05, 1.10)

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Noise:
    """How noisy a host is.

    Attributes:
        trial: standard deviation of a trial's logarithm, from server to server and block to block.
        turns: standard deviation of the drift inside a block; `carried` from turn to turn.
        outliers: the share of trials that are outliers.
    """

    name: str
    trial: float
    turns: float
    carried: float
    outliers: float


NOISES = (
    Noise("quiet", 0.01, 0.005, 0.7, 0.0),
    Noise("usual", 0.02, 0.01, 0.7, 0.01),
    Noise("noisy", 0.03, 0.01, 0.7, 0.03),
    Noise("rough", 0.04, 0.02, 0.7, 0.05),
)


@dataclass
class Found:
    """Results of many campaigns of one kind.

    Attributes:
        false_different: campaigns with equal servers shown to differ, or a faster one to be slower.
        false_equivalent: campaigns with servers shown to be equivalent that are 5 % apart or more.
        different, equivalent: pairs with this verdict at the end, of the pairs of unequal servers
            if one server is faster, otherwise of all.
        stopped: {blocks: campaigns that ended settled after them}.
    """

    campaigns: int = 0
    pairs: int = 0
    false_different: int = 0
    false_equivalent: int = 0
    different: int = 0
    equivalent: int = 0
    stopped: Counter[int] = field(default_factory=Counter)
    blocks: int = 0

    def share(self, count: int) -> float:
        """Share of the campaigns."""
        return count / self.campaigns

    def of_pairs(self, count: int) -> float:
        """Share of the pairs."""
        return count / self.pairs


def rates(noise: Noise, ratio: float, dice: np.random.Generator) -> Floats:
    """Draw the rates of one campaign by block and server; the first is faster by `ratio`."""
    shape = (BLOCKS, SERVERS)
    logs = np.cumsum(dice.normal(0, DRIFT, (BLOCKS, 1)), axis=0) + np.zeros(shape)
    logs[:, 0] += np.log(ratio)
    turn = dice.normal(0, noise.turns, BLOCKS)
    fresh = noise.turns * np.sqrt(1 - noise.carried**2)
    order = dice.permuted(np.tile(np.arange(SERVERS), (BLOCKS, 1)), axis=1)
    for place in range(SERVERS):
        logs[np.arange(BLOCKS), order[:, place]] += turn
        turn = noise.carried * turn + dice.normal(0, fresh, BLOCKS)
    # The variance of Student's t is f / (f - 2)
    scale = noise.trial / np.sqrt(FREEDOM / (FREEDOM - 2))
    logs += scale * dice.standard_t(FREEDOM, shape)
    is_outlier = dice.random(shape) < noise.outliers
    logs -= is_outlier * np.log1p(dice.uniform(*OUTLIERS, shape))
    found: Floats = np.exp(logs)
    return found


def simulate(
    noise: Noise,
    ratio: float,
    campaigns: int,
    seed: int,
    first: Look = FIRST_LOOK,
    *,
    waves: bool = False,
) -> Found:
    """Run campaigns of six servers to their ends; in two waves, the last server is in both."""
    dice = np.random.default_rng(seed)
    found = Found()
    for _ in range(campaigns):
        measured = rates(noise, ratio, dice)
        if waves:
            values = in_waves(measured, rates(noise, 1.0, dice))
        else:
            values = [Series(_placed(measured, 0, server)) for server in range(SERVERS)]
        _campaign({str(server): one for server, one in enumerate(values)}, ratio, first, found)
    return found


def in_waves(first: Floats, second: Floats) -> list[Series]:
    """The servers of two waves, each wave with the rates of a campaign of its own."""
    anchor = _placed(first, 1, ANCHOR) | _placed(second, 2, ANCHOR)
    one = [_placed(first, 1, server) for server in range(FIRST_WAVE)]
    two = [_placed(second, 2, server) for server in range(FIRST_WAVE, ANCHOR)]
    return [Series(values, anchor) for values in (*one, *two, anchor)]


def _placed(measured: Floats, wave: int, server: int) -> dict[Place, float]:
    rates_by_block = enumerate(map(float, measured[:, server]), start=1)
    return {(block, wave): rate for block, rate in rates_by_block}


def _campaign(values: Mapping[str, Series], ratio: float, first: Look, found: Found) -> None:
    look, is_wrong = first, Counter[str]()
    while True:
        compared = compare_all(values, look)
        outcomes = {pair: one.outcome for pair, one in compared.items() if one}
        for pair, one in compared.items():
            apart = ratio if pair[0] == "0" else 1.0
            if one and one.outcome == "different" and (apart == 1 or one.ratio < 1):
                is_wrong["different"] = 1
            if one and one.outcome == "equivalent" and apart >= 1.05:
                is_wrong["equivalent"] = 1
        is_settled = "inconclusive" not in outcomes.values()
        if is_settled or look.blocks >= BLOCKS:
            break
        look = look.following
    told = [outcome for pair, outcome in outcomes.items() if ratio == 1 or pair[0] == "0"]
    found.campaigns += 1
    found.pairs += len(told)
    found.false_different += is_wrong["different"]
    found.false_equivalent += is_wrong["equivalent"]
    found.different += told.count("different")
    found.equivalent += told.count("equivalent")
    found.stopped[look.blocks] += is_settled
    found.blocks += look.blocks


def row(noise: Noise, ratio: float, found: Found) -> str:
    """Format one line of the table."""
    ends = (f"{found.share(found.stopped[FIRST + 4 * look]):.0%}" for look in range(LOOKS))
    cells = (
        noise.name,
        f"{ratio:.2f}",
        f"{found.share(found.false_different):.2%}",
        f"{found.share(found.false_equivalent):.2%}" if ratio >= 1.05 else "—",
        f"{found.of_pairs(found.different):.1%}",
        f"{found.of_pairs(found.equivalent):.1%}",
        *ends,
        f"{1 - found.share(sum(found.stopped.values())):.0%}",
        f"{found.blocks / found.campaigns:.1f}",
    )
    return f"| {' | '.join(cells)} |".replace("%", " %")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", type=int, default=5_000, help="campaigns of each line")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--waves", action="store_true", help="two waves, paired through a server")
    arguments = parser.parse_args()
    ends = [f"settled at {FIRST + 4 * look}" for look in range(LOOKS)]
    header = ["noise", "ratio", "false different", "false equivalent", "pairs different"]
    header += ["pairs equivalent", *ends, f"open at {BLOCKS}", "blocks"]
    print(f"| {' | '.join(header)} |\n|---|{'--:|' * (len(header) - 1)}")
    worst = 0
    for noise in NOISES:
        for ratio in RATIOS:
            found = simulate(
                noise, ratio, arguments.campaigns, arguments.seed, waves=arguments.waves
            )
            print(row(noise, ratio, found), flush=True)
            worst = max(worst, found.false_different, found.false_equivalent)
    return int(worst > ALPHA * arguments.campaigns)


if __name__ == "__main__":
    sys.exit(main())

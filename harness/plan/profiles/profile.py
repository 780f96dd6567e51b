"""Read and validate a profile.

A profile is a TOML file next to this module, or any path that ends in `.toml`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from harness.contract.errors import UsageError
from harness.contract.trial_spec import Closing
from harness.plan.budget import BUDGET_S_MAX
from harness.plan.scenarios import CALIBRATION, SCENARIOS
from harness.plan.waves import SERVERS_MIN
from harness.variants import strict_toml
from harness.variants.variant_files import ALL, CONNECTIONS_MAX, GROUP_MARK

DIRECTORY = Path(__file__).parent
WINDOW_S_MIN, WINDOW_S_MAX = 0.01, 3600
WARMUP_S_MIN, WARMUP_S_MAX = 0.001, 600
TIMEOUT_S_MIN, TIMEOUT_S_MAX = 0.01, 3600
BUILD_S_MAX = 86_400
# Each cell takes a window in each block. More cells are a mistake, and the plan would fill memory.
CELLS_MAX = 1_000
# The time that a turn costs besides its window is about this long.
TURN_S_MIN = 0.05
# Gates judge a window by the rates of its tenths: a tenth is whole turns, or a turn whole tenths.
PARTS = 10
# Verdicts come after `trials` blocks, then after every LOOK_STEP (harness/analysis/looks.py).
LOOK_STEP = 4


Payload = Annotated[int, Field(ge=1, le=65_536)]
Depth = Annotated[int, Field(ge=1, le=64)]
# More than the loopback of any host can transfer; below the minimum most windows have no message.
Rate = Annotated[float, Field(ge=1, le=10_000_000, strict=False)]
Share = Annotated[float, Field(ge=0.001, le=2, strict=False)]

# The conformance checks that a server must pass before it is measured.
Conformance = Literal["quick", "full", "off"]

# How connections of churn end: in order, or by a reset.
CLOSING_DEFAULT: tuple[Closing, ...] = ("fin",)


class Timing(strict_toml.Strict):
    """How long a cell with traffic takes."""

    warmup_s: float = Field(ge=WARMUP_S_MIN, le=WARMUP_S_MAX, strict=False)
    window_s: float = Field(ge=WINDOW_S_MIN, le=WINDOW_S_MAX, strict=False)


class Timeouts(strict_toml.Strict):
    """Upper bounds. A healthy trial reaches none of them."""

    build_s: float = Field(default=900, ge=TIMEOUT_S_MIN, le=BUILD_S_MAX, strict=False)
    ready_s: float = Field(default=10, ge=TIMEOUT_S_MIN, le=TIMEOUT_S_MAX, strict=False)
    connect_s: float = Field(default=20, ge=TIMEOUT_S_MIN, le=TIMEOUT_S_MAX, strict=False)
    settle_s: float = Field(default=5, ge=TIMEOUT_S_MIN, le=TIMEOUT_S_MAX, strict=False)
    stop_s: float = Field(default=5, ge=TIMEOUT_S_MIN, le=TIMEOUT_S_MAX, strict=False)


class Traffic(strict_toml.Strict):
    """What an active connection sends, and whether the generator polls or sleeps in between."""

    payload_bytes: Payload = 64
    depth: Depth = 1
    spin: bool = True


class ScenarioUse(strict_toml.Strict):
    """One scenario at some numbers of open connections, payloads, depths and rates.

    Each list multiplies the cells: two payloads at three numbers of connections are six cells.
    `rate_per_s` is one rate for all servers, `rate_share` a share of each server's own capacity.
    `warmup_s`, `window_s`: length of its warm-ups and windows, if it differs from `timing`.
    `turns`: number of parts of a window; between them other trials have their turns.
    `blocks`: number of the profile's blocks in which it is measured; default: all.
    """

    name: str
    connections: tuple[int, ...] = Field(min_length=1, strict=False)
    active: int | None = Field(default=None, ge=1, le=CONNECTIONS_MAX)
    payload_bytes: tuple[Payload, ...] = Field(default=(), strict=False)
    depth: tuple[Depth, ...] = Field(default=(), strict=False)
    rate_per_s: tuple[Rate, ...] = Field(default=(), strict=False)
    rate_share: tuple[Share, ...] = Field(default=(), strict=False)
    closing: tuple[Closing, ...] = Field(default=(), strict=False)
    warmup_s: float | None = Field(default=None, ge=WARMUP_S_MIN, le=WARMUP_S_MAX, strict=False)
    window_s: float | None = Field(default=None, ge=WINDOW_S_MIN, le=WINDOW_S_MAX, strict=False)
    turns: int = Field(default=1, ge=1, le=100)
    blocks: int | None = Field(default=None, ge=1, le=100)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        offered = [scenario for scenario in SCENARIOS if scenario != CALIBRATION]
        if name not in offered:
            known = ", ".join(offered)
            near = strict_toml.nearest(name, offered)
            raise ValueError(f"no scenario `{name}`{near} (known: {known})")
        return name

    @field_validator("connections")
    @classmethod
    def _in_range(cls, connections: tuple[int, ...]) -> tuple[int, ...]:
        for number in connections:
            if not 1 <= number <= CONNECTIONS_MAX:
                raise ValueError(f"expected 1 to {CONNECTIONS_MAX:,} connections, got {number:,}")
        if len(set(connections)) < len(connections):
            raise ValueError("expected each number of connections once")
        return connections

    @model_validator(mode="after")
    def _rate_where_the_loop_is_open(self) -> ScenarioUse:
        is_open = SCENARIOS[self.name].loop == "open"
        if is_open and not self.rate_per_s and not self.rate_share:
            raise ValueError(
                f"scenario `{self.name}` needs `rate_per_s`, a list of rates, or `rate_share`"
            )
        for key, given in (("rate_per_s", self.rate_per_s), ("rate_share", self.rate_share)):
            if given and not is_open:
                raise ValueError(f"scenario `{self.name}` is a closed loop: it takes no `{key}`")
        if SCENARIOS[self.name].active == "none" and (self.payload_bytes or self.depth):
            raise ValueError(
                f"scenario `{self.name}` sends nothing: no `payload_bytes`, no `depth`"
            )
        return self

    @model_validator(mode="after")
    def _active_of_those_that_are_open(self) -> ScenarioUse:
        if self.active is None:
            return self
        if SCENARIOS[self.name].active != "fixed":
            raise ValueError(
                f"scenario `{self.name}` takes no `active`: {SCENARIOS[self.name].active} of its "
                "connections send"
            )
        if self.active > min(self.connections):
            raise ValueError(
                f"scenario `{self.name}`: expected `active` from 1 to {min(self.connections):,}, "
                f"the fewest `connections`, got {self.active:,}"
            )
        return self

    @model_validator(mode="after")
    def _closing_where_connections_end(self) -> ScenarioUse:
        churns = SCENARIOS[self.name].churns
        if self.closing and not churns:
            raise ValueError(f"scenario `{self.name}` keeps its connections: it takes no `closing`")
        if self.depth and churns:
            raise ValueError(f"scenario `{self.name}` sends one message at a time: no `depth`")
        return self

    @property
    def cells(self) -> int:
        """Number of cells in a block."""
        lists = (self.connections, self.payload_bytes, self.depth, self.closing)
        rates = len(self.rate_per_s) + len(self.rate_share)
        return math.prod(max(1, len(one)) for one in lists) * max(1, rates)


class Profile(strict_toml.Strict):
    """The keys of a profile.

    `trials`: blocks until the first look. `trials_max`: largest number of blocks, where a campaign
    continues until its headline is settled; default: `trials`. `repeat_noisy`: whether a noisy cell
    is measured again. A cell that is rejected because of other processes always is, at most
    `repeats_max` times. `servers_per_wave`: most servers up at once; default: as many as fit the
    host.
    """

    summary: str = Field(min_length=1)
    ranked: bool = True
    selftest: bool = False
    trials: int = Field(ge=1, le=100)
    trials_max: int | None = Field(default=None, ge=1, le=1_000)
    budget_s: float | None = Field(default=None, gt=0, le=BUDGET_S_MAX, strict=False)
    server_cpus: int = Field(default=1, ge=1, le=1_024)
    repeats_max: int = Field(default=0, ge=0, le=10)
    repeat_noisy: bool = True
    same_twice: str | None = None
    side_by_side: bool = False
    servers_per_wave: int | None = Field(default=None, ge=SERVERS_MIN)
    xray: bool = False
    conformance: Conformance = "quick"
    servers: tuple[str, ...] = Field(default=(), strict=False)
    timing: Timing
    timeouts: Timeouts = Timeouts()
    traffic: Traffic = Traffic()
    scenarios: tuple[ScenarioUse, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _same_twice_is_a_server(self) -> Profile:
        named = [name for name in self.servers if name != ALL and not name.startswith(GROUP_MARK)]
        is_listed = self.same_twice in named or len(named) < len(self.servers) or not named
        if self.same_twice is not None and not is_listed:
            near = strict_toml.nearest(self.same_twice, named)
            raise ValueError(
                f"`same_twice`: expected one of `servers` ({', '.join(named)}), "
                f"got `{self.same_twice}`{near}"
            )
        return self

    @model_validator(mode="after")
    def _lists_each_cell_once(self) -> Profile:
        cells = sum(use.cells for use in self.scenarios)
        if cells > CELLS_MAX:
            raise ValueError(f"expected at most {CELLS_MAX:,} cells in `scenarios`, got {cells:,}")
        seen: set[tuple[object, ...]] = set()
        for use in self.scenarios:
            rates = [("rate_per_s", rate) for rate in use.rate_per_s]
            rates += [("rate_share", share) for share in use.rate_share]
            active_of = SCENARIOS[use.name].active_of
            for cell in itertools.product(
                (use.name,),
                [(number, active_of(number, use.active)) for number in use.connections],
                use.payload_bytes or (self.traffic.payload_bytes,),
                use.depth or (self.traffic.depth,),
                rates or [("closed loop", 0.0)],
                use.closing or CLOSING_DEFAULT,
            ):
                if cell in seen:
                    raise ValueError(
                        f"scenario `{use.name}` is listed twice, with the same settings, at the "
                        f"same `connections`: {cell[1][0]:,}"
                    )
                seen.add(cell)
        return self

    @model_validator(mode="after")
    def _has_blocks(self) -> Profile:
        for use in self.scenarios:
            if use.blocks is not None and use.blocks > self.trials:
                raise ValueError(
                    f"scenario `{use.name}`: expected at most `trials` = {self.trials} `blocks`, "
                    f"got {use.blocks}"
                )
        if all(use.blocks not in (None, self.trials) for use in self.scenarios):
            raise ValueError("expected a scenario without `blocks`: each block needs a cell")
        return self

    @model_validator(mode="after")
    def _ends_at_a_look(self) -> Profile:
        more = self.blocks_max - self.trials
        if more < 0 or more % LOOK_STEP:
            raise ValueError(
                f"`trials_max`: expected `trials` = {self.trials} and a multiple of {LOOK_STEP} "
                f"more, because looks come every {LOOK_STEP} blocks, got {self.trials_max}"
            )
        return self

    @model_validator(mode="after")
    def _has_waves(self) -> Profile:
        if self.servers_per_wave is not None and not self.side_by_side:
            raise ValueError(
                "`servers_per_wave` needs `side_by_side = true`: else servers run one at a time"
            )
        return self

    @model_validator(mode="after")
    def _has_turns(self) -> Profile:
        for use in self.scenarios:
            if use.turns == 1:
                continue
            where, scenario = f"scenario `{use.name}`", SCENARIOS[use.name]
            if not self.side_by_side:
                raise ValueError(f"{where} has `turns`, which need `side_by_side = true`")
            if scenario.active == "none" or scenario.loop == "open" or scenario.churns:
                raise ValueError(
                    f"{where} takes no `turns`: only a closed loop over lasting connections does"
                )
            if use.turns % PARTS and PARTS % use.turns:
                raise ValueError(
                    f"{where}: expected 1, 2, 5, 10 or a multiple of 10 `turns`, got {use.turns}"
                )
            window_s = self.window_s(use)
            turn_s = window_s / use.turns
            if turn_s < TURN_S_MIN:
                raise ValueError(
                    f"{where}: {use.turns} turns of a window of {window_s:g} s are {turn_s:g} s "
                    f"each, expected at least {TURN_S_MIN:g} s"
                )
        return self

    def window_s(self, use: ScenarioUse) -> float:
        """Length of the windows of one of its scenarios; 0 if the scenario sends nothing."""
        has_traffic = SCENARIOS[use.name].active != "none"
        return (use.window_s or self.timing.window_s) if has_traffic else 0.0

    def warmup_s(self, use: ScenarioUse) -> float:
        """Length of the warm-ups of one of its scenarios; 0 if the scenario sends nothing."""
        has_traffic = SCENARIOS[use.name].active != "none"
        return (use.warmup_s or self.timing.warmup_s) if has_traffic else 0.0

    def of_blocks(self, blocks_max: int) -> Profile:
        """The profile whose campaigns take at most `blocks_max` blocks by themselves.

        With fewer than `trials`, the first look comes after all of them. With more, looks come
        after `trials` blocks and then every `LOOK_STEP`, as far as they fit.
        """
        trials = min(self.trials, blocks_max)
        later = (blocks_max - trials) // LOOK_STEP * LOOK_STEP
        scenarios = tuple(
            use.model_copy(update={"blocks": min(use.blocks, trials)}) if use.blocks else use
            for use in self.scenarios
        )
        changes = {"trials": trials, "trials_max": trials + later or None, "scenarios": scenarios}
        return self.model_copy(update=changes)

    @property
    def blocks_max(self) -> int:
        """The most blocks that a campaign takes by itself."""
        return self.trials if self.trials_max is None else self.trials_max

    @property
    def connections_max(self) -> int:
        """The most connections that any cell opens."""
        return max(max(use.connections) for use in self.scenarios)

    @property
    def at_once_max(self) -> int:
        """The most connections that a server may have to hold at once.

        With churn, a new connection may arrive before the server has seen the old ones end.
        """
        return max(
            max(use.connections) + SCENARIOS[use.name].passing(use.connections, use.active)
            for use in self.scenarios
        )


def names() -> list[str]:
    """List the profiles that ship with the harness."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def load(name: str) -> Profile:
    """Read the profile `name`, or the file `name` when it ends in `.toml`.

    Raises:
        UsageError: it is unknown or invalid.
    """
    if name.endswith(".toml"):
        return strict_toml.load(Path(name), Profile)
    if name not in names():
        raise UsageError(
            f"no profile `{name}`{strict_toml.nearest(name, names())} "
            f"(known: {', '.join(names())})",
            hint="For a profile of your own, give a path that ends in `.toml`.",
        )
    return strict_toml.load(DIRECTORY / f"{name}.toml", Profile)


def of_campaign(kept: Mapping[str, object], directory: Path) -> tuple[str, Profile]:
    """Read the profile and its name from the `campaign.json` in `directory`.

    Raises:
        FileProblems: this version does not accept it.
    """
    keys = {key: value for key, value in kept.items() if key != "name"}
    path = directory / "campaign.json"
    return str(kept.get("name") or "unnamed"), strict_toml.validated(path, keys, Profile)

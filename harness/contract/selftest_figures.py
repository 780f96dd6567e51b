"""Define the figures of each scene of the load generator's self-test.

The scenes make them (harness/load/selftest/scenes.py), the harness judges them
(harness/gates/generator_fitness.py), and `campaign.json` keeps them.
"""

from __future__ import annotations

from harness.contract.cell_record import Written


class OverheadFigures(Written):
    """The cost of reading the clock, and how late a timed wait ends."""

    clock_read_ns: float
    lag_p50_us: float | None
    lag_p99_us: float | None


class LimitFigures(Written):
    """A closed loop at its limit.

    Attributes:
        outstanding: messages in flight, on average.
        rate_times_latency: the same by Little's law.
        edge_share: share of the echoes that the window's edges cut.
    """

    active: int
    echoes_per_s: float
    cpu_us_per_echo: float
    outstanding: float
    rate_times_latency: float
    edge_share: float


class CorruptFigures(Written):
    """Wrong bytes: how many the server made, and how many the generator found."""

    flipped_bytes: int
    corrupt_bytes: int
    lost: int
    echoed_bytes: int


class DropFigures(Written):
    """Connections that the server dropped, and those that failed for the generator."""

    dropped: int
    failed: int
    cycles: int
    errors: dict[str, int]


class LateFigures(Written):
    """Replies that the server delayed, and the share that the generator measured as late."""

    delay_ms: float
    delayed_share: float
    late_share: float
    p98_ms: float
    count: int


class DistributionFigures(Written):
    """Percentiles and mean of a known distribution of latencies, known and observed."""

    known_ms: dict[str, float]
    observed_ms: dict[str, float]
    count: int
    send_lag_p99_us: float | None


class StallFigures(Written):
    """Latencies in a window in which the server stood still once."""

    window_s: float
    stall_s: float
    p50_ms: float
    p99_s: float
    max_s: float
    count: int


class BacklogFigures(Written):
    """A listener that does not accept: connections tried, admitted, and connected late."""

    backlog: int
    tried: int
    admitted: int
    late: int
    waited_s: float | None


class SelftestFigures(Written):
    """The figures of all scenes of one self-test, by the scene's name; None: not measured."""

    overhead: OverheadFigures | None = None
    ceiling: LimitFigures | None = None
    corrupt: CorruptFigures | None = None
    drop: DropFigures | None = None
    late: LateFigures | None = None
    distribution: DistributionFigures | None = None
    stall: StallFigures | None = None
    backlog: BacklogFigures | None = None

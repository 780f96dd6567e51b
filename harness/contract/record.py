"""Which kind of cell a line of `trials.jsonl` is, and the facts that it is judged by.

`number` reads the other documents of a campaign without trusting them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.contract.stored_cell import StoredCell

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VariantFacts:
    """What a variant declares about itself, as far as the gates ask.

    Attributes:
        connections_max: its declared ceiling, or None.
        reason: why the ceiling is there.
        unseen: the server was driven from outside: there can be no evidence of its processes. Never
            true in a campaign, where evidence that is missing is missing.
    """

    connections_max: int | None = None
    reason: str = ""
    unseen: bool = False


def number(record: Record, *path: str) -> float | None:
    """The number at `path` inside `record`, or None when it, or a part of the path, is missing."""
    value: Any = record
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def held_connections(record: StoredCell) -> float | None:
    """The connections that the cell is known to have held, or None."""
    counts = (record.connections_established_min, record.ramp.established)
    known = [count for count in counts if count is not None]
    return max(known) if known else None


def load_busy(record: StoredCell) -> float | None:
    """Share of its CPUs that the load was busy with something to do; None where it is not known.

    A load that polls takes a whole CPU whatever it does: passes that found nothing do not count.
    """
    useful = record.generator.useful_busy
    return record.generator.cpu_busy if useful is None else useful


def any_cell(record: StoredCell) -> bool:
    """Every cell, the failed ones too."""
    return True


def is_finished(record: StoredCell) -> bool:
    """Whether the cell was measured to its end."""
    return record.is_finished


def has_traffic(record: StoredCell) -> bool:
    """Whether the cell ended and had a window with traffic in it."""
    return is_finished(record) and record.scenario != "ramp"


def is_ramp(record: StoredCell) -> bool:
    """Whether the cell ended and is the opening of its connections."""
    return is_finished(record) and record.scenario == "ramp"


def is_open_loop(record: StoredCell) -> bool:
    """Whether its messages left at a fixed total rate."""
    return has_traffic(record) and bool(record.rate_offered_per_s)


def churns(record: StoredCell) -> bool:
    """Whether each message had a connection of its own."""
    return has_traffic(record) and bool(record.closing)


def is_closed_loop(record: StoredCell) -> bool:
    """Whether a message left as soon as the reply before it had come."""
    return has_traffic(record) and not record.rate_offered_per_s

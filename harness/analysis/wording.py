"""Numbers as people read them. One spelling of each, so that verdict, table and chart agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

DIGITS = 3
KIB = 1024


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and how it is written."""

    value: float
    text: str

    def __str__(self) -> str:
        return self.text


def significant(value: float, digits: int = DIGITS) -> str:
    """`value` with that many significant digits, thousands separated: 0.923, 12.3, 1,230."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def rate(value: float) -> Quantity:
    """A rate per second: 201 k."""
    for factor, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor * 0.9995:
            return Quantity(value, significant(value / factor) + suffix)
    return Quantity(value, significant(value))


def times(value: float) -> Quantity:
    """A ratio: 4.35×."""
    return Quantity(value, f"{significant(value)}×")


def bound(value: float, ratio: float) -> Quantity:
    """A bound of a ratio's interval, with the decimals of the ratio: 0.98 of 1.02."""
    decimals = len(significant(ratio).partition(".")[2])
    return Quantity(value, f"{value:,.{decimals}f}")


def plain(value: float) -> Quantity:
    """A number without a unit: 0.998."""
    return Quantity(value, significant(value))


def count(value: float) -> Quantity:
    """How many: 10,000."""
    return Quantity(value, f"{value:,.0f}")


def share(value: float) -> Quantity:
    """A share of one, in whole per cent: 95 %."""
    percent = value * 100
    digits = 1 if 99 < percent < 100 else 0
    return Quantity(value, f"{percent:.{digits}f} %")


def confidence(value: float) -> Quantity:
    """A confidence, to two digits of what is left to one: 95 %, 99.75 %, 99.917 %."""
    left_percent = (1 - value) * 100
    digits = max(1, 1 - math.floor(math.log10(left_percent)))
    return Quantity(value, f"{value * 100:.{digits}f}".rstrip("0").rstrip(".") + " %")


def half_width(value: float) -> Quantity:
    """Half of an interval, in per cent: ± 1.9 %."""
    return Quantity(value, f"± {value * 100:.1f} %")


def kib(value_bytes: float) -> Quantity:
    """Bytes in KiB: 4.50."""
    return Quantity(value_bytes, significant(value_bytes / KIB))


def micros(value_us: float) -> Quantity:
    """A time in µs: 3.04 µs."""
    return Quantity(value_us, f"{significant(value_us)} µs")


def millis(value_us: float, unit: str = "") -> Quantity:
    """A time in µs, written in ms: 0.92, with `unit` behind it."""
    return Quantity(value_us, significant(value_us / 1e3) + unit)


def latency(value_us: float) -> Quantity:
    """A time in µs, in the unit that fits it: 91.0 µs, 1.17 ms."""
    return micros(value_us) if value_us < 999.5 else millis(value_us, " ms")


def seconds(value_s: float) -> Quantity:
    """A time in s: 1.57 s, 390 ms."""
    if value_s < 1:
        return Quantity(value_s, f"{significant(value_s * 1e3)} ms")
    return Quantity(value_s, f"{significant(value_s)} s")


def change(value: float, unit: str = " %") -> Quantity:
    """A relative change: −3.1 %, +0.4 %, 0.0 %."""
    digits = f"{abs(value) * 100:,.1f}"
    sign = "" if float(digits.replace(",", "")) == 0 else "−" if value < 0 else "+"
    return Quantity(value, f"{sign}{digits}{unit}")

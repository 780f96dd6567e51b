"""Follow each server's headline from campaign to campaign, with what else changed.

Rule 1: pure, from the summaries of campaigns to tracks.
Rule 2: a track joins only campaigns of one server, one cell and one host. A step in it has a named
reason (another kernel, another build of the server, another harness) or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.analysis import wording
from harness.analysis.results import Analysis
from harness.report.charts.axes import linear
from harness.report.sections.tables import half_width

# Size of the drawn line of one track, in pixels; the letter of a mark is above the line.
WIDTH, HEIGHT, MARGIN = 240, 44, 10
CAUSES = ("kernel", "image", "harness")
# Keys that identify the code of the harness: its version, its commit and, in an image (which has no
# commit), its files.
HARNESS = ("harness", "git", "harness_source")
# Number of digits of a digest that distinguish two builds.
DIGEST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Moment:
    """One server's headline in one campaign.

    Attributes:
        value: echoes per second of server CPU, for drawing; `text` and `interval` are its words.
        marks: members of `CAUSES` that differ from the moment before.
        x, y: its place in the drawing, in pixels.
    """

    campaign: str
    created: str
    href: str
    value: float
    text: str
    interval: str
    marks: tuple[str, ...] = ()
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Track:
    """The moments of one server at one cell on one host, the oldest first."""

    variant: str
    cell: str
    host: str
    moments: tuple[Moment, ...]

    @property
    def line(self) -> str:
        """The points of an SVG polyline."""
        return " ".join(f"{moment.x:.1f},{moment.y:.1f}" for moment in self.moments)

    @property
    def change(self) -> str:
        """The change from the first moment to the last; empty if there is only one."""
        if len(self.moments) < 2:
            return ""
        return wording.change(self.moments[-1].value / self.moments[0].value - 1).text


def told(campaign: Mapping[str, Any], analysis: Analysis) -> dict[str, Any]:
    """Return a campaign's part of the history: its headline's figures, host, kernel and builds."""
    environment = campaign.get("environment") or {}
    built = {
        str(variant.get("name")): variant.get("image") or variant.get("digest")
        for variant in campaign.get("variants") or ()
    }
    key = analysis.headline.key
    figures = {
        row.variant: {
            "value": row.efficiency.mean,
            "text": wording.rate(row.efficiency.mean).text,
            "interval": half_width(row.efficiency),
            "image": str(built.get(row.variant) or "").removeprefix("sha256:")[:DIGEST_DIGITS],
        }
        for row in analysis.rows
        if row.efficiency
    }
    cpus = environment.get("cpus_online")
    return {
        "cell": f"idle {key.connections:,}, {key.active:,} active" if key else "",
        "host": f"{cpus} × {environment.get('cpu_model')}" if cpus else "",
        "backend": str(campaign.get("backend") or ""),
        "kernel": str(environment.get("kernel") or ""),
        "harness": " ".join(str(environment[name]) for name in HARNESS if environment.get(name)),
        "figures": figures,
    }


def tracks(campaigns: Sequence[tuple[str, str, str, Mapping[str, Any]]]) -> tuple[Track, ...]:
    """Join `(campaign, created, href, told)` of all campaigns, the oldest first."""
    joined: dict[tuple[str, str, str], list[tuple[Moment, Mapping[str, Any]]]] = {}
    for campaign, created, href, known in sorted(campaigns, key=lambda one: (one[1], one[0])):
        host = ", ".join(filter(None, (str(known.get("host")), str(known.get("backend")))))
        figures = known.get("figures")
        for variant, figure in figures.items() if isinstance(figures, Mapping) else ():
            moment = _moment(campaign, created, href, figure)
            if moment is None:
                continue
            cause = {name: known.get(name) for name in CAUSES} | {"image": figure.get("image")}
            track = (str(variant), str(known.get("cell")), host)
            joined.setdefault(track, []).append((moment, cause))
    return tuple(Track(*track, _placed(moments)) for track, moments in sorted(joined.items()))


def _moment(campaign: str, created: str, href: str, figure: Any) -> Moment | None:
    """Return the moment; None if a page from elsewhere has no usable figure."""
    value = figure.get("value") if isinstance(figure, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    text, interval = str(figure.get("text") or ""), str(figure.get("interval") or "")
    return Moment(campaign, created, href, float(value), text, interval)


def _placed(moments: Sequence[tuple[Moment, Mapping[str, Any]]]) -> tuple[Moment, ...]:
    scale = linear(max(moment.value for moment, _ in moments))
    step = (WIDTH - 2 * MARGIN) / max(1, len(moments) - 1)
    changes = [(), *_changes([cause for _, cause in moments])]
    return tuple(
        Moment(
            campaign=moment.campaign,
            created=moment.created,
            href=moment.href,
            value=moment.value,
            text=moment.text,
            interval=moment.interval,
            marks=changed,
            x=MARGIN + step * place,
            y=HEIGHT - scale.pixel(moment.value, HEIGHT - MARGIN),
        )
        for place, ((moment, _), changed) in enumerate(zip(moments, changes, strict=True))
    )


def _changes(causes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for before, after in pairwise(causes):
        yield tuple(name for name in CAUSES if before.get(name) != after.get(name))

"""Eight colours that can be told apart, also without red or green cones, and what is drawn grey."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import synthetic

from harness.report import model
from harness.report.charts import draw_svg
from harness.report.charts.emphasis import COLOURS, DASHES, SHAPES
from harness.report.model import Model
from harness.report.page import html

Triple = tuple[float, float, float]
# Machado, Oliveira & Fernandes 2009, severity 1: on linear RGB.
SEEN = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
}
# CIE 1976: about 2 is just noticeable side by side; thin lines that are apart need ten times that.
DISTANCE_MIN = 20.0


def lab(colour: str, seen: str) -> Triple:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    r, g, b = (
        min(1.0, max(0.0, sum(m * c for m, c in zip(row, linear, strict=True))))
        for row in SEEN[seen]
    )
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def palettes() -> list[list[str]]:
    """The colours of the light page, then those of the dark one."""
    style = (html.TEMPLATES / "style.css").read_text()
    found = re.findall(r"--c(\d):(#[0-9a-f]{6})", style)
    assert [int(place) for place, _ in found] == [*range(COLOURS)] * 2
    colours = [colour for _, colour in found]
    return [colours[:COLOURS], colours[COLOURS:]]


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_colours_can_be_told_apart(seen: str, scheme: int) -> None:
    pairs = itertools.combinations(palettes()[scheme], 2)
    distances = {(a, b): math.dist(lab(a, seen), lab(b, seen)) for a, b in pairs}

    assert min(distances.values()) >= DISTANCE_MIN, min(distances, key=lambda p: distances[p])


@pytest.fixture(scope="module")
def many() -> Model:
    """Twelve servers of six mechanisms in three languages."""
    head, lines = synthetic.multiplied(*made(), 12)
    for place, variant in enumerate(head["variants"]):
        variant["language"] = ("C++", "Rust", "Python", "C++")[place % 4]
    return model.build(head, lines, synthetic.outcomes(head))


def made() -> tuple[dict[str, object], list[dict[str, object]]]:
    head = synthetic.campaign(connections=(100, 10_000))
    return head, synthetic.records(head)


def test_of_many_servers_eight_have_a_colour_the_best_and_the_capped_among_them(
    many: Model,
) -> None:
    names = {variant.colour: variant.name for variant in many.variants}
    chosen = {names[colour] for colour in many.emphasis.palette}
    best = next(row.variant for row in many.analysis.rows if row.is_best)
    capped = {row.variant for row in many.analysis.rows if "FD_SETSIZE" in row.note}

    assert len(chosen) == COLOURS
    assert sorted(many.emphasis.palette.values()) == [*range(COLOURS)]
    assert {best, *capped} <= chosen
    assert many.emphasis.quiet == 4
    page = html.render(many)
    assert page.count(":var(--rest)}") == 4
    assert "The other 4 servers are grey" in page


def test_a_grey_line_has_neither_label_nor_marker_and_its_words_stay(many: Model) -> None:
    figure = next(one for one in many.figures if one.id == "fig-idle-cpu")
    quiet = [series for series in figure.series if series.is_quiet]
    drawn = draw_svg.svg(figure)
    markers = "".join(re.findall(r'<g class="mark-symbol[^>]*>(.*?)</g>', drawn))

    assert len(figure.series) - len(quiet) == COLOURS
    for series in quiet:
        assert f">{series.variant}<" not in drawn
        assert f'"var(--s{series.colour})"' not in markers
        assert f"<title>{series.variant} at " in drawn
        assert f'stroke="var(--s{series.colour})"' in drawn


def test_mechanisms_have_a_marker_and_languages_a_dash_each(many: Model) -> None:
    assert len(set(many.emphasis.shapes.values())) == len(many.emphasis.shapes) == 5
    assert many.emphasis.dashes == {"C++": (), "Python": (7, 3), "Rust": (2, 2)}
    assert len(set(SHAPES)) == len(set(DASHES)) == 8
    figure = next(one for one in many.figures if one.id == "fig-idle-cpu")
    drawn = draw_svg.svg(figure)

    assert 'stroke-dasharray="7,3"' in drawn
    loud = {series.shape for series in figure.series if not series.is_quiet}
    assert loud <= set(many.emphasis.shapes.values())


def test_six_servers_all_have_a_colour(built: Model) -> None:
    assert dict(built.emphasis.palette) == {place: place for place in range(6)}
    assert not any(series.is_quiet for figure in built.figures for series in figure.series)

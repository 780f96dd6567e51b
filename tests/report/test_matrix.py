"""Language × mechanism: twins stand in one row, and only where there are twins."""

from __future__ import annotations

from typing import Any

import pytest
import synthetic

from harness.report import model
from harness.report.page import html
from harness.report.sections.matrix import Entry, Matrix

# How many times the CPU time of its twin.
SLOWER = {"python-poll": 6.0, "python-epoll-lt": 4.0, "python-select": 5.0}


def twins() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The toys as a family, and three of them again as another that costs more."""
    head = synthetic.campaign()
    records = synthetic.records(head)
    head["variants"] = [
        one | {"family": "C++", "architecture": one["architecture"].removesuffix("-fdset")}
        for one in head["variants"]
    ]
    for name, factor in SLOWER.items():
        of = "select-fdset" if name == "python-select" else name.removeprefix("python-")
        variant = next(one for one in head["variants"] if one["name"] == of)
        head["variants"].append(
            variant | {"name": name, "family": "Python", "architecture": name[len("python-") :]}
        )
        planned = [trial for trial in head["plan"] if trial["variant"] == of]
        head["plan"] += [
            trial | {"variant": name, "id": f"{trial['block']}-{name}"} for trial in planned
        ]
        for line in [line for line in records if line["variant"] == of]:
            server = line["server"]
            slower = {"cpu_ns": server["cpu_ns"] * factor} if "cpu_ns" in server else {}
            trial = f"{line['block']}-{name}"
            line = line | {"variant": name, "trial": trial, "server": server | slower}
            records.append(line)
    return head, records


@pytest.fixture(scope="module")
def matrix() -> tuple[Matrix, ...]:
    head, records = twins()
    return model.build(head, records, []).matrices


def entry(found: Matrix, architecture: str, family: str) -> tuple[Entry, ...]:
    line = next(line for line in found.lines if line.architecture == architecture)
    return line.entries[found.families.index(family)]


def test_a_twin_is_told_by_how_many_times_the_cpu_time_with_its_interval(
    matrix: tuple[Matrix, ...],
) -> None:
    largest = matrix[-1]

    assert largest.title == "10,000 open connections, 100 active"
    assert largest.families == ("C++", "Python")
    (poll,) = entry(largest, "poll", "Python")
    (own,) = entry(largest, "poll", "C++")
    assert poll.against == "6.00× (6.00–6.00)"
    assert own.against == ""
    assert float(poll.cost.split()[0]) == pytest.approx(6 * float(own.cost.split()[0]), rel=0.01)


def test_a_server_with_a_ceiling_is_the_twin_of_one_with_a_ceiling() -> None:
    """`select` on a bitmap that grows is another mechanism than `select` on an `fd_set`."""
    head, records = twins()
    for line in records:
        if line["variant"] == "select" and "cpu_ns" in line["server"]:
            line["server"] = line["server"] | {"cpu_ns": line["server"]["cpu_ns"] * 100}
    smallest = model.build(head, records, []).matrices[0]

    (select,) = entry(smallest, "select", "Python")
    assert select.against == "5.00× (5.00–5.00)"


def test_a_twin_that_stops_says_where(matrix: tuple[Matrix, ...]) -> None:
    (select,) = entry(matrix[-1], "select", "Python")

    assert select == Entry("python-select", "stops at 1,019", "")


def test_a_mechanism_of_one_family_has_no_row(matrix: tuple[Matrix, ...]) -> None:
    assert [line.architecture for line in matrix[-1].lines] == ["epoll-lt", "poll", "select"]


def test_without_a_second_family_there_is_no_matrix() -> None:
    head = synthetic.campaign()
    head["variants"] = [variant | {"family": "C++"} for variant in head["variants"]]
    built = model.build(head, synthetic.records(head), [])

    assert built.matrices == ()
    assert "Language × mechanism" not in html.render(built)


def test_the_page_has_the_matrix_with_links_to_the_servers() -> None:
    head, records = twins()
    page = html.render(model.build(head, records, []))

    assert "Language × mechanism" in page
    assert '<a href="#python-poll">python-poll</a>' in page

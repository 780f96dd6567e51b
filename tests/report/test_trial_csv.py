"""The CSV of all trials: one row per server, trial and cell, with documented columns."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from statistics import fmean
from typing import Any

import synthetic

from harness.contract.stored_campaign import StoredHead
from harness.report import model
from harness.report.text import trial_csv

ROOT = Path(__file__).parents[2]
Lines = list[dict[str, Any]]


def rows(
    head: dict[str, Any], records: Lines, *, with_latency: bool = True
) -> list[dict[str, str]]:
    made = synthetic.outcomes(head)
    text = trial_csv.render(head, records, made, with_latency=with_latency)
    return list(csv.DictReader(io.StringIO(text)))


def test_each_server_trial_and_cell_has_one_row(head: dict[str, Any], records: Lines) -> None:
    found = rows(head, records)
    names = ("server", "trial", "scenario", "connections", "active", "payload_bytes", "depth")
    keys = [tuple(row[name] for name in (*names, "rate_share", "closing")) for row in found]

    assert (
        len(found) == len(set(keys)) == sum(len(trial.cells) for trial in StoredHead.of(head).plan)
    )


def test_the_rows_give_the_headline_of_the_report(head: dict[str, Any], records: Lines) -> None:
    built = model.build(head, records, synthetic.outcomes(head))
    key = built.analysis.headline.key
    assert key is not None
    printed = rows(head, records)
    for cell in built.analysis.cells:
        if cell.key != key or cell.efficiency is None:
            continue
        found = [
            math.log(float(row["echoes_per_cpu_s"]))
            for row in printed
            if (row["server"], row["scenario"]) == (cell.variant, "idle")
            and (row["connections"], row["active"]) == ("10000", "100")
            and row["echoes_per_cpu_s"]
        ]
        assert cell.efficiency.interval is not None
        assert cell.efficiency.interval.low < math.exp(fmean(found)) < cell.efficiency.interval.high


def test_a_rejected_cell_and_a_hidden_latency_have_no_figures(
    head: dict[str, Any], records: Lines
) -> None:
    found = rows(head, records, with_latency=False)
    unusable = [row for row in found if row["status"] not in ("valid", "noisy")]

    assert unusable
    assert all(row["reasons"] and not row["echoes_per_s"] for row in unusable)
    assert not any(row["latency_p99_us"] for row in found)
    assert any(row["latency_p99_us"] for row in rows(head, records))


def test_every_column_is_documented_with_its_unit() -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8").partition("## `c10k report")[2]
    table = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", page, re.MULTILINE)

    assert table == [(one.name, one.unit, one.meaning) for one in trial_csv.COLUMNS]

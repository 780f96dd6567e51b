#!/usr/bin/env python3
"""Check the one campaign that a run left in TREE/reports, by its files alone.

Independent of the harness: standard library only, so that a mistake of the harness in reading its
own store cannot hide one in writing it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# Documented keys of a line of trials.jsonl, and of the objects in it.
CELL_KEYS = {
    *("schema", "campaign", "variant", "block", "trial", "cell", "scenario", "active", "depth"),
    *("connections_requested", "connections_established_min", "payload_bytes", "window_s"),
    *("rate_offered_per_s", "echoes", "echoes_per_s", "corrupt_bytes", "lost", "errors", "tcp"),
    *("latency_us", "self_delay_us", "histogram", "connect_us", "server", "generator", "limits"),
    *("status", "reasons"),
}
OBJECT_KEYS = {
    "server": {
        *("cpu_busy", "cpu_us_per_echo", "user_us", "system_us", "threads", "switches"),
        "memory_bytes",
    },
    "generator": {"cpu_busy", "send_lag_us"},
    "limits": {"asked", "applied"},
}
LATENCY_KEYS = {"p50", "p90", "p99", "p999", "max", "mean", "count"}
MEMORY_KEYS = {"user", "stack", "kernel", "sockets"}
STATUSES = {"valid", "noisy", "void", "capped"}


def lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def missing_keys(cell: Json) -> Iterator[str]:
    """Yield the documented keys that `cell` lacks."""
    yield from sorted(CELL_KEYS - cell.keys())
    for name, keys in OBJECT_KEYS.items():
        yield from (f"{name}.{key}" for key in sorted(keys - (cell.get(name) or {}).keys()))


def check_cell(cell: Json, ceiling: int | None) -> Iterator[str]:
    """Yield what is wrong with one cell of a variant that declares `ceiling` connections."""
    missing = list(missing_keys(cell))
    if missing:
        yield f"lacks {', '.join(missing)}"
        return
    if cell["schema"] != 1 or cell["status"] not in STATUSES:
        yield f"schema {cell['schema']!r}, status {cell['status']!r}"
    if cell["corrupt_bytes"] != 0:
        yield f"{cell['corrupt_bytes']} corrupt bytes"
    if ceiling is not None and cell["connections_requested"] > ceiling:
        if cell["status"] != "capped" or cell["connections_established_min"] > ceiling:
            yield f"beyond its ceiling of {ceiling}, but {cell['status']}"
    else:
        yield from check_held(cell)


def check_held(cell: Json) -> Iterator[str]:
    """Yield what is wrong with a cell that its variant must have held."""
    if cell.get("failure") is not None:
        yield f"failed: {cell['failure']}"
        return
    if cell["scenario"] == "ramp":
        held = cell["ramp"]["established"]
    else:
        held = cell["connections_established_min"]
        if cell["echoes"] <= 0 or LATENCY_KEYS - cell["latency_us"].keys():
            yield f"{cell['echoes']} echoes, latency {cell['latency_us']}"
    if held != cell["connections_requested"] or cell["lost"] != 0:
        yield f"held {held} of {cell['connections_requested']} connections, lost {cell['lost']}"
    if MEMORY_KEYS - cell["server"]["memory_bytes"].keys():
        yield f"memory {cell['server']['memory_bytes']}"


def check_owner(reports: Path) -> Iterator[str]:
    """Yield the files under `reports` that do not belong to its owner."""
    owner = reports.stat()
    for path in reports.rglob("*"):
        found = path.lstat()
        if (found.st_uid, found.st_gid) != (owner.st_uid, owner.st_gid):
            yield f"{path}: owned by {found.st_uid}:{found.st_gid}, not by the owner of reports/"


def declared_variants(servers: Path, only: str | None) -> dict[str, Json]:
    """Every variant that a campaign must have compared, with its `variant.toml`."""
    found = {
        path.parent.name: tomllib.loads(path.read_text("utf-8"))
        for path in servers.glob("*/variant.toml")
    }
    names = set(only.split(",")) if only else set(found)
    return {
        name: file
        for name, file in found.items()
        if name in names and file.get("status") != "disabled"
    }


def check_trials(campaign: Path, variants: dict[str, Json]) -> Iterator[str]:
    """Yield what is wrong with the cells and the outcomes of all variants."""
    cells = lines(campaign / "trials.jsonl")
    planned = json.loads((campaign / "campaign.json").read_text("utf-8"))["plan"]
    per_trial = {
        len([cell for step in trial["steps"] for cell in step["cells"]]) for trial in planned
    }
    for name, file in variants.items():
        ceiling = file.get("limits", {}).get("connections_max")
        own = [cell for cell in cells if cell["variant"] == name]
        if ceiling is None and {len(own)} != per_trial:
            yield f"{name}: {len(own)} cells, planned {sorted(per_trial)}"
        for cell in own:
            where = f"{name}, {cell.get('scenario')} {cell.get('connections_requested')}"
            yield from (f"{where}: {problem}" for problem in check_cell(cell, ceiling))
    outcomes = {outcome["variant"]: outcome for outcome in lines(campaign / "outcomes.jsonl")}
    for name, file in variants.items():
        outcome = outcomes.get(name, {})
        if outcome.get("outcome") != "done":
            yield f"{name}: outcome {outcome}"
        # The server's own byte counters agree with the generator's, to the byte.
        if file.get("counters") and outcome.get("reconciled") is not True:
            yield f"{name}: not reconciled: {outcome.get('counters')} {outcome.get('totals')}"


def check(tree: Path, log: Path, only: str | None) -> list[str]:
    """Everything that is wrong with the newest campaign of `tree`."""
    reports = tree / "reports"
    campaigns = [path.parent for path in reports.glob("*/campaign.json")]
    if len(campaigns) != 1:
        return [f"{reports}: expected one campaign, found {[path.name for path in campaigns]}"]
    campaign = campaigns[0]
    head = json.loads((campaign / "campaign.json").read_text("utf-8"))
    problems = list(check_owner(reports))
    if head["schema"] != 1 or head["state"] != "done" or head["profile"].get("ranked"):
        problems.append(f"campaign.json: schema {head['schema']}, state {head['state']}")
    variants = declared_variants(tree / "servers", only)
    listed = {variant["name"] for variant in head["variants"]}
    if listed != set(variants):
        problems.append(f"variants {sorted(listed)}, expected {sorted(variants)}")
    problems += check_trials(campaign, variants)
    last = log.read_text("utf-8").splitlines()[-1].strip()
    report = (campaign / "report.html").resolve()
    if (tree / last).resolve() != report or not report.is_file():
        problems.append(f"the last line is not the path of the report: {last!r}")
    if not (reports / "index.html").is_file():
        problems.append("no reports/index.html")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, help="repository whose reports/ has the campaign")
    parser.add_argument("--log", type=Path, required=True, help="what the run printed")
    parser.add_argument("--only", help="the variants that were asked for, with commas")
    arguments = parser.parse_args()
    problems = check(arguments.tree, arguments.log, arguments.only)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems in {arguments.tree}/reports")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

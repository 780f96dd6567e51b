"""Describe what was compared, on which host, under which limits, and how to repeat it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from harness.analysis.frame import profile_name
from harness.analysis.results import Analysis
from harness.contract.record import Record, number
from harness.plan.trial_plan import blocks_of
from harness.plan.waves import Waves

# What stands in the place of a value that is null, and the digits of a number with a fraction.
NOT_SET = "n/a"
DIGITS = 4

# Names of `limits.asked` and `limits.applied` in the report; "" leaves out what is no limit.
# (`pids` is the number of the server's processes in `applied`, and their limit in `asked`.)
ASKED_NAMES = {"connections": ""}
APPLIED_NAMES = {"pids": "", "pids_max": "pids"}


# Words for `server.charged.source` and `busy_source` (harness/host/cpu_accounting.py).
CPU_SOURCES = {
    "cgroup-v1": "control group, version 1",
    "cgroup-v2": "control group, version 2",
    "processes": "clocks of the server's processes and times of its ended children",
}
BUSY_SOURCES = {
    "cpuacct": "run time of all tasks in ns (cpuacct)",
    "stat": "ticks of 10 ms (/proc/stat)",
}


@dataclass(frozen=True, slots=True)
class Nonconformity:
    """A conformance check that a server failed: what it saw, and the bug that it points at."""

    check: str
    title: str
    text: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One server as the report introduces it. `colour` is its number in the page's colours.

    `conforms` is the number of conformance checks that it passed, of those that apply: `31/32`. It
    is empty if the server was not checked.
    """

    name: str
    title: str
    summary: str
    language: str
    runtime: str
    architecture: str
    workers: str
    status: str
    digest: str
    ceiling: str
    colour: int
    conforms: str
    checked: str
    nonconformities: tuple[Nonconformity, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the environment."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as asked for, and as read back from inside; `who` names its servers."""

    name: str
    asked: str
    applied: str
    who: str


def variants(campaign: Mapping[str, Any], analysis: Analysis) -> tuple[Variant, ...]:
    """Return the campaign's servers, by name; those known only from records have no texts."""
    entries = campaign.get("variants") or ()
    declared = {str(entry.get("name")): entry for entry in entries if not entry.get("same_as")}
    names = sorted(set(declared) | {cell.variant for cell in analysis.cells})
    return tuple(_variant(name, declared.get(name, {}), index) for index, name in enumerate(names))


def _variant(name: str, entry: Mapping[str, Any], colour: int) -> Variant:
    limits = entry.get("limits") or {}
    ceiling = ""
    if limits:
        held = number(limits, "connections_max") or 0
        ceiling = f"{held:,.0f} connections: {limits.get('reason', '')}"
    return Variant(
        name=name,
        title=str(entry.get("title") or name),
        summary=str(entry.get("summary") or ""),
        language=str(entry.get("language") or ""),
        runtime=str(entry.get("runtime") or ""),
        architecture=str(entry.get("architecture") or ""),
        workers=str(entry.get("workers") or 1),
        status=str(entry.get("status") or "stable"),
        digest=str(entry.get("image") or entry.get("digest") or ""),
        ceiling=ceiling,
        colour=colour,
        **_conformance(entry.get("conformance") or {}),
    )


def _conformance(told: Mapping[str, Any]) -> dict[str, Any]:
    if not told:
        return {"conforms": "", "checked": "", "nonconformities": ()}
    passed, applicable = number(told, "passed") or 0, number(told, "applicable") or 0
    failed = tuple(
        Nonconformity(
            check=str(one.get("id") or ""),
            title=str(one.get("title") or ""),
            text=str(one.get("text") or ""),
            explanation=str(one.get("explanation") or ""),
        )
        for one in told.get("failures") or ()
    )
    return {
        "conforms": f"{passed:.0f}/{applicable:.0f}",
        "checked": str(told.get("subset") or ""),
        "nonconformities": failed,
    }


def title(analysis: Analysis, variants: Sequence[Variant]) -> str:
    """Describe what was compared, in one line."""
    keys = [cell.key for cell in analysis.cells]
    servers = f"{len(variants)} server{'' if len(variants) == 1 else 's'}"
    if not keys:
        return f"TCP echo · {servers}"
    sizes = sorted({key.payload_bytes for key in keys if key.payload_bytes})
    payload = ", ".join(f"{size:,}" for size in sizes) + " B" if sizes else ""
    least, most = (pick(key.connections for key in keys) for pick in (min, max))
    span = f"{least:,} → {most:,}" if least != most else f"{most:,}"
    return " · ".join(filter(None, [f"TCP echo, {payload}", servers, f"{span} connections"]))


def created(campaign: Mapping[str, Any]) -> str:
    """Return the campaign's start, `2026-03-01 14:02 UTC`; unchanged if it is not ISO 8601."""
    text = str(campaign.get("created_utc") or "")
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def setting(campaign: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the conditions, one phrase each."""
    environment = campaign.get("environment") or {}
    parts = [
        created(campaign),
        _method(campaign),
        host(campaign),
        _backend(campaign),
        f"c10k {environment['harness']}" if environment.get("harness") else "",
        f"commit {environment['git']}" if environment.get("git") else "",
    ]
    return tuple(part for part in parts if part)


def _method(campaign: Mapping[str, Any]) -> str:
    profile = campaign.get("profile") or {}
    name = profile_name(campaign)
    trials = blocks_of(campaign.get("plan") or ()) or number(profile, "trials")
    window_s = number(profile, "timing", "window_s")
    warmup_s = number(profile, "timing", "warmup_s")
    if not trials or not window_s or warmup_s is None:
        return f"profile {name}"
    kind = "trial" if trials == 1 else "interleaved trials"
    beside = ", the servers of a block side by side" if profile.get("side_by_side") else ""
    if waves := Waves.of_campaign(campaign):
        beside += f" in {waves.sentence}"
    said = f"profile {name}: {trials:.0f} {kind}{beside}"
    window = _range_s(profile, "window_s", window_s)
    return f"{said}, {window} after {_range_s(profile, 'warmup_s', warmup_s)} of warm-up"


def _range_s(profile: Mapping[str, Any], key: str, usual_s: float) -> str:
    """Return the range of a profile's times with this key: `0.5 to 0.8 s`, `1 s`."""
    own_s = [number(use, key) or usual_s for use in profile.get("scenarios") or ()]
    shortest_s, longest_s = min([usual_s, *own_s]), max([usual_s, *own_s])
    return f"{longest_s:g} s" if shortest_s == longest_s else f"{shortest_s:g} to {longest_s:g} s"


def host(campaign: Mapping[str, Any]) -> str:
    """Describe CPUs and kernel in one phrase."""
    environment = campaign.get("environment") or {}
    cpus = number(environment, "cpus_online")
    model = str(environment.get("cpu_model") or "")
    kernel = environment.get("kernel")
    words = f"{cpus:.0f} × {model}" if cpus and model else model
    return ", ".join(filter(None, [words, f"Linux {kernel}" if kernel else ""]))


def _backend(campaign: Mapping[str, Any]) -> str:
    backend = campaign.get("backend")
    if not backend:
        return ""
    where = "private loopback" if campaign.get("isolated") else "the host's loopback"
    return f"{backend} backend, {where}"


def command(campaign: Mapping[str, Any]) -> str:
    """Return the command that repeats the campaign, its seed included."""
    argv = [str(word) for word in campaign.get("argv") or ()]
    if argv and not argv[0].startswith("-") and PurePath(argv[0]).stem in ("c10k", "__main__"):
        argv = argv[1:]
    if not argv or argv[0].startswith("-"):
        argv = ["run", *argv]
    seed = campaign.get("seed")
    if seed is not None and not any(word.split("=")[0] == "--seed" for word in argv):
        argv += ["--seed", str(seed)]
    return shlex.join(["c10k", *argv])


def facts(campaign: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Return the environment, flattened: `libraries.locust`."""
    shown = {
        "campaign": campaign.get("campaign"),
        "created_utc": campaign.get("created_utc"),
        "seed": campaign.get("seed"),
        "argv": campaign.get("argv"),
        "profile": campaign.get("profile"),
        "capacities": campaign.get("capacities"),
        "environment": campaign.get("environment"),
        "build": _builds(campaign),
    }
    return tuple(
        Fact(name.removeprefix("environment."), text) for name, text in flat(shown) if text
    )


def _builds(campaign: Mapping[str, Any]) -> dict[str, Any]:
    """Return compiler and flags of each server that reports them."""
    entries = campaign.get("variants") or ()
    known = [one for one in entries if one.get("build") and not one.get("same_as")]
    return {str(one.get("name")): one["build"] for one in known}


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield `(dotted name, text)` of all leaves of nested mappings; a list is one leaf."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flat(inner, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list | tuple):
        separator = "; " if any(isinstance(inner, Mapping) for inner in value) else ", "
        yield prefix, separator.join(_leaf(inner) for inner in value)
    else:
        yield prefix, _leaf(value)


def _leaf(value: Any) -> str:
    if value is None:
        return NOT_SET
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        told = ((name, text) for name, text in flat(value) if text not in ("", NOT_SET))
        return " ".join(f"{name}={text}" for name, text in told)
    if isinstance(value, list | tuple):
        return " to ".join(map(_leaf, value))
    if isinstance(value, float):
        return _number(value)
    return str(value)


def _number(value: float) -> str:
    """Return a number without the digits that only its binary form has: 0.1, 900, 0.3333."""
    return f"{value:.0f}" if value.is_integer() else f"{value:.{DIGITS}g}"


def limits(records: Sequence[Record]) -> tuple[Limit, ...]:
    """Return asked and applied limits, one line each; servers that differ have their own lines."""
    seen: dict[str, dict[tuple[str, str], set[str]]] = {}
    for record in records:
        both = record.get("limits") or {}
        asked = _named(both.get("asked") or {}, ASKED_NAMES)
        applied = _named(both.get("applied") or {}, APPLIED_NAMES)
        for name in [*asked, *(name for name in applied if name not in asked)]:
            pair = (asked.get(name, ""), applied.get(name, ""))
            seen.setdefault(name, {}).setdefault(pair, set()).add(str(record.get("variant")))
    return tuple(
        Limit(name, *pair, "all servers" if len(pairs) == 1 else ", ".join(sorted(who)))
        for name, pairs in seen.items()
        for pair, who in pairs.items()
    )


def _named(limits: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Return the limits, flattened, under the names of the report."""
    return {named: text for name, text in flat(limits) if (named := names.get(name, name))}


def accounts(records: Sequence[Record]) -> tuple[Fact, ...]:
    """Name the sources of the CPU time of servers and their CPUs, and how exact they are."""
    charged = [
        account
        for record in records
        if (account := (record.get("server") or {}).get("charged")) is not None
    ]
    found = []
    for name, key, words in (
        ("CPU time of a server", "source", CPU_SOURCES),
        ("busy time of its CPUs", "busy_source", BUSY_SOURCES),
    ):
        exact = {"source": "exact_ns", "busy_source": "busy_exact_ns"}[key]
        parts = []
        for source, count in sorted(Counter(str(one.get(key)) for one in charged).items()):
            shares = [
                (number(one, exact) or 0.0) / cpu_ns
                for one in charged
                if str(one.get(key)) == source and (cpu_ns := number(one, "cpu_ns"))
            ]
            worst = f", exact to ± {max(shares, default=0.0):.2%} of the CPU time or better"
            parts.append(f"{words.get(source, 'not observed')}: {count:,} cells{worst}")
        if parts:
            found.append(Fact(name, "; ".join(parts)))
    return tuple(found)

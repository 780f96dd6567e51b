"""`c10k drive`: measure an echo server that already runs."""

from __future__ import annotations

import random
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.contract.statuses import CellStatus
from harness.plan.profiles import profile as profiles
from harness.report import draw

if TYPE_CHECKING:
    from harness.campaign.drive_run import Driven, Request

SEED_BITS = 32
WIDTH = 100
INDENT = " " * 4
COLOURS = {CellStatus.VALID: "green", CellStatus.NOISY: "yellow", CellStatus.VOID: "red"}
HEADER = ("scenario", "N", "held", "echoes/s", "p50", "p99", "server CPU", "status")
LEFT = ("scenario", "status")
NONE = "–"
NOT_SEEN = "n/a"


@click.command()
@click.argument("address", metavar="HOST:PORT")
@click.option(
    "--profile",
    default="smoke",
    envvar="C10K_PROFILE",
    show_default=True,
    shell_complete=lambda *_: profiles.names(),
    help="Measure the cells of this profile (a name or .toml file).",
)
@click.option(
    "--seed",
    type=options.SEED,
    envvar="C10K_SEED",
    help="Set the seed of the active connections. Default: random.",
)
@click.option(
    "--i-own-this-host",
    "is_owned",
    is_flag=True,
    help="Drive a server that is not on this host's loopback.",
)
@options.json
def drive(address: str, profile: str, seed: int | None, is_owned: bool, as_json: bool) -> int:
    """Measure an echo server that already runs.

    It does not start, stop or tune the server. It cannot see the server's CPU time and memory.

    \b
    c10k drive 127.0.0.1:7000                    the cells of the profile smoke
    c10k drive [::1]:7000 --profile quick        up to 10,000 connections
    c10k drive unix:///run/echo.sock --json      for programs
    """
    from harness.campaign import drive_run as driving
    from harness.host import lock
    from harness.host.interrupt import watched

    target = driving.target_of(address, is_owned=is_owned)
    if seed is None:
        seed = random.SystemRandom().getrandbits(SEED_BITS)
    request = driving.request_of(target, profile, profiles.load(profile), seed)
    with (
        watched("the cells measured so far follow"),
        lock.held(f"c10k drive {address} in {Path.cwd()}"),
    ):
        driven = driving.drive(request, _Counter(len(request.trial.cells)).show)
    told = driven.as_json(request)
    click.echo(draw.as_json(told) if as_json else _text(request, driven))
    if driven.error is not None:
        raise driven.error
    return Exit.OK


class _Counter:
    """Prints a line of progress on standard error for each cell."""

    def __init__(self, of: int) -> None:
        self._seen = 0
        self._of = of

    def show(self, name: str, **cell: Any) -> None:
        self._seen += 1
        where = f"{cell['scenario']} at {cell['connections_requested']:,}"
        status = cell["status"]
        word = "rejected" if status == CellStatus.VOID else status
        click.echo(f"{name} {self._seen}/{self._of}: {where}: {word}", err=True)


def _text(request: Request, driven: Driven) -> str:
    from harness.report.sections.anchors import status_word
    from harness.report.text import columns
    from harness.report.text.terminal_text import NOTE

    lines = [
        f"{request.target.address}: profile {request.profile_name}, seed {request.seed}, "
        f"{len(driven.cells)} of {len(request.trial.cells)} cells"
    ]
    table = columns.aligned([HEADER, *(_row(cell) for cell in driven.cells)], LEFT)
    lines.append(table[0])
    for cell, line in zip(driven.cells, table[1:], strict=True):
        status = cell["status"]
        word = status_word(status)
        lines.append(line.removesuffix(word) + click.style(word, fg=COLOURS.get(status)))
        lines += [told for _, text in cell["reasons"] for told in _wrapped(text)]
    if any(_is_closed(cell) for cell in driven.cells):
        lines.append(NOTE)
    lines += [f"left out: {one}" for one in request.left_out]
    lines.append("server CPU and memory: n/a, c10k drive does not see the server's processes")
    return "\n".join(lines)


def _row(cell: dict[str, Any]) -> tuple[str, ...]:
    from harness.analysis import wording
    from harness.report.sections.anchors import status_word

    latency, mark = cell["latency_us"] or {}, "*" if _is_closed(cell) else ""
    p50, p99 = (
        wording.latency(latency[name]).text + mark if latency else NONE for name in ("p50", "p99")
    )
    has_window = cell["window_s"] and cell["scenario"] != "ramp"
    return (
        cell["scenario"],
        f"{cell['connections_requested']:,}",
        f"{cell['connections_established_min']:,}",
        wording.rate(cell["echoes_per_s"]).text if has_window else NONE,
        *(p50, p99, NOT_SEEN, status_word(cell["status"])),
    )


def _is_closed(cell: dict[str, Any]) -> bool:
    return bool(cell["latency_us"]) and not cell["rate_offered_per_s"]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)

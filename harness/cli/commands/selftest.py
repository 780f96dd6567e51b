"""`c10k selftest`: check whether the load generator is reliable on this host."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.report import draw

if TYPE_CHECKING:
    from harness.gates.generator_fitness import Row, Selftest

BUILD_S = 900.0
WIDTH = 100
COLOURS = {"pass": "green", "fail": "red"}


@click.command()
@options.backend
@options.json
def selftest(backend: str, as_json: bool) -> int:
    """Check the load generator against a server whose faults are known.

    Runs where a campaign's load runs. Takes about 10 s and writes nothing.

    \b
    c10k selftest                      in a container, as campaigns do by default
    c10k selftest --backend process    without Docker
    """
    from harness.campaign import generator_proof, launch
    from harness.host import cpus, lock
    from harness.host.interrupt import watched

    with watched(), lock.held(f"c10k selftest in {Path.cwd()}"):
        opened = launch.backend_named(backend)
        opened.sweep()
        split = cpus.split(cpus.cores_of(os.sched_getaffinity(0)), 1)
        opened.prepare_load(BUILD_S)
        cpus.keep_to(split.load)
        proved = generator_proof.prove(opened, split, "selftest")
    told = {"schema": 1, "backend": opened.name, **proved.as_json()}
    click.echo(draw.as_json(told) if as_json else _text(proved))
    return Exit.OK if proved.passed else Exit.HOST_NOT_FIT


def _text(proved: Selftest) -> str:
    failed = sum(row.verdict == "fail" for row in proved.rows)
    ending = "the generator is reliable on this host"
    if failed:
        ending = f"{failed} failed: find the reason before you measure; is the host busy?"
    lines = [line for row in proved.rows for line in _lines(row)]
    passed = len(proved.rows) - failed
    lines.append(f"{passed} of {len(proved.rows)} passed in {proved.duration_s:.0f} s: {ending}")
    return "\n".join(lines)


def _lines(row: Row) -> list[str]:
    verdict = click.style(row.verdict, fg=COLOURS[row.verdict])
    told = f"{row.observed} (bound: {row.bound}; {row.source}; proves: {row.proves})"
    indent = " " * 6
    wrapped = textwrap.wrap(told, WIDTH, initial_indent=indent, subsequent_indent=indent)
    return [f"{verdict}  {row.title}", *wrapped]

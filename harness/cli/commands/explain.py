"""`c10k explain`: explain a code or a term, and what to do about it."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Any

import click

from harness.cli.commands import options
from harness.contract.errors import Exit, UsageError
from harness.report import draw
from harness.variants import strict_toml

WIDTH = 100
INDENT = "    "


def _complete_code(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from harness.cli.explanations import explanations

    return [one.code for one in explanations() if one.code.startswith(incomplete)]


@click.command()
@click.argument("code", nargs=-1, metavar="[CODE]", shell_complete=_complete_code)
@options.json
def explain(code: tuple[str, ...], as_json: bool) -> int:
    """Explain CODE, a code or a term of the glossary. Without CODE, list all of them.

    \b
    c10k explain C110             a problem of a variant.toml
    c10k explain T5               a conformance check
    c10k explain nonconforming    how a trial ended
    c10k explain closed loop      a term of the glossary
    """
    from harness.cli import explanations

    asked = " ".join(code)
    found = explanations.explain(asked) if asked else list(explanations.explanations())
    if not found:
        known = [one.code for one in explanations.explanations()]
        raise UsageError(
            f"no code or term `{asked}`{strict_toml.nearest(asked, known)}",
            hint="`c10k explain` lists all of them.",
        )
    if as_json:
        click.echo(draw.as_json({"schema": 1, "codes": [asdict(one) for one in found]}))
    elif not asked:
        width = max(len(one.code) for one in found)
        for one in found:
            click.echo(f"{one.code:{width}}  {one.title}")
    else:
        click.echo("\n".join(map(_told, found)))
    return Exit.OK


def _told(one: Any) -> str:
    text = textwrap.fill(one.text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    return f"{one.code} ({one.kind}): {one.title}\n{text}"

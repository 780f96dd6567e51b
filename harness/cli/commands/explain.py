"""`c10k explain`: explain a code and what to do about it."""

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
@click.argument("code", required=False, shell_complete=_complete_code)
@options.json
def explain(code: str | None, as_json: bool) -> int:
    """Explain CODE and what to do about it. Without CODE, list all codes.

    \b
    c10k explain C110             a problem of a variant.toml
    c10k explain T5               a conformance check
    c10k explain nonconforming    how a trial ended
    """
    from harness.cli import explanations

    if code is None:
        found = list(explanations.explanations())
    else:
        found = explanations.explain(code)
        if not found:
            known = [one.code for one in explanations.explanations()]
            raise UsageError(
                f"no code `{code}`{strict_toml.nearest(code, known)}",
                hint="`c10k explain` lists all codes.",
            )
    if as_json:
        click.echo(draw.as_json({"schema": 1, "codes": [asdict(one) for one in found]}))
    elif code is None:
        for one in found:
            click.echo(f"{one.code:18} {one.title}")
    else:
        click.echo("\n".join(map(_told, found)))
    return Exit.OK


def _told(one: Any) -> str:
    text = textwrap.fill(one.text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    return f"{one.code} ({one.kind}): {one.title}\n{text}"

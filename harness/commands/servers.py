"""`c10k servers`: list the variants."""

from __future__ import annotations

from pathlib import Path

import click

from harness import draw, variants
from harness.commands import options
from harness.errors import Exit


@click.command()
@options.servers_dir
@options.json
def servers(servers_dir: Path, as_json: bool) -> int:
    """List the variants."""
    found = variants.discover(servers_dir)
    if as_json:
        listed = [{"name": v.name, **v.file.model_dump(mode="json")} for v in found]
        click.echo(draw.as_json({"schema": 1, "servers": listed}))
        return Exit.OK
    width = max(len(variant.name) for variant in found)
    for variant in found:
        status = "" if variant.file.status == "stable" else f" [{variant.file.status}]"
        click.echo(
            f"{variant.name:{width}}  {variant.file.language:8} {variant.file.title}{status}"
        )
    return Exit.OK

"""`c10k servers`: list the variants, each with its group, and the groups."""

from __future__ import annotations

from pathlib import Path

import click

from harness import draw, groups, variants
from harness.commands import options
from harness.errors import Exit


@click.command()
@options.servers_dir
@options.json
def servers(servers_dir: Path, as_json: bool) -> int:
    """List the variants and their groups."""
    found = variants.discover(servers_dir)
    grouped = groups.members(found)
    if as_json:
        click.echo(draw.as_json(_document(found, grouped)))
        return Exit.OK
    width = max(len(variant.name) for variant in found)
    wide = max(map(len, grouped))
    for variant in found:
        file = variant.file
        status = "" if file.status == "stable" else f" [{file.status}]"
        group = groups.of(file).name
        click.echo(
            f"{variant.name:{width}}  {group:{wide}}  {file.language:10}  {file.title}{status}"
        )
    click.echo(
        f"\nGroups, for `--servers` and `c10k check`; `{groups.ALL}` stands for all servers:"
    )
    for row in groups.GROUPS:
        if row.name in grouped:
            click.echo(f"  {row.name:{wide}}  {row.title} ({len(grouped[row.name])})")
    return Exit.OK


def _document(
    found: list[variants.Variant], grouped: dict[str, list[variants.Variant]]
) -> dict[str, object]:
    listed = [
        {"name": one.name, "group": groups.of(one.file).name, **one.file.model_dump(mode="json")}
        for one in found
    ]
    titles = {group.name: group.title for group in groups.GROUPS}
    rows = [
        {"name": name, "title": titles[name], "servers": [one.name for one in ones]}
        for name, ones in grouped.items()
    ]
    return {"schema": 1, "servers": listed, "groups": rows}

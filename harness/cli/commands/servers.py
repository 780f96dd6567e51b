"""`c10k servers`: list the servers with their groups, and the groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.report import draw
from harness.variants import groups, variant_files


@click.command()
@options.servers_dir
@options.json
def servers(servers_dir: Path, as_json: bool) -> int:
    """List the servers and their groups. Standard error has the mistakes of broken ones."""
    survey = variant_files.survey(servers_dir)
    grouped = groups.members(survey.variants)
    if as_json:
        click.echo(draw.as_json(_document(survey, grouped)))
    elif survey.variants:
        _list(survey.variants, grouped)
    survey.require(survey.broken)
    return Exit.OK


def _list(
    found: Sequence[variant_files.Variant], grouped: Mapping[str, Sequence[variant_files.Variant]]
) -> None:
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
        f"\nGroups, for `--servers` and `c10k check`; `{variant_files.ALL}` means all servers:"
    )
    for row in groups.GROUPS:
        if row.name in grouped:
            click.echo(f"  {row.name:{wide}}  {row.title} ({len(grouped[row.name])})")


def _document(
    survey: variant_files.Survey, grouped: Mapping[str, Sequence[variant_files.Variant]]
) -> dict[str, object]:
    listed = [
        {"name": one.name, "group": groups.of(one.file).name, **one.file.model_dump(mode="json")}
        for one in survey.variants
    ]
    titles = {group.name: group.title for group in groups.GROUPS}
    rows = [
        {"name": name, "title": titles[name], "servers": [one.name for one in ones]}
        for name, ones in grouped.items()
    ]
    broken = [
        {"name": name, "problems": list(map(str, problems))}
        for name, problems in survey.broken.items()
    ]
    return {"schema": 1, "servers": listed, "groups": rows, "broken": broken}

"""`c10k completion`: print the script with which a shell completes the arguments of c10k."""

from __future__ import annotations

import click

from harness.cli import completion_scripts
from harness.contract.errors import Exit


@click.command()
@click.argument("shell", type=click.Choice(list(completion_scripts.SCRIPTS)))
def completion(shell: str) -> int:
    """Print the script with which SHELL completes commands, servers, profiles and campaigns.

    \b
    eval "$(c10k completion bash)"    in ~/.bashrc
    eval "$(c10k completion zsh)"     in ~/.zshrc, after compinit
    c10k completion fish | source     in ~/.config/fish/config.fish
    """
    click.echo(completion_scripts.SCRIPTS[shell], nl=False)
    return Exit.OK

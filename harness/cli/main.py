"""Run the command line, and turn each error into one message and an exit code.

The commands are in `harness/cli/commands`. Standard output has data and progress. Standard error
has errors.
"""

from __future__ import annotations

from harness.cli import early  # first: the other imports take 0.1 s

# isort: split
import functools
import importlib
import io
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from harness.cli import output
from harness.contract.errors import (
    EXIT_MEANINGS,
    C10kError,
    Exit,
    Interrupted,
    UsageError,
    ending,
    lacking,
)
from harness.contract.printable import plain
from harness.host import headroom

# Each is in the module of its name in harness/cli/commands, which is imported when the command is
# called: `c10k --help` must not wait for all of these imports.
SECTIONS = {
    "Measure": {
        "doctor": "Check whether this host holds N connections",
        "selftest": "Check the load generator on this host",
        "run": "Run a campaign and draw its report",
        "drive": "Measure an echo server that already runs",
        "clean": "Remove what a killed campaign left behind",
    },
    "Inspect": {
        "list": "List the campaigns with their verdicts",
        "open": "Open a report in a browser",
        "report": "Draw a report again, or print it",
        "compare": "Show what changed between two campaigns",
        "explain": "Explain a code or a term",
    },
    "Extend": {
        "servers": "List the servers and their groups",
        "new": "Make your own server from one that works",
        "check": "Check that servers keep the contract",
    },
    "Set up": {
        "completion": "Print a script that completes arguments",
        "launch": "Start a command as Docker Compose does",
    },
}
COMMANDS = {name: text for section in SECTIONS.values() for name, text in section.items()}
PROGRAM = "c10k"
EXIT_CODES = "Exit codes: " + " · ".join(
    f"{code.value} {meaning}" for code, meaning in EXIT_MEANINGS.items()
)


class Commands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name and return it; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"harness.cli.commands.{cmd_name}")
        command: click.Command = vars(module).get(cmd_name) or vars(module)[f"{cmd_name}_"]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, without importing them."""
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", text) for name, text in section.items()])


# Commands that neither load NumPy nor start a process: they work under any limit.
FRUGAL = frozenset({"clean", "completion", "doctor", "explain", "launch", "servers"})


def _print_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"{PROGRAM} {version(PROGRAM)}")
        context.exit()


@click.group(
    cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Compare server architectures at 10,000 connections.

    \b
    c10k doctor                       is this host fit for 10,000 connections?
    c10k run --profile smoke          does everything run? (one minute)
    c10k run --servers poll,epoll-lt  compare two of them
    c10k open                         open the latest report in a browser
    c10k compare A B                  show what changed between two campaigns
    """
    _require_directory()
    if context.invoked_subcommand not in FRUGAL:
        headroom.require_imports()


def _require_directory() -> None:
    """Raise UsageError if the current directory was removed: relative paths need it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError(
            "the current directory was removed", hint="`cd` to a directory that exists."
        ) from None


def main() -> NoReturn:
    """Run the command, and turn an error into one message and the documented exit code.

    The last line explains a code other than 0, because `make` adds only "Error 4" below it, and
    Compose only "exited with code 4".
    """
    output.make_safe()
    code = _exit_code(functools.partial(cli.main, prog_name=PROGRAM, standalone_mode=False))
    early.end_at_once()
    if (lost := output.lost()) and not code:
        _complain(
            f"standard output accepts no more data: {lost.strerror}",
            "The printed text is not complete.",
        )
        code = Exit.HOST_NOT_FIT
    if code:
        click.echo(ending(code), err=True)
    sys.exit(code)


def _exit_code(call: Callable[[], Any]) -> int:
    try:
        early.raise_again()
        code = call()
    except (C10kError, Interrupted) as error:
        _complain(error.message, error.hint)
        for note in getattr(error, "__notes__", []):
            click.echo(plain(note), err=True)
        log = getattr(error, "log", "")
        if log:
            click.echo(plain(log), err=True)
        if error.report:
            click.echo(f"report: {error.report}", err=True)
        return error.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(plain(shown.getvalue()), err=True, nl=False)
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except Exception as error:
        if told := lacking(error):
            _complain(*told)
            return Exit.HOST_NOT_FIT
        traceback.print_exc()
        _complain("this is a bug in c10k", "Please report it with the lines above.")
        return Exit.BUG
    return int(code or 0)


def _complain(message: str, hint: str) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + plain(message), err=True)
    if hint:
        click.echo(click.style("hint:  ", bold=True) + plain(hint), err=True)

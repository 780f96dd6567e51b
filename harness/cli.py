"""The command line: one group, one place where an error becomes a message and an exit code.

The commands are in `harness/commands`. Standard output carries data and progress, standard error
what went wrong.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click

from harness import output
from harness.commands.check import check
from harness.commands.clean import clean
from harness.commands.compare import compare
from harness.commands.doctor import doctor
from harness.commands.drive import drive
from harness.commands.explain import explain
from harness.commands.new import new
from harness.commands.report import report
from harness.commands.run import run
from harness.commands.selftest import selftest
from harness.commands.servers import servers
from harness.commands.version import version
from harness.errors import EXIT_MEANINGS, C10kError, Exit, ending, lacking

COMMANDS = (
    doctor,
    selftest,
    run,
    drive,
    servers,
    check,
    new,
    explain,
    report,
    compare,
    clean,
    version,
)
EXIT_CODES = "Exit codes: " + " · ".join(
    f"{code.value} {meaning}" for code, meaning in EXIT_MEANINGS.items()
)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Compare server architectures at 10,000 connections.

    \b
    c10k doctor                       is this host fit for 10,000 connections?
    c10k run --profile smoke          does everything run? (one minute)
    c10k run --servers poll,epoll-lt  compare two of them
    c10k report CAMPAIGN              draw a report again from its data
    c10k compare A B                  say what changed between two campaigns
    """


for command in COMMANDS:
    cli.add_command(command)


def main() -> NoReturn:
    """Entry point: turns errors into one message and the documented exit code.

    The last line says what a code other than 0 means: `make` adds its own "Error 4" below it, and
    Compose its own "exited with code 4".
    """
    output.make_safe()
    code = _exit_code(functools.partial(cli.main, standalone_mode=False))
    if (lost := output.lost()) and not code:
        _complain(f"standard output takes no more: {lost.strerror}", "Its text is not complete.")
        code = Exit.HOST_NOT_FIT
    if code:
        click.echo(ending(code), err=True)
    sys.exit(code)


def _exit_code(call: Callable[[], Any]) -> int:
    try:
        code = call()
    except C10kError as error:
        _complain(error.message, error.hint)
        for note in getattr(error, "__notes__", []):
            click.echo(note, err=True)
        log = getattr(error, "log", "")
        if log:
            click.echo(log, err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
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
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(click.style("hint:  ", bold=True) + hint, err=True)


if __name__ == "__main__":
    main()

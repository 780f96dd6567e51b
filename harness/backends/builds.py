"""Run the build commands of servers without Docker. Several threads may build at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from harness.backends.base import tail, told_runtime
from harness.conformance.suite_results import how
from harness.contract.errors import LACKS, ServerFault
from harness.contract.statuses import FailureCode
from harness.host import interrupt
from harness.host.bounded_output import WrittenPipe
from harness.variants.variant_files import Variant

# How often a build checks whether it must stop.
LOOK_S = 0.2


def make_directory(build: Sequence[str], directory: Path) -> Path:
    """The directory that a build command writes to: the one of `make -C`, or `directory`.

    Two runs of `make` in one directory would both build the objects that their programs share, and
    write the same files.
    """
    options = [Path(build[at + 1]) for at, word in enumerate(build[:-1]) if word == "-C"]
    if build and Path(build[0]).name == "make" and options:
        return (directory / options[0]).resolve()
    return directory


def build(name: str, command: Sequence[str], directory: Path, timeout_s: float) -> None:
    """Run the build command of the server `name` to its end.

    Raises:
        ServerFault: the command fails, or takes too long.
        Interrupted: this thread must stop. No process of the build survives.
    """
    try:
        code, output = _ran(command, directory, timeout_s, stderr=subprocess.STDOUT)
    except OSError as error:
        if error.errno in LACKS:  # the host lacks something: not the server's fault
            raise
        raise ServerFault(
            f"{name}: cannot start the build command `{command[0]}`: {error.strerror}",
            code=FailureCode.BUILD_FAILED,
            hint=f"Is {command[0]} installed?",
        ) from None
    except subprocess.TimeoutExpired as error:
        raise ServerFault(
            f"{name}: the build took longer than {timeout_s:.0f} s",
            code=FailureCode.BUILD_FAILED,
            log=tail(error.output),
        ) from None
    if code != 0:
        raise ServerFault(
            f"{name}: `{' '.join(command)}` in {directory}: {how(code)}",
            code=FailureCode.BUILD_FAILED,
            log=tail(output),
        )


def require_program(name: str, command: Sequence[str], directory: Path) -> None:
    """Make sure that the program of a server's command can start.

    Raises:
        ServerFault: no such program exists.
    """
    program = command[0]
    # A name with a slash is a path relative to the directory in which the server starts
    where = directory / program if "/" in program else shutil.which(program)
    if where is not None and os.access(where, os.X_OK) and not Path(where).is_dir():
        return
    is_there = where is not None and Path(where).is_file()
    lacks = "is not executable" if is_there else f"is not on PATH, nor a path below {directory}"
    hint = f"Install it, or build it: `{program}` is the first word of `[process] command`."
    if is_there:
        hint = f"chmod +x {where}"
    elif len(words := program.split()) > 1:
        hint = f"Make each word an element: command = {json.dumps(words)}"
    raise ServerFault(
        f"{name}: its command `{program}` {lacks}", code=FailureCode.NOT_STARTED, hint=hint
    )


def runtime_of(variant: Variant, timeout_s: float) -> str:
    """The runtime that the server prints for `--version`, started as in a trial.

    Raises:
        ServerFault: it prints none.
        Interrupted: this thread must stop.
    """
    assert variant.file.process is not None  # noqa: S101 (prepare() made sure)
    command = [*variant.file.process.command, "--version"]
    shown = " ".join(command)
    try:
        code, output = _ran(command, variant.directory, timeout_s, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerFault(
            f"{variant.name}: `{shown}` does not print its runtime: {error}",
            code=FailureCode.BUILD_FAILED,
        ) from None
    if code != 0:
        raise ServerFault(
            f"{variant.name}: `{shown}` does not print its runtime: {how(code)}",
            code=FailureCode.BUILD_FAILED,
        )
    return told_runtime(variant, output)


def _ran(
    command: Sequence[str], directory: Path, timeout_s: float, *, stderr: int
) -> tuple[int, str]:
    """Run a command; return exit code and end of its output. No process of its session survives."""
    with contextlib.closing(WrittenPipe()) as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output.writer,
                stderr=stderr,
                start_new_session=True,
            )
        finally:
            output.close_writer()
        last_s = time.monotonic() + timeout_s
        try:
            while True:
                interrupt.require_going()
                left_s = last_s - time.monotonic()
                try:
                    return process.wait(timeout=max(0.0, min(LOOK_S, left_s))), output.text
                except subprocess.TimeoutExpired as error:
                    if left_s <= 0:
                        error.output = output.text
                        raise
        finally:
            # The compilers that make started, if make was killed
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

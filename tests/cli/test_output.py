"""What becomes of a command whose standard output, or its encoding, takes less than it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.contract.errors import Exit

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "harness.cli")
# Its help has an ellipsis and a middle dot
HELP = (*COMMAND, "run", "--help")


def told(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's redirection around a command: `"$@"` is the command."""
    return subprocess.run(
        ["sh", "-c", script, "sh", *(arguments or (*COMMAND, "servers"))],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_output_that_a_full_disk_does_not_take_is_one_sentence_and_exit_code_3() -> None:
    done = told('"$@" >/dev/full')

    assert done.returncode == Exit.HOST_NOT_FIT
    assert "standard output accepts no more data: No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 3, done.stderr


def test_a_command_that_cannot_say_what_is_wrong_still_ends_with_its_code() -> None:
    done = told('"$@" 2>/dev/full', *COMMAND, "report", "no-such-campaign")

    assert done.returncode == Exit.USAGE, done.stdout


def test_a_reader_that_had_enough_is_no_error() -> None:
    done = told('{ "$@"; echo "ended with $?" >&2; } | head -c 1 >/dev/null; sleep 0')

    assert done.stderr.splitlines()[-1] == "ended with 0"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_no_error(redirection: str) -> None:
    done = told(f'"$@" {redirection}')

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "iso-8859-1", "utf-8"])
def test_a_character_that_the_terminal_lacks_ends_nothing(encoding: str) -> None:
    done = told('"$@"', *HELP, PYTHONIOENCODING=encoding)

    assert done.returncode == 0, done.stderr
    assert "--resume CAMPAIGN" in done.stdout


def test_a_name_that_is_no_utf_8_is_told_as_any_other() -> None:
    done = subprocess.run(
        [*COMMAND, "report", b"caf\xe9"], cwd=ROOT, capture_output=True, timeout=60
    )

    assert done.returncode == Exit.USAGE
    assert b"no campaign `caf\\udce9`" in done.stderr

"""How the harness waits for a server that is on its way, and in what words one ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from harness.backends import base, builds, images
from harness.backends.base import Event, LoadSilent, OpenTrial, ServerExit, await_event
from harness.contract.errors import ServerFault
from harness.load.__main__ import EXIT_USAGE

READY: Event = {"event": "ready"}


class Opened:
    """A trial whose load says `events` (None: nothing in time), and whose server may have ended."""

    def __init__(self, *events: Event | None, end: ServerExit | None = None) -> None:
        self.events = list(events)
        self.end = end
        self.waits_s: list[float] = []

    def ended(self) -> ServerExit | None:
        return self.end

    def next_event(self, timeout_s: float) -> Event | None:
        self.waits_s.append(timeout_s)
        event = self.events.pop(0) if self.events else None
        if event is None:
            raise LoadSilent(timeout_s)
        return event


def following(opened: Opened, timeout_s: float, *, coming: bool) -> Event | None:
    return await_event(cast(OpenTrial, opened), timeout_s, coming=coming)


def test_a_server_that_ended_before_it_was_ready_is_waited_for_no_longer() -> None:
    opened = Opened(end=ServerExit(3, ""))

    with pytest.raises(ServerFault, match=r"^it exited with 3 before it was ready$") as fault:
        following(opened, 60, coming=True)

    assert fault.value.code == "not-ready"
    assert opened.waits_s == [base.LOOK_AGAIN_S]


def test_the_last_words_of_a_server_that_ended_are_told_with_its_end() -> None:
    opened = Opened(end=ServerExit(1, "loading\nno /etc/mine.conf\n"))

    with pytest.raises(ServerFault, match=r"exited with 1 before it was ready: no /etc/mine.conf$"):
        following(opened, 60, coming=True)


def test_what_the_load_says_of_a_server_that_ended_comes_first() -> None:
    assert following(Opened(READY, end=ServerExit(3, "")), 60, coming=True) == READY


def test_a_server_that_is_ready_may_end_when_it_likes() -> None:
    opened = Opened(end=ServerExit(0, ""))

    with pytest.raises(LoadSilent):
        following(opened, 60, coming=False)

    assert opened.waits_s == [60]


def test_a_server_that_takes_its_time_is_waited_for() -> None:
    assert following(Opened(None, None, READY), 60, coming=True) == READY


def test_a_load_that_says_nothing_is_told_with_all_the_time_it_had() -> None:
    with pytest.raises(LoadSilent, match="sent no event for 0 s"):
        following(Opened(), 0.0, coming=True)
    with pytest.raises(LoadSilent, match="sent no event for 7 s"):
        following(Opened(), 7, coming=False)


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (0, "it exited with 0"),
        (1, "it exited with 1"),
        (-11, "it was ended by SIGSEGV"),
        (139, "it was ended by SIGSEGV"),
        (-9, "it was killed"),
        (137, "it was killed"),
        (255, "it exited with 255"),
        (-15, "it was ended by SIGTERM"),
        (127, "it exited with 127 (command not found)"),
        (None, "it was killed"),
    ],
)
def test_an_end_is_told_in_the_same_words_in_both_backends(
    exit_code: int | None, words: str
) -> None:
    assert ServerExit(exit_code, "").how == words


@pytest.mark.parametrize(
    ("config", "program"),
    [
        ({"Entrypoint": ["/server"]}, "/server"),
        ({"Entrypoint": None, "Cmd": ["python3", "server.py"]}, "python3"),
        ({"Entrypoint": ["/server"], "Cmd": ["--verbose"]}, "/server"),
        ({}, ""),
    ],
)
def test_what_an_image_starts_is_told_by_what_of_its_configuration_is_there(
    config: dict[str, list[str] | None], program: str
) -> None:
    assert images.program_of(config) == program


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("no-such-compiler", "it exited with 127 (command not found)"),
        ("kill -TERM $$", "it was ended by SIGTERM"),
    ],
)
def test_the_end_of_a_build_is_told_in_words(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(ServerFault, match=re.escape(f"in {tmp_path}: {words}")):
        builds.build("mine", ["sh", "-c", script], tmp_path, 60)


def test_an_escape_sequence_of_a_build_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    with pytest.raises(ServerFault) as fault:
        builds.build("mine", ["sh", "-c", r"printf '\033[31mred'; exit 1"], tmp_path, 60)

    assert fault.value.log == "�[31mred"


def test_sigint_while_python_starts_is_no_failure_of_the_program() -> None:
    codes = set()
    for step in range(30):
        load = subprocess.Popen(
            base.command_of(sys.executable, "harness.load"),
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.005 + 0.002 * step)  # Python's own start takes 20 to 50 ms
        load.send_signal(signal.SIGINT)
        codes.add(load.wait(60))

    assert codes <= {EXIT_USAGE, -signal.SIGINT}  # without a task it ends at once

"""Progress: where a campaign is, and the question that a person answers, on a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from harness.campaign.progress import Place, describe

ASK = """
import sys
from harness.campaign.progress import choose
with choose(as_json=False) as display:
    print("answer:", display.confirm("Go on?"), flush=True)
"""


def asked(answer: bytes | None) -> str:
    """What a terminal shows that answers that; None: standard input is none."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ASK],
        stdin=subprocess.DEVNULL if answer is None else theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    is_answered = answer is None
    try:
        while piece := os.read(ours, 4096):
            shown += piece
            if not is_answered and b"[y/N]" in shown:
                os.write(ours, answer or b"")
                is_answered = True
    except OSError:  # Linux: no process has the other end open
        pass
    finally:
        os.close(ours)
    assert process.wait(30) == 0, shown
    return shown.decode()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(b"y\n", True), (b"Yes\n", True), (b"n\n", False), (b"\n", False), (b"\x04", False)],
)
def test_a_terminal_asks_and_goes_on_at_a_yes_only(answer: bytes, expected: bool) -> None:
    shown = asked(answer)

    assert "Go on? [y/N]" in shown
    assert f"answer: {expected}" in shown


def test_where_nobody_can_answer_nothing_is_asked_and_it_is_a_no() -> None:
    shown = asked(None)

    assert "[y/N]" not in shown
    assert "answer: False" in shown


def test_a_line_of_trials_that_run_together_names_their_wave() -> None:
    facts = {"index": 4, "of": 12, "beside": 3, "variant": "a, b, c", "left": "about 9 s"}

    told = [describe("trial", facts | {"wave": wave}) for wave in (0, 2)]

    assert told == [
        "trials 4-6/12, side by side: a, b, c, about 9 s left",
        "trials 4-6/12, wave 2, side by side: a, b, c, about 9 s left",
    ]


def test_each_group_of_trials_has_its_own_number_of_cells() -> None:
    """A scenario with `blocks` has no cell in the later blocks."""
    place = Place()
    shown = []
    for index, cells in ((1, 9), (3, 4)):
        place.see("trial", {"index": index, "of": 4, "beside": 2, "left": "1 min"})
        shown.append(place.cell(ahead=1))
        place.see("progress", {"of": cells})
        place.see("cell", {})
        shown.append(place.cell())

    assert shown == ["cell 1", "cell 1/18", "cell 1", "cell 1/8"]

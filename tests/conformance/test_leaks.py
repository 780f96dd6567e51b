"""When memory that grew is a leak, and when it is what a runtime has not collected yet."""

from __future__ import annotations

from itertools import accumulate

import pytest

from harness.conformance.resources import GARBAGE_BYTES, LEAK_BYTES, keeps_memory

START_BYTES = 50 << 20
STEP_BYTES = LEAK_BYTES + 1


def grown(*steps_bytes: int) -> list[int]:
    return list(accumulate(steps_bytes, initial=START_BYTES))


@pytest.mark.parametrize(
    ("readings", "keeps"),
    [
        (grown(), True),
        (grown(0), False),
        (grown(LEAK_BYTES), False),
        (grown(STEP_BYTES), True),
        (grown(*[STEP_BYTES] * 11), True),
        (grown(*[STEP_BYTES] * 11, 0), False),
        (grown(GARBAGE_BYTES + 1, 0), True),
        (grown(GARBAGE_BYTES + 1, -STEP_BYTES), False),
        (grown(-STEP_BYTES), False),
    ],
    ids=[
        "one reading tells nothing",
        "as it was",
        "a little",
        "more",
        "more in every round",
        "until it is collected",
        "more than any garbage",
        "all that garbage is collected",
        "less",
    ],
)
def test_a_leak_grows_on_and_garbage_does_not(readings: list[int], keeps: bool) -> None:
    assert keeps_memory(readings) is keeps

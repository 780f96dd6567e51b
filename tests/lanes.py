"""Let a test that measures time run alone, where other tests run next to it.

`C10K_LANES` names a file that all test processes of one run share. Without it there is one process.
A test marked `timing` waits for the tests that run in other processes; no other test starts until
it has ended. Its module's fixtures, which the first test of a module sets up, are part of that.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LANES = "C10K_LANES"


@contextmanager
def lane(*, alone: bool) -> Iterator[None]:
    """Hold the run's lock: exclusively where `alone`, else together with all that share it.

    flock(2) lets a process that asks again overtake one that waits for the exclusive lock. So each
    takes a turnstile first, which a waiting process keeps closed behind it.
    """
    path = os.environ.get(LANES)
    if not path:
        yield
        return
    with Path(f"{path}.next").open("w") as turnstile, Path(path).open("w") as lock:
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(turnstile, fcntl.LOCK_UN)
        yield

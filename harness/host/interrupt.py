"""End a campaign cleanly on SIGINT, SIGTERM or SIGHUP; a second signal ends it at once.

The first signal raises `Interrupted` in the main thread. Inside `shielded()` it waits, so that
removing what a trial started and writing to the store finish first. A second signal may leave
containers or processes; the next start finds them by label.

Python runs signal handlers in the main thread only. Other threads
(harness/campaign/worker_pool.py) check from time to time whether to stop, so shields do not affect
them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from harness.contract.errors import Exit, Interrupted

# SIGHUP: the terminal, or the connection to it, is gone. `nohup` ignores it, and it stays ignored.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    told = ""
    shields = 0
    pending: int | None = None
    seen = False
    stopping = threading.Event()


@contextmanager
def watched(told: str = "results so far are saved") -> Iterator[None]:
    """Turn the signals into `Interrupted` while the block runs; ignored ones stay ignored.

    `told` is the text about the state of the work, printed when a signal arrives.
    """
    _State.told = told
    _State.shields, _State.pending, _State.seen = 0, None, False
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """Let the block finish before a signal interrupts."""
    if not is_main():
        yield
        return
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1
    if _State.pending is not None and not _State.shields:
        number, _State.pending = _State.pending, None
        raise _interrupted(number)


@contextmanager
def workers_stopped() -> Iterator[None]:
    """Stop all threads but the main one at their next check, while the block waits for them."""
    _State.stopping.set()
    try:
        yield
    finally:
        _State.stopping.clear()


def require_going() -> None:
    """Raise Interrupted in a worker thread that must stop; the main thread gets signals instead."""
    if _State.stopping.is_set() and not is_main():
        raise Interrupted("stopped with all other work")


def is_main() -> bool:
    """Whether this is the main thread."""
    return threading.current_thread() is threading.main_thread()


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.seen:
        _tell("c10k: stopped at once; the next start removes what is left")
        os._exit(Exit.INTERRUPTED)
    _State.seen = True
    _tell(f"\nc10k: stopping; {_State.told}")
    if _State.shields:
        _State.pending = number
        return
    raise _interrupted(number)


def _tell(text: str) -> None:
    """Write to descriptor 2, not sys.stderr, which the signal may have interrupted.

    The terminal may be gone.
    """
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())


def _interrupted(number: int) -> Interrupted:
    return Interrupted(f"interrupted by {signal.Signals(number).name}")

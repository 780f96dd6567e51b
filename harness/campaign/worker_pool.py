"""Work on several servers at once where nothing is timed, and stop all of it at a signal.

Rule 1: the main thread alone stores, prints and hears signals. Each result goes to it.
Rule 2: when the main thread is interrupted, or fails, every worker stops at its next look
(`interrupt.require_going`), and its clean-up ends before the error goes on.
Rule 3: items of one place share files. One of them runs alone until one has succeeded: it makes
what the others find ready.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Generator, Hashable, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.contract.errors import ServerFault
from harness.host import interrupt
from harness.host.cpus import keep_to

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Done(Generic[Item, Result]):
    """What came of one item: a result, or the server's fault; with the times of the work.

    `start_s` and `end_s` are of `time.monotonic`.
    """

    item: Item
    result: Result | ServerFault
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """How long the work took."""
        return self.end_s - self.start_s


def each(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    at_once: int,
    place: Callable[[Item], Hashable] = id,
    begin: Callable[[Item], None] = lambda _: None,
    cpus: Collection[int] = (),
) -> Generator[Done[Item, Result]]:
    """Do the work on each item, at most `at_once` at a time, and yield each end as it comes.

    One at a time is done in the main thread. Close the iterator (`contextlib.closing`): an error
    while a result is looked at ends the other work only then.

    Args:
        place: items of equal places share files.
        begin: is called in the main thread when the work on an item begins.
        cpus: what the work may run on; without them on what the main thread may. The main thread
            is on them only while it works.

    Raises:
        Interrupted: by a signal, when no work is left.
    """
    if at_once == 1 or len(items) == 1:
        for item in items:
            begin(item)
            with _confined(cpus):
                done = _done(item, work)
            yield done
        return
    waiting, opened = list(items), set[Hashable]()
    running: dict[futures.Future[Done[Item, Result]], Hashable] = {}
    executor = futures.ThreadPoolExecutor(at_once, initializer=_confine, initargs=(cpus,))
    try:
        while waiting or running:
            free = at_once - len(running)
            for item in startable(waiting, place, opened, running.values())[:free]:
                waiting.remove(item)
                begin(item)
                running[executor.submit(_done, item, work)] = place(item)
            for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                where, done = running.pop(future), future.result()
                if not isinstance(done.result, ServerFault):
                    opened.add(where)
                yield done
    finally:
        with interrupt.shielded(), interrupt.workers_stopped():
            executor.shutdown(wait=True, cancel_futures=True)


def startable(
    waiting: Sequence[Item],
    place: Callable[[Item], Hashable],
    opened: Collection[Hashable],
    running: Collection[Hashable],
) -> list[Item]:
    """Those that may begin now: of a place where none has succeeded, one at a time. Pure."""
    taken = set(running)
    found = []
    for item in waiting:
        where = place(item)
        if where in opened or where not in taken:
            found.append(item)
            taken.add(where)
    return found


def _done(item: Item, work: Callable[[Item], Result]) -> Done[Item, Result]:
    start_s = time.monotonic()
    result: Result | ServerFault
    try:
        result = work(item)
    except ServerFault as fault:
        result = fault
    return Done(item, result, start_s, time.monotonic())


@contextlib.contextmanager
def _confined(cpus: Collection[int]) -> Generator[None]:
    """Confine this thread, and all processes that it starts, until the end."""
    before = os.sched_getaffinity(0)
    _confine(cpus)
    try:
        yield
    finally:
        keep_to(before)


def _confine(cpus: Collection[int]) -> None:
    """Of this thread, and of all processes that it starts."""
    if cpus:
        keep_to(cpus)

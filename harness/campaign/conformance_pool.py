"""Check several servers at once, without a weaker verdict.

Rule 1: suites on different cores run side by side. Suites on the same cores take turns: one check
is at work at a time, and only idles overlap (harness/conformance/cpu_turns.py).
Rule 2: a verdict counts only if its server passed, and every server beside it on the same cores
did. A server that spins, for one, would be on the CPU while another one is measured. All others are
checked again, one at a time, with nothing beside them, and only that counts.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field

from harness.backends.base import Backend, Prepared
from harness.campaign import worker_pool
from harness.campaign.conformance_run import Verdict, judge
from harness.campaign.suite_turn import Turn
from harness.contract.errors import ServerFault
from harness.contract.suite_spec import Subset
from harness.gates.server_faults import NOT_AVAILABLE
from harness.host.cpus import CpuSplit, keep_to

# Suites that share their cores. On two cores four servers took 53 s in turns and 55 s one by one
# through the quick checks, which hardly idle; the full ones idle for 30 s. A server that spins
# beside two others has a third of its CPU, and the checks allow a share of 0.2 at most.
SHARING: dict[Subset, int] = {"quick": 1, "full": 3}


@dataclass(frozen=True, slots=True)
class Cores:
    """CPUs for one server and one suite at work, and who may use them now."""

    split: CpuSplit
    work: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict that was found beside others, with the times of the suite (`time.monotonic`)."""

    prepared: Prepared
    verdict: Verdict
    cores: Cores
    start_s: float
    end_s: float


def at_once(backend: Backend, servers: int, splits: int, sharing: int) -> int:
    """How many servers are checked at once.

    Without a network namespace of their own all would listen on one port.
    """
    return min(servers, splits * sharing) if backend.isolated else 1


def each(
    backend: Backend,
    servers: Sequence[Prepared],
    subset: Subset,
    splits: Sequence[CpuSplit],
    *,
    campaign: str | None = None,
    chances: int = 1,
    sharing: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Generator[Verdict]:
    """Judge the servers, and yield each verdict as soon as it counts; close the iterator.

    Args:
        splits: disjoint CPUs; the first is used where a server is checked alone.
        chances: a server that fails is checked again until it failed so often, beside others or
            alone.
        sharing: how many suites share CPUs; without it those of `SHARING`.
        say: gets a sentence when a server's checks begin.

    Raises:
        Interrupted: by a signal; nothing that was started is left.
    """
    together = at_once(backend, len(servers), len(splits), sharing or SHARING[subset])
    is_beside = together > 1
    left = [] if is_beside else [(prepared, chances) for prepared in servers]
    if is_beside:
        beside = _beside(backend, servers, subset, splits, together, campaign, say)
        with contextlib.closing(beside) as found:
            for judged, does_count in found:
                if does_count:
                    yield judged.verdict
                else:
                    left.append((judged.prepared, chances - (not judged.verdict.conforms)))
    for prepared, chances_left in left:
        name = prepared.variant.name
        say(f"checking {name} alone" if is_beside else f"checking {name}")
        verdict = judge(backend, prepared, subset, cpus=splits[0], campaign=campaign)
        # What others may have caused is tried once more in any case
        for _ in range(max(chances_left - 1, int(verdict.is_undecided))):
            if verdict.conforms or (verdict.failure is not None and not verdict.is_undecided):
                break
            say(f"  {name}: {verdict.summary}; checking it once more")
            verdict = judge(backend, prepared, subset, cpus=splits[0], campaign=campaign)
        yield verdict


def counts(one: Judged, others: Iterable[Judged]) -> bool:
    """Whether a server passed, and all that ran beside it on its cores did. Pure.

    A server that is not available here said so and ended: nothing of it ran beside others.
    """
    return _passed_or_unavailable(one.verdict) and all(
        _passed_or_unavailable(other.verdict)
        for other in others
        if other.cores is one.cores and other.start_s < one.end_s and one.start_s < other.end_s
    )


def _passed_or_unavailable(verdict: Verdict) -> bool:
    is_unavailable = verdict.failure is not None and verdict.failure[0] == NOT_AVAILABLE
    return verdict.conforms or is_unavailable


def _beside(
    backend: Backend,
    servers: Sequence[Prepared],
    subset: Subset,
    splits: Sequence[CpuSplit],
    together: int,
    campaign: str | None,
    say: Callable[[str], None],
) -> Generator[tuple[Judged, bool]]:
    """Judge servers at once; each with whether its verdict counts, as soon as that is known."""
    free: queue.SimpleQueue[Cores] = queue.SimpleQueue()
    cores = [Cores(split) for split in splits]
    for _ in range(math.ceil(together / len(cores))):  # different cores first
        for one in cores:
            free.put(one)
    crowd = threading.Lock()

    def judged(prepared: Prepared) -> tuple[Cores, Verdict]:
        mine = free.get()
        keep_to(mine.split.load)  # of this thread: no server is disturbed by it
        try:
            turn = Turn(mine.work, crowd)
            return mine, judge(
                backend, prepared, subset, cpus=mine.split, campaign=campaign, turn=turn
            )
        finally:
            free.put(mine)

    running: dict[str, float] = {}
    ended: list[Judged] = []
    undecided: list[Judged] = []

    def begin(prepared: Prepared) -> None:
        running[prepared.variant.name] = time.monotonic()
        say(f"checking {prepared.variant.name}")

    results = worker_pool.each(servers, judged, at_once=together, begin=begin)
    with contextlib.closing(results):
        for done in results:
            if isinstance(done.result, ServerFault):
                raise done.result
            mine, verdict = done.result
            ended.append(Judged(done.item, verdict, mine, done.start_s, done.end_s))
            undecided.append(ended[-1])
            del running[done.item.variant.name]
            # Decided are those that nothing ran beside which still runs
            begun_s = min(running.values(), default=math.inf)
            for decided in [one for one in undecided if one.end_s < begun_s]:
                undecided.remove(decided)
                yield decided, counts(decided, ended)

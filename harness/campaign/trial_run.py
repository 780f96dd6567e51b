"""Run trials: follow the load's events, start and stop the server, record every cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from harness import gates
from harness.backends.base import (
    Backend,
    Event,
    LoadSilent,
    OpenTrial,
    ServerExit,
    TrialContext,
    await_event,
)
from harness.campaign.counter_lines import Ledger
from harness.contract import load_events, server_counters
from harness.contract.campaign_lines import XrayRecord
from harness.contract.cell_record import CellRecord
from harness.contract.errors import HostNotFit, ServerFault
from harness.contract.record import VariantFacts
from harness.contract.statuses import FailureCode, TrialEnd
from harness.contract.stored_cell import StoredCell
from harness.contract.trial_spec import STRETCH_MAX, Cell
from harness.gates.cpu_checks import echoes_per_cpu_s
from harness.gates.failure_excuses import evidence, reason
from harness.gates.server_faults import DISTURBED, fault_of, judged, not_available
from harness.host.interrupt import shielded
from harness.host.wait_budget import Spent
from harness.plan.profiles.profile import Timeouts

# Above the sum of what one event may take by the plan: a load that is late by this much is hung.
SILENCE_MARGIN_S = 30.0
# Descriptors that a process needs beside its connections; the asked margin is wider.
NOFILE_NEEDED = 64
# The kernel destroys a network namespace asynchronously: what churn left in it (TIME_WAIT, 40,000
# sockets) is gone after a second, and slows all other churn until then.
NAMESPACE_GONE_S = 1.5
# What a trial that has not begun waits for
BEFORE_ALL_CELLS = -1

Emit = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended."""

    outcome: str
    code: str = ""
    text: str = ""
    log_tail: str = ""
    exit_code: int | None = None
    counters: dict[str, int] | None = None
    totals: dict[str, int] | None = None
    reconciled: bool | None = None
    duration_s: float = 0.0
    repeats: tuple[int, ...] = ()


@dataclass(slots=True)
class _Seen:
    """What the events told so far."""

    applied: dict[str, Any] = field(default_factory=dict)
    kernel_memory: dict[int, Event] = field(default_factory=dict)
    throttled: dict[int, int] = field(default_factory=dict)
    failure: tuple[str, str] | None = None
    # What cells show of the server that others may have caused: they are measured again
    disturbed: tuple[str, str] | None = None
    totals: dict[str, int] | None = None


class TrialRun:
    """One trial on its way."""

    def __init__(
        self, backend: Backend, context: TrialContext, *, attempt: int, store: Emit, show: Emit
    ) -> None:
        self._backend = backend
        self._context = context
        self._attempt = attempt
        self._store = store
        self._show = show
        self._seen = _Seen()
        self._ledger = Ledger()
        ceiling = context.prepared.variant.file.limits
        self._ceiling = ceiling.model_dump() if ceiling else None
        self._facts = (
            VariantFacts(ceiling.connections_max, ceiling.reason) if ceiling else VariantFacts()
        )

    def run(self) -> Generator[int, None, Outcome]:
        """Take the trial to its end, whatever end that is.

        Where others have their turns it yields the cell, by its place in the plan, of its next one.

        Raises:
            HostNotFit: the host grants less than the plan needs; nothing of it is measured.
        """
        start = time.monotonic()
        opening = self._backend.open(self._context)
        opened = opening.__enter__()
        try:
            try:
                yield from self._follow(opened)
            except ServerFault as fault:
                self._seen.failure = (fault.code, fault.message)
            except LoadSilent as silence:
                self._seen.failure = (FailureCode.LOAD_SILENT, silence.message)
            except load_events.EventError as error:
                self._seen.failure = (FailureCode.LOAD_ERROR, str(error))
            with shielded():
                ended = opened.stop_server()
                load_log = opened.load_log()
        finally:
            with shielded():
                opening.__exit__(None, None, None)
        if self._context.side_by_side and any(cell.closing for cell in self._context.trial.cells):
            time.sleep(NAMESPACE_GONE_S)
        return self._outcome(ended, load_log, time.monotonic() - start)

    def _follow(self, opened: OpenTrial) -> Iterator[int]:
        timeout_s = silence_s(self._context.timeouts, self._context.trial.cells)
        coming = False
        while (line := await_event(opened, timeout_s, coming=coming)) is not None:
            event = load_events.parse(line)
            is_spent = isinstance(event, load_events.SpentAsked)
            coming = isinstance(event, load_events.Hello) or (coming and is_spent)
            match event:
                case load_events.Hello():
                    self._meet_load(event)
                    opened.start_server()
                case load_events.Ready():
                    self._meet_server(event, opened.clamps)
                case load_events.Turn():
                    yield self._context.trial.number(event.cell)
                    opened.reply()
                case load_events.Done():
                    self._seen.totals = event.totals.model_dump() if event.totals else None
                    return
                case load_events.TrialFailure():
                    spent = Spent(**event.wait.model_dump()) if event.wait else None
                    self._seen.failure = judged((event.code, event.text), reason(spent))
                    return
                case _:
                    self._observe(event, opened)
        log = opened.load_log() or "it wrote nothing"
        self._seen.failure = FailureCode.LOAD_DIED, f"the load process ended before its time: {log}"

    def _observe(self, event: load_events.LoadEvent, opened: OpenTrial) -> None:
        """React to what the load reports or asks while the server runs."""
        variant = self._context.trial.variant
        match event:
            case load_events.Account():
                opened.reply(**asdict(opened.charged()))
            case load_events.SpentAsked():
                opened.reply(**asdict(opened.spent()))
            case load_events.Sample():
                self._sample(opened, event.cell)
                opened.reply()
            case load_events.ProgressTold():
                self._show("progress", variant=variant, **event.model_dump(exclude={"event"}))
            case load_events.CallsCounted():
                line = XrayRecord(variant=variant, **event.model_dump(exclude={"event"}))
                with shielded():
                    self._store(line.model_dump(by_alias=True))
            case load_events.CellMeasured() if not self._context.xray:  # whose ramp is no result
                self._judge(event, self._ledger.of_window(opened, event.counters_asked))

    def _meet_load(self, hello: load_events.Hello) -> None:
        self._require_nofile("the load", hello.limits.nofile)
        if set(hello.cpus) != set(self._context.cpus.load):
            raise self._not_confined("the load", hello.cpus, self._context.cpus.load)
        granted = {"load_cpus": hello.cpus, "load_nofile": hello.limits.nofile}
        self._seen.applied = {"sysctls": hello.sysctls, **granted}

    def _meet_server(self, ready: load_events.Ready, clamps: list[str]) -> None:
        assert ready.server is not None  # noqa: S101 (a campaign's servers are looked into)
        self._require_nofile("the server", ready.server.nofile)
        self._require_own_cpus(ready.server.cpus, self._context.cpus.server)
        self._seen.applied |= ready.server.model_dump() | {"clamps": clamps}

    def _require_nofile(self, who: str, granted: tuple[int | None, int | None]) -> None:
        connections = self._context.asked.connections
        hard = granted[1]
        if hard is None or self._ceiling is not None:
            return
        if hard < connections + NOFILE_NEEDED:
            raise HostNotFit(
                f"{connections:,} connections need {connections + NOFILE_NEEDED:,} open files, "
                f"but {who} is granted {hard:,} (RLIMIT_NOFILE, read back from inside)",
                hint="Raise the hard limit (`ulimit -Hn`, or the engine's default-ulimits), "
                "or use a profile with fewer connections.",
            )

    def _require_own_cpus(self, held: tuple[int, ...], asked: tuple[int, ...]) -> None:
        """A server may give its tasks fewer of its CPUs. More, or others, it cannot have in a
        container; as a process it can, and is at fault."""
        if set(held) <= set(asked):
            return
        if self._backend.confines_cpus:
            raise self._not_confined("the server", held, asked)
        raise ServerFault(
            f"it was started on CPU {_listed(asked)} and moved itself to CPU {_listed(held)}",
            code=FailureCode.OUTSIDE_CPUS,
        )

    @staticmethod
    def _not_confined(who: str, held: Iterable[int], asked: Iterable[int]) -> HostNotFit:
        """An engine without the cpuset controller drops the request with a warning only."""
        return HostNotFit(
            f"{who} was to run on CPU {_listed(asked)}, but may run on CPU {_listed(held)}",
            hint="Delegate the cpuset controller to the engine (systemd: `Delegate=cpuset`), "
            "or use `--backend process`.",
        )

    def _sample(self, opened: OpenTrial, cell: int) -> None:
        memory = opened.memory()
        if memory is not None:
            self._seen.kernel_memory[cell] = memory
        throttled = opened.throttled()
        if throttled is not None:
            self._seen.throttled[cell] = throttled

    def _judge(self, event: load_events.CellMeasured, counted: Event) -> None:
        """Judge and store a cell that was measured."""
        trial = self._context.trial
        is_capped = event.failure is not None and event.failure.code == FailureCode.CAPPED
        record: Event = {
            "campaign": self._context.campaign,
            "variant": trial.variant,
            "block": trial.block,
            "wave": trial.wave,
            "trial": trial.id,
            "attempt": self._attempt,
            **event.model_dump(exclude={"event", "counters_asked"}),
            "rate_share": trial.cells[event.cell].rate_share,
            "limits": {"asked": self._context.asked_json(), "applied": self._seen.applied},
            "capped": self._ceiling if is_capped else None,
        }
        if record["server"] is not None:
            record["server"] |= counted
        self._add_kernel_memory(record)
        self._add_throttling(record)
        record["cell"] = trial.number(event.cell)
        known = StoredCell.of(record)
        verdict = gates.judge(known, self._facts)
        record |= {"status": verdict.status, "reasons": verdict.reasons}
        stored = CellRecord.model_validate(record).model_dump(by_alias=True)
        with shielded():
            self._store(stored)
        self._note_fault(known)
        self._show(
            "cell",
            variant=trial.variant,
            block=trial.block,
            cell=record["cell"],
            scenario=record["scenario"],
            connections=record["connections_requested"],
            echoes_per_s=record.get("echoes_per_s"),
            echoes_per_cpu_s=echoes_per_cpu_s(known),
            latency_p99_us=(record.get("latency_us") or {}).get("p99"),
            status=verdict.status,
            reasons=[text for _, text in verdict.reasons],
        )

    def _note_fault(self, cell: StoredCell) -> None:
        """A cell that shows the server at fault makes the trial a failed one, which goes on."""
        found = fault_of(cell, declares_ceiling=self._ceiling is not None)
        found = found and judged(found, reason(evidence(cell)))
        if found and found[0] == DISTURBED:
            self._seen.disturbed = self._seen.disturbed or found
        else:
            self._seen.failure = self._seen.failure or found

    def _add_kernel_memory(self, record: Event) -> None:
        """The cgroup's figures are exact, so they replace the load's estimate where both edges
        of the difference are known."""
        baseline = self._seen.kernel_memory.get(-1)
        now = self._seen.kernel_memory.get(int(record["cell"]))
        server = record.get("server")
        if not (baseline and now and server and server.get("memory_bytes")):
            return
        for key, figures in (("memory_bytes", now), ("memory_baseline_bytes", baseline)):
            exact = {"kernel": figures["kernel"], "sockets": figures["sockets"]}
            server[key] |= exact | {"slab": None}
        server["memory_kernel_source"] = now["source"]

    def _add_throttling(self, record: Event) -> None:
        """Periods since the cell before, so warm-up included: a server that was stopped in it does
        not enter its window as the others do."""
        number = int(record["cell"])
        before = [count for cell, count in self._seen.throttled.items() if cell < number]
        now = self._seen.throttled.get(number)
        if before and now is not None and record.get("host"):
            record["host"]["nr_throttled"] = now - max(before)

    def _outcome(self, ended: ServerExit, load_log: str, duration_s: float) -> Outcome:
        counters = server_counters.last(ended.log)
        reconciled = self._reconcile(counters)
        failure = not_available(ended.exit_code, ended.log) or self._seen.failure
        failure = failure or self._late_failure(ended, counters, reconciled)
        # Whose cells came to their end is done, even if others disturbed some, or its own end
        disturbed = self._seen.disturbed
        if failure and failure[0] == DISTURBED and not self._seen.failure:
            failure, disturbed = None, disturbed or failure
        code, text = failure or disturbed or ("", "")
        text = f"{text}; the server was ended: {ended.killed}" if ended.killed else text
        return Outcome(
            outcome=TrialEnd.FAILED if failure else TrialEnd.DONE,
            code=code,
            text=text,
            log_tail=load_log
            if code.startswith("load-")
            else server_counters.condensed(ended.log, keep=1),
            exit_code=ended.exit_code,
            counters=counters,
            totals=self._seen.totals,
            reconciled=reconciled,
            duration_s=round(duration_s, 3),
        )

    def _reconcile(self, counters: dict[str, int] | None) -> bool | None:
        """Whether the server counted the bytes that the load counted; None if it cannot be told."""
        totals = self._seen.totals
        if counters is None or totals is None or not {"bytes_in", "bytes_out"} <= counters.keys():
            return None
        return (counters["bytes_in"], counters["bytes_out"]) == (
            totals["bytes_sent"],
            totals["bytes_received"],
        )

    def _late_failure(
        self, ended: ServerExit, counters: dict[str, int] | None, reconciled: bool | None
    ) -> tuple[str, str] | None:
        """What is wrong with a server whose cells all came to an end."""
        if ended.killed:
            return FailureCode.SERVER_DIED, "it ended before SIGTERM"
        if ended.exit_code is None:
            stop_s = self._context.timeouts.stop_s
            late = (
                FailureCode.NO_EXIT,
                f"did not exit within {stop_s:.0f} s of SIGTERM and was killed",
            )
            return judged(late, reason(ended.spent) if ended.spent else None)
        if ended.exit_code != 0:
            return FailureCode.BAD_EXIT, f"{ended.how} after SIGTERM, expected exit code 0"
        if counters is None and self._context.prepared.variant.file.counters:
            return (
                FailureCode.BAD_EXIT,
                "declares counters, but printed no line of them at its exit",
            )
        if reconciled is False and self._ceiling is None:
            return (
                FailureCode.MISCOUNTED,
                f"server counted {counters}, load counted {self._seen.totals}",
            )
        return None


def in_turns(runs: Sequence[Generator[int, None, Outcome]]) -> list[Outcome]:
    """Take trials to their ends: one that never stops for others, or several side by side.

    Those whose next turn is of the earliest cell have it first, each in its turn: a trial that has
    fewer cells (its server holds fewer connections) waits for the others at its next one.

    Raises:
        HostNotFit: the host grants less than the plan needs; nothing that was started is left.
    """
    outcomes: dict[int, Outcome] = {}
    with ExitStack() as stack:
        for run in runs:
            stack.callback(run.close)
        cells = dict.fromkeys(range(len(runs)), BEFORE_ALL_CELLS)
        while cells:
            earliest = min(cells.values())
            for number in [one for one, cell in cells.items() if cell == earliest]:
                try:
                    cells[number] = next(runs[number])
                except StopIteration as end:
                    outcomes[number] = end.value
                    del cells[number]
    return [outcomes[number] for number in range(len(runs))]


def silence_s(timeouts: Timeouts, cells: Iterable[Cell]) -> float:
    """After how many seconds without a word from it the load has to be taken for hung."""
    longest_s = max(cell.warmup_s + cell.window_s * STRETCH_MAX for cell in cells)
    waits_s = timeouts.ready_s + timeouts.connect_s + 2 * timeouts.settle_s
    return waits_s + longest_s + SILENCE_MARGIN_S


def _listed(cpus: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))

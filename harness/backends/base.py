"""Define the interface of a backend, and what all backends share.

A backend prepares servers (builds each once per campaign) and opens trials. An open trial is a load
process in a private network namespace. The caller follows its events, starts the server at the
event hello, and stops it at the event done. Leaving the trial always removes everything that it
started.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import IO, Any, ClassVar, Protocol

from harness.conformance.suite_results import MAIN, how
from harness.contract import trial_spec
from harness.contract.errors import C10kError, ServerFault
from harness.contract.printable import plain
from harness.contract.statuses import FailureCode
from harness.contract.trial_spec import Ceiling, Tree, TrialSpec
from harness.host import interrupt
from harness.host.bounded_output import NO_OUTPUT, Amount
from harness.host.cpu_accounting import Charged
from harness.host.cpus import CpuSplit
from harness.host.wait_budget import Reading, Spent
from harness.plan.limits import SYSCTLS, Asked
from harness.plan.profiles.profile import Timeouts
from harness.plan.trial_plan import Trial
from harness.variants.variant_files import Variant

ADDRESS = "tcp://127.0.0.1:7000"
LISTEN = "tcp://0.0.0.0:7000"
# Label of every container and volume that a campaign starts
LABEL = "c10k.campaign"
LOG_TAIL_LINES = 20
# The longest event is a cell with the histograms of all its parts.
EVENT_BYTES_MAX = 64 << 20
STRAY_BYTES_MAX = 4 << 10
CHUNK_BYTES = 64 << 10
# How often to check whether a server that should become ready has ended
LOOK_AGAIN_S = 0.25

NOTHING: Mapping[str, str] = MappingProxyType({})

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A server that is ready to start: `what` is an image id or a command.

    `runtime` is its output for `--version`, None for a server that does not declare `runtime`;
    `build` compiler and flags of its program, None if the program has no such record, as a script.
    `outputs` is what its build wrote among its sources.
    """

    variant: Variant
    what: str
    digest: str
    runtime: str | None = None
    build: str | None = None
    outputs: tuple[str, ...] = ()


class Context(Protocol):
    """What a backend needs to know to run a module together with a server.

    Attributes:
        name: an identifier, unique in the campaign.
        module: the Python module to run.
    """

    @property
    def campaign(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def module(self) -> str: ...
    @property
    def prepared(self) -> Prepared: ...
    @property
    def cpus(self) -> CpuSplit: ...
    @property
    def asked(self) -> Asked: ...
    @property
    def timeouts(self) -> Timeouts: ...

    def variables(
        self, *, sysctls: dict[str, str], prepare_namespace: bool, directory: str | None, tree: Tree
    ) -> dict[str, str]:
        """The environment variables that give the module its task.

        `directory` is writable for both server and module, None where any will do. `tree` says how
        to find the server's processes.
        """


@dataclass(frozen=True, slots=True)
class TrialContext:
    """All that a backend needs to know to run one trial. An x-ray is never timed.

    `spin`: the generator polls where it may; otherwise it sleeps when idle.
    `side_by_side`: other servers are up at the same time, and the loads take turns.
    """

    module: ClassVar[str] = "harness.load"

    campaign: str
    trial: Trial
    prepared: Prepared
    cpus: CpuSplit
    asked: Asked
    timeouts: Timeouts
    workers: int
    spin: bool = True
    xray: bool = False
    side_by_side: bool = False

    @property
    def name(self) -> str:
        """The trial's id."""
        return self.trial.id

    def variables(
        self, *, sysctls: dict[str, str], prepare_namespace: bool, directory: str | None, tree: Tree
    ) -> dict[str, str]:
        """The trial, as the load process reads it."""
        del directory  # a trial's server listens on TCP
        ceiling = self.prepared.variant.file.limits
        waits = self.timeouts.model_dump(exclude={"build_s"})
        return TrialSpec(
            campaign=self.campaign,
            trial=self.trial.id,
            variant=self.trial.variant,
            address=ADDRESS,
            seed=self.trial.seed,
            server_cpus=self.cpus.server,
            load_cpus=self.cpus.load,
            workers=self.workers,
            prepare_namespace=prepare_namespace,
            sysctls=sysctls,
            ceiling=Ceiling(**ceiling.model_dump()) if ceiling else None,
            timeouts=trial_spec.Timeouts(**waits),
            steps=trial_spec.placed(self.trial.steps, in_turns=self.side_by_side),
            counters=self.prepared.variant.file.counters and not self.xray,
            xray=self.xray,
            tree=tree,
            spin=self.spin,
            side_by_side=self.side_by_side,
        ).variables()

    def asked_json(self) -> dict[str, Any]:
        """The requested limits, for the record."""
        return {**asdict(self.asked), "sysctls": SYSCTLS, "cpus": list(self.cpus.server)}


@dataclass(frozen=True, slots=True)
class ServerExit:
    """How a server ended: its exit code (None: the harness killed it) and its last log lines.

    `spent`: if the harness killed it, how the CPU time was spent in the wait for its end.
    `wrote`: how much it wrote to stderr.
    `killed`: how something other than the harness ended it, as text; otherwise empty.
    """

    exit_code: int | None
    log: str
    spent: Spent | None = None
    wrote: Amount = NO_OUTPUT
    killed: str = ""

    @property
    def how(self) -> str:
        """Describe it as text."""
        return how(self.exit_code)


class OpenTrial(Protocol):
    """A running load process and its servers."""

    clamps: list[str]

    def next_event(self, timeout_s: float) -> Event | None:
        """Wait for the load's next event; None when the load has ended.

        Raises:
            LoadSilent: no event came within `timeout_s`.
            Interrupted: something other than the harness ended the load.
        """

    def reply(self, **members: Any) -> None:
        """Answer a load that sent a request and waits, for example for its turn."""

    def charged(self) -> Charged:
        """Wait until the server is idle, and read the CPU time that the kernel charged to it."""

    def spent(self) -> Reading:
        """Read the CPU time of all servers here and of their CPUs so far, at once."""

    def start_server(self, name: str = MAIN, variables: Mapping[str, str] = NOTHING) -> None:
        """Start one fresh server, in place of an earlier one of the same name.

        Raises:
            ServerFault: the server cannot be started.
        """

    def await_server(self, name: str, within_s: float) -> ServerExit:
        """Wait for a server to end by itself, and kill it after `within_s`."""

    def ended(self) -> ServerExit | None:
        """How the server ended by itself; None while it runs."""

    def stop_server(self, name: str = MAIN) -> ServerExit:
        """Send SIGTERM, wait, send SIGKILL if necessary; return how the server ended."""

    def server_log(self) -> str:
        """What the server has written to stderr so far."""

    def memory(self) -> Event | None:
        """Kernel and socket memory charged to the server (bytes); None if no cgroup reports it."""

    def throttled(self) -> int | None:
        """Periods in which a CPU quota has stopped the server; None if no cgroup reports it."""

    def load_log(self) -> str:
        """The last lines that the load process wrote to stderr."""


class Backend(Protocol):
    """Build servers and run trials.

    Attributes:
        isolated: trials have a network namespace of their own.
        confines_cpus: a server cannot leave its CPUs by itself.
    """

    name: str
    isolated: bool
    confines_cpus: bool

    def prepare_load(self, timeout_s: float) -> None:
        """Make sure that the load can start; call it before the first `prepare`.

        Raises:
            HostNotFit: the load cannot start.
        """

    def place(self, variant: Variant) -> str:
        """Name the place of its build.

        Builds of one place share files, or layers of images: the first one runs alone
        (harness/campaign/worker_pool.py).
        """

    def prepare(self, variant: Variant, timeout_s: float) -> Prepared:
        """Build the server. Several threads may call it at once.

        Raises:
            ServerFault: the build fails.
        """

    def open(self, context: Context) -> AbstractContextManager[OpenTrial]:
        """Start the load of a trial; on leaving, remove everything that the trial started."""

    def sweep(self) -> list[str]:
        """Remove what an earlier campaign left behind; return descriptions of it."""

    def environment(self) -> dict[str, object]:
        """Facts about the backend for `campaign.json`."""


class LoadSilent(C10kError):
    """The load process wrote nothing for too long."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"the load process sent no event for {waited_s:.0f} s")


def await_event(opened: OpenTrial, timeout_s: float, *, coming: bool) -> Event | None:
    """Wait for the load's next event, but not for a server that has ended before it was ready.

    `coming`: the server is starting.

    Raises:
        LoadSilent: no event came within `timeout_s`.
        ServerFault: the server ended while the load was waiting for it.
    """
    if not coming and interrupt.is_main():  # no needless wake-ups during other measurements
        return opened.next_event(timeout_s)
    last_s = time.monotonic() + timeout_s
    while True:
        interrupt.require_going()
        ended = opened.ended() if coming else None
        try:
            return opened.next_event(LOOK_AGAIN_S)
        except LoadSilent:
            if ended is not None:
                said = ended.log.strip().splitlines()
                told = ": ".join([f"{ended.how} before it was ready", *said[-1:]])
                raise ServerFault(told, code=FailureCode.NOT_READY) from None
            if time.monotonic() >= last_s:
                raise LoadSilent(timeout_s) from None


class EventStream:
    """Lines of JSON from a stream of bytes. A thread reads them, so that waiting can time out."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.stray: deque[str] = deque(maxlen=LOG_TAIL_LINES)
        threading.Thread(target=self._read, args=(chunks,), daemon=True).start()

    def next(self, timeout_s: float) -> Event | None:
        """Wait for the next event; None at the end of the stream.

        Raises:
            LoadSilent: no event came within `timeout_s`.
        """
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            raise LoadSilent(timeout_s) from None

    def _read(self, chunks: Iterator[bytes]) -> None:
        rest = b""
        try:
            for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > EVENT_BYTES_MAX:
                    raise ValueError(f"a line of more than {EVENT_BYTES_MAX:,} bytes")
                for line in lines:
                    self._take(line)
        except (OSError, ValueError) as error:  # the stream was closed during the read
            self.stray.append(f"the load's output ended: {error}")
        finally:
            self._queue.put(None)

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            self.stray.append(line[:STRAY_BYTES_MAX].decode(errors="replace"))
            return
        self._queue.put(event)


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the data of a pipe as it arrives, not by lines: a line may have no end."""
    return iter(lambda: os.read(stream.fileno(), CHUNK_BYTES), b"")


def command_of(python: str, module: str) -> list[str]:
    """The command that starts a module of the harness as a process of its own.

    Python ends with 1, as a program that failed does, where SIGINT comes while it starts. So the
    signal is ignored until the module's `main` says what it does.
    """
    return ["env", "--ignore-signal=INT", python, "-P", "-m", module]


def told_runtime(variant: Variant, output: str) -> str:
    """Return the one line that `--version` printed.

    Raises:
        ServerFault: the output is empty or has more than one line.
    """
    lines = plain(output).strip().splitlines()
    if len(lines) != 1:
        raise ServerFault(
            f"{variant.name}: `--version` must print its runtime in exactly one line; "
            f"it printed {len(lines)}",
            code=FailureCode.BUILD_FAILED,
        )
    return lines[0]


def reply_line(members: Mapping[str, Any]) -> bytes:
    """Encode a reply to the load: one line."""
    return json.dumps(members).encode() + b"\n"


def tail(text: str, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, without control characters that a terminal would obey."""
    return plain("\n".join(text.strip().splitlines()[-lines:]))

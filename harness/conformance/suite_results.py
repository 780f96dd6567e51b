"""Define the results of checks, and conclude those that need the harness. Pure, for both sides.

The suite sees nearly everything from outside the server. Only the harness, which started the
server, sees its exit code, and what and how much it printed. `conclude` adds these.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from harness.contract import server_counters as printed
from harness.contract.suite_events import CheckEnded, Expected, Judged, Status, SuiteEvent
from harness.host.bounded_output import NO_OUTPUT, Amount

MAIN = "main"
# A server that must refuse to serve has this long to exit; after that it counts as serving.
REFUSAL_S = 5.0
EXIT_WORDS = {126: " (command not executable)", 127: " (command not found)"}
# On standard error in a whole suite. No check needs that much, and an engine keeps a longer log.
QUIET_BYTES_MAX = 2 << 20
QUIET_LINES_MAX = 50_000
COUNTERS_COMPARED = ("accepted", "closed", "bytes_in", "bytes_out")


class Failed(Exception):
    """The server is wrong. The message says what the check saw, with its numbers.

    Attributes:
        timed: a host without CPU time for the server could have caused it.
        span_s: how long the failure took, if longer than the check.
        explanation: the bug that it points at, if that differs from the check's own.
    """

    timed = True
    explanation = ""

    def __init__(self, text: str, span_s: float = 0.0) -> None:
        super().__init__(text)
        self.span_s = span_s

    def within(self, where: str) -> Failed:
        """Return the same failure, preceded by what the check did at that moment."""
        return type(self)(f"{where}: {self}", self.span_s)


class Wrong(Failed):
    """The server sent a wrong byte, which no lack of CPU time explains."""

    timed = False


class NotServed(Failed):
    """An additional server of the check does not answer at its LISTEN."""

    explanation = (
        "A server listens where its LISTEN says, also if another one runs. Take address and port "
        "from LISTEN, not from the code (docs/add-a-server.md)."
    )


class Skipped(Exception):
    """The check does not apply to this server or cannot run here. The message says why."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        explanation: of a failure: the bug that it points at, and where to read about it.
        timed_s: time in s before its end in which a busy host could have caused the failure; 0 if
            it could not.
    """

    id: str
    name: str
    group: str
    status: Status
    text: str
    explanation: str
    duration_s: float
    timed_s: float = 0.0

    def as_event(self) -> CheckEnded:
        """Return it as the event of the suite."""
        return CheckEnded(**asdict(self))

    @classmethod
    def from_event(cls, event: CheckEnded) -> CheckResult:
        """Read the result from its event."""
        return cls(**event.model_dump(exclude={"event"}))


@dataclass(frozen=True, slots=True)
class Score:
    """The numbers of checks that passed and that apply."""

    passed: int
    applicable: int

    @property
    def conforms(self) -> bool:
        """Whether every check that applies passed."""
        return self.passed == self.applicable


@dataclass(frozen=True, slots=True)
class End:
    """The end of a server that the harness started.

    Attributes:
        exit_code: None if the harness killed it because it did not end in time.
        log: the end of what it wrote to stderr.
        disturbed: the other processes that used its CPUs meanwhile.
        wrote: how much it wrote to stderr.
    """

    exit_code: int | None
    log: str
    disturbed: str | None = None
    wrote: Amount = NO_OUTPUT


def how(exit_code: int | None) -> str:
    """Describe how a server ended.

    For a process, the exit code of a signal is its negative number. For a container, it is 128 plus
    the number. 126 and 127 are codes of a shell and of the keeper.
    """
    if exit_code is None:
        return "it was killed"
    number = -exit_code if exit_code < 0 else exit_code - 128
    if number == signal.SIGKILL:  # of a container: any SIGKILL has this code, also its engine's
        return "it was killed"
    if number in set(signal.Signals):
        return f"it was ended by {signal.Signals(number).name}"
    return f"it exited with {exit_code}{EXIT_WORDS.get(exit_code, '')}"


def score(results: Iterable[CheckResult]) -> Score:
    """Count the results; skipped ones do not apply."""
    statuses = [result.status for result in results]
    return Score(statuses.count("pass"), len(statuses) - statuses.count("skip"))


def conclude(events: Sequence[SuiteEvent], ends: Mapping[str, End]) -> tuple[CheckResult, ...]:
    """Return the results of the whole suite.

    Args:
        events: all events of the suite.
        ends: for each server by its name (`MAIN`: the one started at hello) how it ended.
    """
    told = [CheckResult.from_event(event) for event in events if isinstance(event, CheckEnded)]
    expected = [event for event in events if isinstance(event, Expected)]
    return (*told, *(_judge(event, ends) for event in expected))


def _judge(event: Expected, ends: Mapping[str, End]) -> CheckResult:
    judges: dict[Judged, Callable[[Expected, Mapping[str, End]], tuple[bool, str]]] = {
        "refusal": _refuses,
        "clean-exit": _exits_cleanly,
        "counters": _counts,
        "quiet": _is_quiet,
    }
    failure, text = judges[event.what](event, ends)
    end = ends.get(event.server)
    if failure and end is not None and end.exit_code is None and end.disturbed:
        return undecided(_result(event, True, text), end.disturbed)
    return _result(event, failure, text)


def undecided(result: CheckResult, disturbed: str) -> CheckResult:
    """Turn a failure into an undecided result: other processes used the server's CPUs."""
    text = f"{result.text}; not decided: {disturbed} meanwhile"
    return replace(result, status="undecided", text=text, explanation="")


def _result(event: Expected, failure: bool, text: str) -> CheckResult:
    return CheckResult(
        id=event.id,
        name=event.name,
        group=event.group,
        status="fail" if failure else "pass",
        text=text,
        explanation=event.explanation if failure else "",
        duration_s=0.0,
    )


def _refuses(event: Expected, ends: Mapping[str, End]) -> tuple[bool, str]:
    """Judge a server that cannot serve: it must print why, and not exit with 0.

    Returns whether it failed, and the text. So do the other judges.
    """
    end = ends.get(event.server)
    setting = ", ".join(f"{name}={value}" for name, value in event.env.items())
    case = f"started with {setting}"
    if end is None:
        return True, f"{case}: it was never started"
    if end.exit_code is None:
        return True, f"{case}: it did not exit within {REFUSAL_S:g} s"
    if end.exit_code == 0:
        return True, f"{case}: it exited with 0, expected another exit code"
    if not end.log.strip():
        return True, f"{case}: it exited with {end.exit_code}, but printed nothing on stderr"
    return False, f"{case}: exit status {end.exit_code}, {end.log.strip().splitlines()[-1]}"


def _exits_cleanly(event: Expected, ends: Mapping[str, End]) -> tuple[bool, str]:
    """Judge a server that SIGTERM ended: it must exit with 0."""
    end = ends.get(event.server)
    if end is None or end.exit_code is None:
        return True, "it did not end after SIGTERM and was killed"
    if end.exit_code != 0:
        last = (end.log.strip().splitlines() or ["it printed nothing"])[-1]
        return True, f"{how(end.exit_code)} after SIGTERM, expected 0 ({last})"
    return False, "exit status 0 after SIGTERM"


def _is_quiet(event: Expected, ends: Mapping[str, End]) -> tuple[bool, str]:
    """Judge a server's log: it must not write more than an operator reads."""
    end = ends.get(event.server)
    wrote = end.wrote if end else NO_OUTPUT
    text = f"{wrote.size_bytes:,} bytes in {wrote.lines:,} lines on standard error"
    if wrote.size_bytes > QUIET_BYTES_MAX or wrote.lines > QUIET_LINES_MAX:
        allowed = f"{QUIET_BYTES_MAX:,} bytes and {QUIET_LINES_MAX:,} lines are allowed"
        return True, f"at least {text}; {allowed}"
    return False, text


def _counts(event: Expected, ends: Mapping[str, End]) -> tuple[bool, str]:
    """Judge the counters that a server printed: they must equal those of its clients."""
    end = ends.get(event.server)
    counters = printed.last(end.log) if end else None
    if counters is None:
        return True, "it printed no line of counters at its exit"
    wrong = [
        f"{name}: it counted {counters.get(name)}, its clients {event.counters[name]:,}"
        for name in COUNTERS_COMPARED
        if counters.get(name) != event.counters[name]
    ]
    wrong += [f"{name}: missing" for name in ("waits", "events") if name not in counters]
    wrong += _answered_wrongly(event.at_signal, counters, end.log if end else "")
    if wrong:
        return True, "; ".join(wrong)
    return False, ", ".join(f"{name} {counters[name]:,}" for name in COUNTERS_COMPARED)


def _answered_wrongly(least: Mapping[str, int], most: Mapping[str, int], log: str) -> list[str]:
    """Return what is wrong with the answer to the one SIGUSR1.

    The answer may come at any time after the signal. Its counters therefore lie between those at
    the signal and those at the end. A server may count a connection as closed a moment after its
    peer saw the end.
    """
    answers = printed.lines(log)[:-1]
    if len(answers) != 1:
        return [f"expected one line of counters after one SIGUSR1, got {len(answers)}"]
    least = {**least, "closed": 0}
    return [
        f"{name} at SIGUSR1: it counted {answers[0].get(name)}, its clients {least[name]:,}"
        for name in COUNTERS_COMPARED
        if not least[name] <= answers[0].get(name, -1) <= most.get(name, -1)
    ]

"""How checks end, and what the harness makes of it: a pure module for both sides.

The suite sees nearly everything from beside the server. Some things only the one who started it can
know: with which status it exited, what it printed and how much. `conclude` adds these.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from harness.contract import server_counters as printed
from harness.host.bounded_output import NO_OUTPUT, Amount

# undecided: it failed for lack of time, while others had the server's CPUs.
Status = Literal["pass", "fail", "skip", "undecided"]

MAIN = "main"
# A server that must refuse to serve is given this long to say so; then it is taken to be serving.
REFUSAL_S = 5.0
EXIT_WORDS = {126: " (command not executable)", 127: " (command not found)"}
# On standard error in a whole suite: no check asks for as much, and an engine keeps more of a log.
QUIET_BYTES_MAX = 2 << 20
QUIET_LINES_MAX = 50_000
COUNTERS_COMPARED = ("accepted", "closed", "bytes_in", "bytes_out")


class Failed(Exception):
    """The server is wrong. The message says what was seen, with its numbers.

    Attributes:
        timed: a host without CPU time for the server could have caused it.
        span_s: for how long it was under way, if for longer than the check.
        explanation: which bug it points at, where that is not the check's own.
    """

    timed = True
    explanation = ""

    def __init__(self, text: str, span_s: float = 0.0) -> None:
        super().__init__(text)
        self.span_s = span_s

    def within(self, where: str) -> Failed:
        """The same failure, with what was under way."""
        return type(self)(f"{where}: {self}", self.span_s)


class Wrong(Failed):
    """The server did what no lack of CPU time explains: it sent a wrong byte."""

    timed = False


class NotServed(Failed):
    """A server of the check's own does not answer where it was told to listen."""

    explanation = (
        "A server listens where its LISTEN says, also a second one beside the first. Take address "
        "and port from LISTEN, not from the code (docs/add-a-server.md)."
    )


class Skipped(Exception):
    """The check does not apply to this server or cannot be made here. The message says why."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's end. `explanation` is for a failure: which bug it points at, where to read on.

    `timed_s`: in how many seconds before its end a busy host could have caused the failure; 0 where
    none could.
    """

    id: str
    name: str
    group: str
    status: Status
    text: str
    explanation: str
    duration_s: float
    timed_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The members of a `check` event."""
        return asdict(self)

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> CheckResult:
        """The result that a `check` event tells."""
        return cls(**{name: event[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Score:
    """k of n: checks that passed, and checks that apply."""

    passed: int
    applicable: int

    @property
    def conforms(self) -> bool:
        """Whether every check that applies passed."""
        return self.passed == self.applicable


@dataclass(frozen=True, slots=True)
class End:
    """How a server ended that the harness had started: its exit code, None when it was killed for
    not ending in time, and the end of what it wrote to stderr. `disturbed`: who had its CPUs
    meanwhile. `wrote`: how much it wrote."""

    exit_code: int | None
    log: str
    disturbed: str | None = None
    wrote: Amount = NO_OUTPUT


def how(exit_code: int | None) -> str:
    """How a server ended, in words. A signal's number is negated for processes, and 128 is added to
    it for containers; 126 and 127 are a shell's, and the keeper's."""
    if exit_code is None:  # any SIGKILL of a container has this code, also one of its engine
        return "it was killed"
    number = -exit_code if exit_code < 0 else exit_code - 128
    if number == signal.SIGKILL:
        return "it was killed"
    if number in set(signal.Signals):
        return f"it was ended by {signal.Signals(number).name}"
    return f"it exited with {exit_code}{EXIT_WORDS.get(exit_code, '')}"


def score(results: Iterable[CheckResult]) -> Score:
    """Count the results; skipped ones do not apply."""
    statuses = [result.status for result in results]
    return Score(statuses.count("pass"), len(statuses) - statuses.count("skip"))


def conclude(
    events: Sequence[Mapping[str, Any]], ends: Mapping[str, End]
) -> tuple[CheckResult, ...]:
    """The results of the whole suite.

    Args:
        events: all that the suite told.
        ends: for each server by its name (`MAIN`: the one started at hello) how it ended.
    """
    told = [CheckResult.from_event(event) for event in events if event["event"] == "check"]
    expected = [event for event in events if event["event"] == "expect"]
    return (*told, *(_judge(event, ends) for event in expected))


def _judge(event: Mapping[str, Any], ends: Mapping[str, End]) -> CheckResult:
    judges = {
        "refusal": _refuses,
        "clean-exit": _exits_cleanly,
        "counters": _counts,
        "quiet": _is_quiet,
    }
    failure, text = judges[event["what"]](event, ends)
    end = ends.get(event.get("server", MAIN))
    if failure and end is not None and end.exit_code is None and end.disturbed:
        return undecided(_result(event, True, text), end.disturbed)
    return _result(event, failure, text)


def undecided(result: CheckResult, disturbed: str) -> CheckResult:
    """A failure that accuses no server, since others had its CPUs."""
    text = f"{result.text}; not decided: {disturbed} meanwhile"
    return replace(result, status="undecided", text=text, explanation="")


def _result(event: Mapping[str, Any], failure: bool, text: str) -> CheckResult:
    return CheckResult(
        id=event["id"],
        name=event["name"],
        group=event["group"],
        status="fail" if failure else "pass",
        text=text,
        explanation=event["explanation"] if failure else "",
        duration_s=0.0,
    )


def _refuses(event: Mapping[str, Any], ends: Mapping[str, End]) -> tuple[bool, str]:
    """A server that cannot serve says so and exits with a status that is not 0."""
    end = ends.get(event["server"])
    setting = ", ".join(f"{name}={value}" for name, value in event["env"].items())
    case = f"started with {setting}"
    if end is None:
        return True, f"{case}: it was never started"
    if end.exit_code is None:
        return True, f"{case}: it did not exit within {REFUSAL_S:g} s"
    if end.exit_code == 0:
        return True, f"{case}: it exited with 0, as if all were well"
    if not end.log.strip():
        return True, f"{case}: it exited with {end.exit_code}, but said nothing on stderr"
    return False, f"{case}: exit status {end.exit_code}, {end.log.strip().splitlines()[-1]}"


def _exits_cleanly(event: Mapping[str, Any], ends: Mapping[str, End]) -> tuple[bool, str]:
    """A server that was asked to end by SIGTERM exits with 0."""
    end = ends.get(event["server"])
    if end is None or end.exit_code is None:
        return True, "it did not end after SIGTERM and was killed"
    if end.exit_code != 0:
        last = (end.log.strip().splitlines() or ["it said nothing"])[-1]
        return True, f"{how(end.exit_code)} after SIGTERM, expected 0 ({last})"
    return False, "exit status 0 after SIGTERM"


def _is_quiet(event: Mapping[str, Any], ends: Mapping[str, End]) -> tuple[bool, str]:
    """A server does not write more to its log than an operator reads."""
    end = ends.get(event["server"])
    wrote = end.wrote if end else NO_OUTPUT
    text = f"{wrote.size_bytes:,} bytes in {wrote.lines:,} lines on standard error"
    if wrote.size_bytes > QUIET_BYTES_MAX or wrote.lines > QUIET_LINES_MAX:
        allowed = f"{QUIET_BYTES_MAX:,} bytes and {QUIET_LINES_MAX:,} lines are allowed"
        return True, f"{text} at least; {allowed}"
    return False, text


def _counts(event: Mapping[str, Any], ends: Mapping[str, End]) -> tuple[bool, str]:
    """The counters that a server printed are what its clients counted."""
    end = ends.get(event["server"])
    counters = printed.last(end.log) if end else None
    if counters is None:
        return True, "it printed no line of counters as it exited"
    wrong = [
        f"{name}: it counted {counters.get(name)}, its clients {event['counters'][name]:,}"
        for name in COUNTERS_COMPARED
        if counters.get(name) != event["counters"][name]
    ]
    wrong += [f"{name}: missing" for name in ("waits", "events") if name not in counters]
    wrong += _answered_wrongly(event["at_signal"], counters, end.log if end else "")
    if wrong:
        return True, "; ".join(wrong)
    return False, ", ".join(f"{name} {counters[name]:,}" for name in COUNTERS_COMPARED)


def _answered_wrongly(least: Mapping[str, int], most: Mapping[str, int], log: str) -> list[str]:
    """What is wrong with the answer to the one SIGUSR1.

    It may come at any time from the signal on, so it lies between what was counted then and at the
    end. A connection that its peer has seen end may be counted as closed a moment later.
    """
    answers = printed.lines(log)[:-1]
    if len(answers) != 1:
        return [f"one SIGUSR1 was answered by {len(answers)} lines of counters"]
    least = {**least, "closed": 0}
    return [
        f"{name} at SIGUSR1: it counted {answers[0].get(name)}, its clients {least[name]:,}"
        for name in COUNTERS_COMPARED
        if not least[name] <= answers[0].get(name, -1) <= most.get(name, -1)
    ]

"""What every code means that the harness prints: problems, gates, checks, outcomes, exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import gates
from harness.conformance.suite import every_check
from harness.contract.errors import EXIT_MEANINGS
from harness.variants import strict_toml


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code.

    Attributes:
        kind: where it is met.
        title: what it says, in one line.
        text: what follows from it, and what to do.
    """

    code: str
    kind: str
    title: str
    text: str


# How a trial, a cell or the suite ends where that is not well, and whose fault it is.
OUTCOMES: dict[str, tuple[str, str]] = {
    "build-failed": (
        "the server does not build",
        "The last lines of its build are in the report. `c10k check NAME` builds it alone. A "
        "resumed campaign tries again.",
    ),
    "no-process": (
        "the server can run in containers only",
        "Its variant.toml has no `[process]`. Add the command, or use `--backend docker`.",
    ),
    "not-started": (
        "the server cannot be started",
        "The engine refused its container, or the program of its `[process] command` is not there. "
        "An ENTRYPOINT that does not exist is the usual reason; of `command`, two words in one "
        "element.",
    ),
    "not-ready": (
        "the server did not get ready",
        "It is to listen at `LISTEN` and echo a byte within `timeouts.ready_s` of its start, and "
        "to stay in the foreground. Its last log lines are in the report.",
    ),
    "server-died": (
        "the server ended while it was measured",
        "No cell behind that point is measured. Its last log lines and its exit code tell why; "
        "137 is a SIGKILL, often for want of memory.",
    ),
    "wrong-echo": (
        "the first echo was not what had been sent",
        "Nothing is measured. Is it an echo server, and does nothing else listen there?",
    ),
    "corrupt": (
        "an echo had wrong bytes",
        "Every byte of every reply is compared. One wrong byte voids the cell and fails the trial.",
    ),
    "held-fewer": (
        "fewer connections were held than asked for",
        "Connections were refused, reset or not answered, and no ceiling is declared in "
        "`[limits]`. Look for the limit that was met: descriptors, threads, the backlog, ports "
        "(`c10k doctor`).",
    ),
    "lost": (
        "connections ended that were not to end",
        "The server closed or reset them. A time limit for idle clients does that, and so does a "
        "server that gives up at a lack of descriptors.",
    ),
    "outside-cpus": (
        "the server ran on CPUs that are not its own",
        "A figure per CPU means nothing where the server takes the load's CPU. It is started on "
        "its CPUs: leave out `taskset`, and do not widen an affinity. A task may be given fewer.",
    ),
    "escaped": (
        "the server left the process that keeps it",
        "The harness starts every server below a keeper, which counts its processes and ends them. "
        "What listens is elsewhere, so its CPU time cannot be counted. Stay in the foreground, and "
        "let no other service start the server.",
    ),
    "unanswered": (
        "messages were not answered",
        "They were sent, and no echo came within `timeouts.settle_s` after the end of the window.",
    ),
    "not-settled": (
        "replies were still out when the wait for them ended",
        "What is late in one cell would be counted in the next, so this one has no figures.",
    ),
    "overslept": (
        "the load did not run in the whole window",
        "Other programs kept the host busy while the window opened and closed, so nothing was "
        "measured, and the cell is measured again. End the other programs on this host, or set "
        "longer windows.",
    ),
    "not-reached": (
        "the cell was not tried",
        "The connections that it needs were not held by the cell before it.",
    ),
    "bad-exit": (
        "the server did not end as it should",
        "SIGTERM is to end it with exit code 0 and, where it declares `counters`, with a line of "
        "them.",
    ),
    "no-exit": (
        "the server did not end in time",
        "SIGTERM is to end it within `timeouts.stop_s`. Time that other processes took of its CPUs "
        "does not count, up to six times as long.",
    ),
    "disturbed": (
        "other processes had the CPUs",
        "The server did not do in time what it should, but other processes or the hypervisor used "
        "more than 10 % of its CPUs, or the load waited for a CPU. That is no fault of the server. "
        "The attempt is made again within the bounds of repeats; with none in quiet, the campaign "
        "ends with exit code 5. End the other programs on this host, then run it again.",
    ),
    "miscounted": (
        "the server's counters and the load's differ",
        "Both count every byte of the trial, so they must be equal. Either the "
        "server or the load miscounted, or bytes were lost and sent again.",
    ),
    "selftest": (
        "the load generator failed a part of its self-test",
        "A pass vouches for the blocks next to it. Cells of other blocks are unproven, and in no "
        "figure; with no pass at all nothing is ranked. Other programs on the CPUs are the usual "
        "reason: end them, try `c10k selftest`, then run again or resume.",
    ),
    "no-capacity": (
        "the rates of the trial could not be computed",
        "They are shares of the server's capacity, and the trial that measures that has failed.",
    ),
    "nonconforming": (
        "the server fails a check of the contract",
        "It is right before it is fast, or it is not ranked. `c10k check NAME` shows every check "
        "and what each failure points at; `c10k explain T5` tells about one. "
        "`--include-nonconforming` measures it all the same.",
    ),
    "not-available": (
        "the host lacks what the server is about",
        "It said so itself, by exit code 69 and one line. Where io_uring is forbidden: the sysctl "
        "`kernel.io_uring_disabled`, or a seccomp profile. The campaign goes on without it.",
    ),
    "load-error": (
        "the load failed",
        "This is no fault of the server. A resumed campaign runs the trial again.",
    ),
    "load-died": (
        "the load ended before its time",
        "This is no fault of the server. The load's last log lines are in the report. A load that "
        "a signal from outside ends has exit code 130 instead.",
    ),
    "load-silent": (
        "the load said nothing for too long",
        "It hung, or the host had no CPU for it. A resumed campaign runs the trial again.",
    ),
    "load-suite": (
        "the conformance suite came to no end",
        "This is no fault of the server, which is not measured without a verdict. A resumed "
        "campaign tries again.",
    ),
    "suite-error": (
        "the conformance suite came to no end",
        "This is no verdict on the server, which is not measured without one. The last log lines "
        "stand below; a busy host can cause it.",
    ),
}


def explanations() -> Iterator[Explanation]:
    """Every code, in the order in which they are listed."""
    for code, (title, text) in strict_toml.CODES.items():
        yield Explanation(code, "problem of a file", title, text)
    for check in every_check():
        yield Explanation(check.id, f"conformance, {check.group}", check.name, check.explanation)
    for gate in gates.GATES:
        text = f"{gate.rule}. Bound: {gate.bound}. A cell that fails it is {gate.effect}."
        yield Explanation(gate.code, "gate of a cell", gate.title, text[0].upper() + text[1:])
    for code, (title, text) in OUTCOMES.items():
        yield Explanation(code, "end of a trial or a cell", title, text)
    for number, meaning in EXIT_MEANINGS.items():
        text = "The README has the table of exit codes."
        yield Explanation(str(number.value), "exit code", meaning, text)


def explain(code: str) -> list[Explanation]:
    """All that the code means: a gate and an outcome may share a word."""
    return [one for one in explanations() if one.code.lower() == code.lower()]

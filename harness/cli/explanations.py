"""Explain every code that the harness prints, and every term of the glossary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness import gates
from harness.conformance.suite import every_check
from harness.contract.errors import EXIT_MEANINGS
from harness.contract.statuses import CellStatus
from harness.report.page.glossary import GLOSSARY
from harness.variants import strict_toml


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code.

    Attributes:
        kind: where it appears.
        title: its meaning in one line.
        text: what follows from it, and what to do.
    """

    code: str
    kind: str
    title: str
    text: str


# Every way in which a trial, a cell or the suite fails, and which side is at fault.
OUTCOMES: dict[str, tuple[str, str]] = {
    "build-failed": (
        "the server does not build",
        "The report shows the last lines of its build. `c10k check NAME` builds it alone. A "
        "resumed campaign builds it again.",
    ),
    "no-process": (
        "the server runs only in containers",
        "Its variant.toml has no `[process]`. Add the command, or use `--backend docker`.",
    ),
    "not-started": (
        "the server cannot be started",
        "The engine refused its container, or the program of its `[process] command` does not "
        "exist. The usual reason is an ENTRYPOINT that does not exist, or two words in one element "
        "of `command`.",
    ),
    "not-ready": (
        "the server did not get ready",
        "It must listen at `LISTEN`, echo a byte within `timeouts.ready_s` of its start, and stay "
        "in the foreground. The report shows its last log lines.",
    ),
    "server-died": (
        "the server ended while it was measured",
        "The harness measures none of its later cells. Its last log lines and its exit code show "
        "the reason. 137 is a SIGKILL, often because memory ran out.",
    ),
    "wrong-echo": (
        "the first echo differed from what was sent",
        "The harness measures nothing. Check that it is an echo server, and that no other program "
        "listens at its address.",
    ),
    "corrupt": (
        "an echo had wrong bytes",
        "The load compares every byte of every reply. After one wrong byte the cell is rejected "
        "and the trial fails.",
    ),
    "held-fewer": (
        "the server held fewer connections than asked for",
        "Connections were refused, reset or not answered, and `[limits]` declares no ceiling. Look "
        "for the limit that was reached: descriptors, threads, the backlog, ports "
        "(`c10k doctor`).",
    ),
    "lost": (
        "the server ended connections too early",
        "It closed or reset them. The usual reasons: a time limit for idle clients, or a server "
        "that closes connections when it lacks descriptors.",
    ),
    "outside-cpus": (
        "the server ran on CPUs that are not its own",
        "A figure per CPU means nothing if the server uses the load's CPU. The harness starts it "
        "on its CPUs. Leave out `taskset`, and do not widen an affinity. The server may give a "
        "task fewer CPUs.",
    ),
    "escaped": (
        "the server left the process that keeps it",
        "The harness starts every server below a keeper, which counts its processes and ends them. "
        "The process that listens is not below it, so its CPU time cannot be counted. Stay in the "
        "foreground, and let no other service start the server.",
    ),
    "unanswered": (
        "messages were not answered",
        "The load sent them, and no echo came within `timeouts.settle_s` after the window.",
    ),
    "not-settled": (
        "replies were still missing when the wait for them ended",
        "The cell has no figures: late replies of one cell could be counted in the next.",
    ),
    "overslept": (
        "the load did not run in the whole window",
        "Other programs kept the host busy while the window opened and closed, so nothing was "
        "measured. The harness measures the cell again. End the other programs on this host, or "
        "set longer windows.",
    ),
    "not-reached": (
        "the cell was not tried",
        "The cell before it did not hold the connections that this one needs.",
    ),
    "bad-exit": (
        "the server did not end as it should",
        "At SIGTERM it must exit with code 0. If it declares `counters`, it must first print a "
        "line of them.",
    ),
    "no-exit": (
        "the server did not end in time",
        "It must end within `timeouts.stop_s` of SIGTERM. Time in which other processes used its "
        "CPUs does not count, up to six times as long.",
    ),
    "disturbed": (
        "other processes used the CPUs",
        "The server was late, but other processes or the hypervisor used more than 10 % of its "
        "CPUs, or the load waited for a CPU. The server is not at fault. The harness tries again "
        "within the bounds of repeats. If every attempt is disturbed, the campaign ends with exit "
        "code 5. End the other programs on this host, then run it again.",
    ),
    "miscounted": (
        "the server's counters and the load's differ",
        "Both count every byte of the trial, so they must be equal. Either the server or the load "
        "miscounted, or bytes were lost and sent again.",
    ),
    "selftest": (
        "the load generator failed a part of its self-test",
        "A pass proves the blocks next to it. Cells of other blocks are unproven, and in no "
        "figure. Without any pass the campaign ranks nothing. The usual reason is other programs "
        "on the CPUs: end them, try `c10k selftest`, then run again or resume.",
    ),
    "no-capacity": (
        "the rates of the trial could not be computed",
        "They are shares of the server's capacity, and the trial that measures it failed.",
    ),
    "nonconforming": (
        "the server fails a check of the contract",
        "The campaign does not measure or rank it. `c10k check NAME` shows every check and what "
        "each failure points at. `c10k explain T5` explains one check. "
        "`--include-nonconforming` measures the server, without a rank.",
    ),
    "not-available": (
        "the host lacks what the server needs",
        "The server reported that itself, by exit code 69 and one line. If io_uring is forbidden, "
        "the reason is the sysctl `kernel.io_uring_disabled` or a seccomp profile. The campaign "
        "continues without the server.",
    ),
    "load-error": (
        "the load failed",
        "The server is not at fault. A resumed campaign runs the trial again.",
    ),
    "load-died": (
        "the load ended too early",
        "The server is not at fault. The report shows the load's last log lines. If a signal from "
        "outside ends the load, the campaign ends with exit code 130 instead.",
    ),
    "load-silent": (
        "the load reported nothing for too long",
        "It hung, or it got no CPU. A resumed campaign runs the trial again.",
    ),
    "load-suite": (
        "the conformance suite did not finish",
        "The server is not at fault. It is not measured without a verdict. A resumed campaign "
        "tries again.",
    ),
    "suite-error": (
        "the conformance suite did not finish",
        "There is no verdict on the server, and it is not measured without one. The last log lines "
        "follow. A busy host can be the reason.",
    ),
}


def explanations() -> Iterator[Explanation]:
    """Yield every code, in the order of the list that `c10k explain` prints."""
    for code, (title, text) in strict_toml.CODES.items():
        yield Explanation(code, "problem of a file", title, text)
    for check in every_check():
        yield Explanation(check.id, f"conformance, {check.group}", check.name, check.explanation)
    for gate in gates.GATES:
        effect = "rejected (void in the data)" if gate.effect == CellStatus.VOID else gate.effect
        text = f"{gate.rule}. Bound: {gate.bound}. A cell that fails it is {effect}."
        yield Explanation(gate.code, "gate of a cell", gate.title, text[0].upper() + text[1:])
    for code, (title, text) in OUTCOMES.items():
        yield Explanation(code, "end of a trial or a cell", title, text)
    for number, meaning in EXIT_MEANINGS.items():
        text = "docs/cli.md has the table of exit codes."
        yield Explanation(str(number.value), "exit code", meaning, text)
    for name, meaning in GLOSSARY:
        yield from _of_row(name, meaning)


def _of_row(name: str, meaning: str) -> Iterator[Explanation]:
    """Yield each word of a row of the glossary; one row may define several (`valid, noisy`)."""
    words = [word for word in re.split(r", | \(|\)", name) if word]
    sentences = re.split(r"(?<=\.) ", meaning)
    for word in words:
        own = next((one for one in sentences if re.match(rf"{re.escape(word)}\b.*: ", one)), None)
        title = own.partition(": ")[2] if own and len(words) > 1 else sentences[0]
        rest = sentences if len(words) > 1 else sentences[1:]
        text = " ".join(rest) or "docs/glossary.md defines all terms."
        yield Explanation(word, "term", title.removesuffix("."), text)


def explain(code: str) -> list[Explanation]:
    """Return all explanations of a code or term: a gate and an outcome may share a word."""
    return [one for one in explanations() if one.code.lower() == code.lower()]

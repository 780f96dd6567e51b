"""`c10k check`: whether variants are valid, build, and conform to the contract."""

from __future__ import annotations

import os
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import draw, groups, variants
from harness.commands import options
from harness.errors import Exit

if TYPE_CHECKING:
    from harness.backends.base import Backend, Prepared
    from harness.conformance.results import CheckResult
    from harness.variants import Variant
    from harness.verdict import Subset, Verdict

WIDTH = 100
INDENT = " " * 12
COLOURS = {"pass": "green", "fail": "red", "skip": "bright_black"}
BUILD_S = 900.0


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]…", shell_complete=options.complete_servers)
@options.backend
@click.option("--quick", is_flag=True, help="Only the checks that a quick campaign begins with.")
@click.option(
    "--times",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Take each server through them so often: does it pass always?",
)
@options.servers_dir
@options.reports
@options.json
def check(
    names: tuple[str, ...],
    backend: str,
    quick: bool,
    times: int,
    servers_dir: Path,
    reports: Path,
    as_json: bool,
) -> int:
    """Check whether variants are valid, build, and do what the contract says.

    \b
    c10k check                                  all variants, in containers
    c10k check poll epoll-lt --quick            two of them, the quick checks
    c10k check @python --quick                  a group of them
    c10k check mine --backend process --json    without Docker, for programs
    c10k check mine --quick --times 20          does it pass always, or only often?
    """
    chosen = groups.select(variants.discover(servers_dir), list(names))
    show: Callable[[str], None] = (lambda _: None) if as_json else click.echo
    subset: Subset = "quick" if quick else "full"
    verdicts: list[Verdict] = []
    is_complete = False
    try:
        for found in check_all(chosen, backend, subset, reports, show, times=times):
            verdicts.append(found)
        is_complete = True
    finally:
        # Runs take minutes: who interrupts them is told what they found so far
        if as_json and verdicts:
            told = {"backend": backend, "complete": is_complete, "servers": _as_data(verdicts)}
            click.echo(draw.as_json({"schema": 1, **told}))
        if times > 1 and verdicts:
            show(summary(verdicts))
    failed = dict.fromkeys(verdict.variant for verdict in verdicts if not verdict.conforms)
    if failed:
        show(f"do not conform: {', '.join(failed)}")
    return exit_code(verdicts)


def exit_code(verdicts: list[Verdict]) -> Exit:
    """Whether all conform."""
    return Exit.OK if all(verdict.conforms for verdict in verdicts) else Exit.SERVER_FAULT


def summary(verdicts: Iterable[Verdict]) -> str:
    """One line per server: how many of its runs passed, and which checks failed how often."""
    runs: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        runs.setdefault(verdict.variant, []).append(verdict)
    width = max(map(len, runs))
    lines = []
    for name, found in runs.items():
        causes = Counter(cause for verdict in found for cause in _causes(verdict))
        passed = sum(verdict.conforms for verdict in found)
        line = f"{name:{width}}  {passed} of {len(found)} runs passed"
        told = ", ".join(f"{cause} ({count})" for cause, count in causes.most_common())
        lines.append(f"{line}: {told}" if told else line)
    return "\n".join(lines)


def _causes(verdict: Verdict) -> list[str]:
    """What kept a run from passing, by name."""
    failed = [f"{one.id} {one.name}" for one in verdict.failed]
    return failed if verdict.failure is None else [*failed, verdict.failure[0]]


def check_all(
    chosen: list[Variant],
    backend: str,
    subset: Subset,
    reports: Path,
    show: Callable[[str], None],
    *,
    times: int = 1,
) -> Iterator[Verdict]:
    """Build each variant and judge it `times` times, whatever came of those before.

    `show` gets the lines. Yields a verdict for each run, a single one for a variant that does not
    build.

    Raises:
        HostNotFit: a campaign is running, or the backend cannot work here.
    """
    from harness import cpus, launch, lock, verdict
    from harness.backends.base import Prepared
    from harness.interrupt import watched

    with watched("the runs so far are told"), lock.held(f"c10k check in {Path.cwd()}"):
        opened = launch.backend_named(backend)
        opened.sweep()
        split = cpus.split(cpus.cores_of(os.sched_getaffinity(0)), 1)
        opened.prepare_load(BUILD_S)
        os.sched_setaffinity(0, split.load)
        cache = verdict.Cache(reports, opened.name)

        def judged(prepared: Prepared) -> Iterator[Verdict]:
            runs = []
            for _ in range(times):
                runs.append(
                    verdict.judge(
                        opened, prepared, subset, cpus=split, show=lambda one: show(_line(one))
                    )
                )
                cache.keep(prepared, runs)
                yield runs[-1]

        for variant in chosen:
            show(f"{variant.name}: {subset} checks, {opened.name} backend")
            prepared = _prepared(opened, variant, subset)
            for found in judged(prepared) if isinstance(prepared, Prepared) else (prepared,):
                yield found
                show(_ending(found))


def _prepared(backend: Backend, variant: Variant, subset: Subset) -> Prepared | Verdict:
    """The variant, built; the verdict on one that does not build."""
    from harness.errors import ServerFault
    from harness.verdict import Verdict

    start_s = time.monotonic()
    try:
        return backend.prepare(variant, BUILD_S)
    except ServerFault as fault:
        told = f"{fault.message}. {fault.hint}".rstrip(". ")
        spent_s = round(time.monotonic() - start_s, 3)
        return Verdict(variant.name, subset, (), (fault.code, told), fault.log, spent_s)


def _line(result: CheckResult) -> str:
    """One check's end; that of a failure with its explanation below."""
    status = click.style(f"{result.status:4}", fg=COLOURS[result.status])
    line = f"  {status}  {result.id:4} {result.name}: {result.text}"
    if not result.explanation:
        return line
    told = textwrap.fill(result.explanation, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    return f"{line}\n{told}"


def _ending(verdict: Verdict) -> str:
    score, took = verdict.score, f"{verdict.duration_s:.1f} s"
    if verdict.failure is not None:
        code, text = verdict.failure
        lines = [f"  {click.style(code, fg='red')}: {text}", *verdict.log.splitlines()]
        return "\n".join(lines)
    skipped = len(verdict.results) - score.applicable
    beside = f", {skipped} do not apply" if skipped else ""
    return f"  {score.passed} of {score.applicable} passed{beside}; {took}"


def _as_data(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """One entry for each run of each server; runs count from 1."""
    begun: Counter[str] = Counter()
    entries = []
    for verdict in verdicts:
        begun[verdict.variant] += 1
        entries.append(_entry(verdict, begun[verdict.variant]))
    return entries


def _entry(verdict: Verdict, run: int) -> dict[str, Any]:
    score = verdict.score
    return {
        "name": verdict.variant,
        "run": run,
        "subset": verdict.subset,
        "conforms": verdict.conforms,
        "passed": score.passed,
        "applicable": score.applicable,
        "duration_s": verdict.duration_s,
        "failure": (
            {"code": verdict.failure[0], "text": verdict.failure[1], "log": verdict.log}
            if verdict.failure
            else None
        ),
        "checks": [result.as_json() for result in verdict.results],
    }

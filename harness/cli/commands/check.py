"""`c10k check`: check that servers are valid, build, and conform to the contract."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.commands import options
from harness.contract.errors import Exit
from harness.report import draw
from harness.variants import groups, variant_files

if TYPE_CHECKING:
    from harness.backends.base import Backend, Prepared
    from harness.campaign.conformance_run import Verdict
    from harness.conformance.suite_results import CheckResult
    from harness.contract.errors import ServerFault
    from harness.contract.suite_spec import Subset
    from harness.host.cpus import CpuSplit
    from harness.variants.variant_files import Variant

WIDTH = 100
INDENT = " " * 12
COLOURS = {"pass": "green", "fail": "red", "skip": "bright_black", "undecided": "yellow"}
BUILD_S = 900.0
TIMES_MAX = 10_000


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]…", shell_complete=options.complete_servers)
@options.backend
@click.option("--quick", is_flag=True, help="Run only the checks of a quick campaign.")
@click.option(
    "--times",
    type=click.IntRange(min=1, max=TIMES_MAX),
    default=1,
    metavar="N",
    help="Run all checks N times to find flaky servers.",
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
    """Check that servers are valid, build, and do what the contract says.

    \b
    c10k check                                  all servers, in containers
    c10k check poll epoll-lt --quick            two of them, the quick checks
    c10k check @python --quick                  a group of them
    c10k check mine --backend process --json    without Docker, for programs
    c10k check mine --quick --times 20          20 times, to find a flaky server
    """
    found = variant_files.survey(servers_dir)
    chosen = groups.pick(found, names)
    variant_files.require_contexts(chosen)
    for line in groups.left_out(found, names):
        click.echo(line, err=True)
    show: Callable[[str], None] = _ignore if as_json else click.echo
    subset: Subset = "quick" if quick else "full"
    verdicts: list[Verdict] = []
    is_complete = False
    try:
        runs = check_all(chosen, backend, subset, reports, show, times=times)
        with closing(runs):
            for verdict in runs:
                verdicts.append(verdict)
        is_complete = True
    finally:
        # The verdicts arrive in any order
        order = [variant.name for variant in chosen]
        verdicts.sort(key=lambda verdict: order.index(verdict.variant))
        # Runs take minutes: after an interrupt, print what they found so far
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
    """Return OK if all servers conform, GATE_FAILED if the only failures are undecided checks.

    A check is undecided if other processes disturbed it: the server is not at fault.
    """
    lacking = [verdict for verdict in verdicts if not verdict.conforms]
    if not lacking:
        return Exit.OK
    undecided = all(verdict.is_undecided for verdict in lacking)
    return Exit.GATE_FAILED if undecided else Exit.SERVER_FAULT


def summary(verdicts: Iterable[Verdict]) -> str:
    """Return one line per server: the runs that passed, and how often each check failed."""
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
    """Return the names of the checks that failed or were not decided, and of the failure."""
    failed = [f"{one.id} {one.name}" for one in verdict.failed]
    failed += [f"{one.id} {one.name}, not decided" for one in verdict.undecided]
    return failed if verdict.failure is None else [*failed, verdict.failure[0]]


def check_all(
    chosen: list[Variant],
    backend: str,
    subset: Subset,
    reports: Path,
    show: Callable[[str], None],
    *,
    times: int = 1,
) -> Generator[Verdict]:
    """Build the servers, several at once, and judge each `times` times.

    `show` gets the lines. Yields a verdict for each run, and a single one for a server that does
    not build.

    Raises:
        HostNotFit: a campaign is running, or the backend cannot work here.
    """
    from harness.campaign import conformance_run as verdict
    from harness.campaign import launch, server_builds
    from harness.contract.errors import ServerFault
    from harness.host import cpus, lock
    from harness.host.interrupt import watched

    with watched("the results so far follow"), lock.held(f"c10k check in {Path.cwd()}"):
        opened = launch.backend_named(backend)
        opened.sweep()
        allowed = os.sched_getaffinity(0)
        splits = cpus.splits(cpus.cores_of(allowed), 1)
        opened.prepare_load(BUILD_S)
        cpus.keep_to(splits[0].load)
        say = show if len(chosen) > 1 else _ignore
        prepared: dict[str, Prepared] = {}
        with closing(server_builds.each(opened, chosen, BUILD_S, cpus=allowed, say=say)) as builds:
            for done in builds:
                if isinstance(done.result, ServerFault):
                    found = _unbuilt(done.item, done.result, subset, done.duration_s)
                    show(_heading(found.variant, subset, opened))
                    yield found
                    show(_ending(found))
                else:
                    prepared[done.item.name] = done.result
        cache = verdict.Cache(reports, opened.name)
        runs: dict[str, list[Verdict]] = {}
        ready = [prepared[one.name] for one in chosen if one.name in prepared]
        with closing(_runs(opened, ready, subset, splits, times, show)) as verdicts:
            for found in verdicts:
                runs.setdefault(found.variant, []).append(found)
                cache.keep(prepared[found.variant], runs[found.variant])
                yield found
                show(_ending(found))


def _runs(
    backend: Backend,
    prepared: list[Prepared],
    subset: Subset,
    splits: list[CpuSplit],
    times: int,
    show: Callable[[str], None],
) -> Generator[Verdict]:
    """Yield every run of the suite, after `show` got all lines of the run but its last.

    For servers that are checked at once, the lines come when the run is over. For a server that is
    checked alone, or several times, they come as its checks end.
    """
    from harness.campaign import conformance_pool
    from harness.campaign import conformance_run as verdict

    def alone(one: Prepared) -> Verdict:
        return verdict.judge(
            backend, one, subset, cpus=splits[0], show=lambda result: show(_line(result))
        )

    sharing = conformance_pool.SHARING[subset]
    if times == 1 and conformance_pool.at_once(backend, len(prepared), len(splits), sharing) > 1:
        with closing(
            conformance_pool.each(backend, prepared, subset, splits, say=show)
        ) as verdicts:
            for found in verdicts:
                show(_heading(found.variant, subset, backend))
                for result in found.results:
                    show(_line(result))
                yield found
        return
    for one in prepared:
        show(_heading(one.variant.name, subset, backend))
        for _ in range(times):
            found = alone(one)
            if found.is_undecided:
                show("  other processes used the server's CPUs; checking it once more")
                found = alone(one)
            yield found


def _heading(name: str, subset: Subset, backend: Backend) -> str:
    return f"{name}: {subset} checks, {backend.name} backend"


def _ignore(_: str) -> None:
    """Drop a line."""


def _unbuilt(variant: Variant, fault: ServerFault, subset: Subset, spent_s: float) -> Verdict:
    """Return the verdict on a server that does not build."""
    from harness.campaign.conformance_run import Verdict

    told = f"{fault.message}. {fault.hint}".rstrip(". ")
    failure = (fault.code, told)
    return Verdict(variant.name, subset, (), failure, fault.log, round(spent_s, 3))


def _line(result: CheckResult) -> str:
    """Return the line of one check; a failure has its explanation below."""
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


def _as_data(verdicts: Iterable[Verdict]) -> list[dict[str, object]]:
    """Return one entry for each run of each server; runs count from 1."""
    begun: Counter[str] = Counter()
    entries = []
    for verdict in verdicts:
        begun[verdict.variant] += 1
        entries.append(_entry(verdict, begun[verdict.variant]))
    return entries


def _entry(verdict: Verdict, run: int) -> dict[str, object]:
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
        "checks": [asdict(result) for result in verdict.results],
    }

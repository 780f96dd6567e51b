"""Every server that is shipped passes every check that applies to it.

A server whose runtime is not installed is skipped, and the reason names the package that it lacks.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, Literal

import pytest
from discovering import discover
from driving import ROOT, Case, Subject, Verdict

from harness.conformance.suite_results import score
from harness.variants.groups import select
from harness.variants.variant_files import Variant

IN_FULL = ("epoll-et", "thread-per-connection")


def subject(variant: Variant) -> Subject:
    """The variant, as its variant.toml has it."""
    file = variant.file
    assert file.process is not None
    return Subject(
        variant.name,
        variant.directory,
        file.process.command,
        file.process.build,
        connections_max=file.limits.connections_max if file.limits else None,
        beyond=file.limits.beyond if file.limits else None,
        counters=file.counters,
    )


# Without `[process]` a variant runs in containers only
SHIPPED = [v for v in select(discover(ROOT / "servers"), []) if v.file.process is not None]


def case(variant: Variant, checks: Literal["quick", "full"]) -> Any:
    """A server as a parameter of the test, marked when it cannot be built or started here."""
    process = variant.file.process
    assert process is not None
    tools = [tool for tool in process.build[:1] if shutil.which(tool) is None]
    missing = " ".join(process.missing_packages() or tools)
    reason = f"not installed: {missing}" if missing else ""
    other_runtime = variant.file.runtime and set(process.requires) - {"python3"}
    if other_runtime and os.environ.get("C10K_RUNTIMES") != "1":
        reason = reason or "C10K_RUNTIMES=1 takes the servers of other runtimes through it"
    marks = [pytest.mark.skip(reason=reason)] if reason else []
    made = Case(subject(variant), checks)
    return pytest.param(made, marks=marks, id=str(made))


CASES = [case(v, "full") for v in SHIPPED if v.name in IN_FULL]
CASES += [case(v, "quick") for v in SHIPPED if v.name not in IN_FULL]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_shipped_server_passes_every_check_that_applies(case: Case, verdict: Verdict) -> None:
    assert verdict.failure is None, str(verdict)
    assert score(verdict.results).conforms, str(verdict)

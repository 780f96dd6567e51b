"""Echo servers that nobody here wrote: each fails for a stated, correct reason, or passes.

Each is a directory with nothing but a variant.toml and a Dockerfile, as a user would write them.
"""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from discovering import discover
from driving import ROOT, Case, Subject, Verdict

from harness.variants.variant_files import Variant

pytestmark = pytest.mark.timing

DIRECTORY = ROOT / "tests/foreign_servers"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((DIRECTORY / "expected.toml").read_text())
FOREIGN = {variant.name: variant for variant in discover(DIRECTORY)}


def case_of(variant: Variant) -> Any:
    """The quick subset, skipped where its program is not installed."""
    run = variant.file.process
    assert run is not None
    subject = Subject(variant.name, variant.directory, run.command, run.build, counters=False)
    missing = ", ".join(run.missing_packages())
    marks = [pytest.mark.skip(reason=f"not installed: {missing}")] if missing else []
    return pytest.param(Case(subject), marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case_of(one) for one in FOREIGN.values()], ids=str)
def test_a_foreign_server_fails_the_checks_that_its_table_explains(
    case: Case, verdict: Verdict
) -> None:
    expected = EXPECTED[case.subject.name]

    assert verdict.failure is None, str(verdict)
    allowed = {*expected["fails"], *expected.get("may", {})}
    assert set(expected["fails"]) <= verdict.failed <= allowed, str(verdict)


def test_every_foreign_server_is_in_the_table_with_the_reason_and_nothing_but_two_files() -> None:
    assert FOREIGN.keys() == EXPECTED.keys()
    for entry in EXPECTED.values():
        chances: dict[str, str] = entry.get("may", {})
        assert entry["why"]
        assert all(chances.values())
        assert not chances.keys() & set(entry["fails"])
        contained: dict[str, str] = entry.get("docker", {})
        assert all(contained.values())
        assert contained.keys() <= set(entry["fails"])
    for variant in FOREIGN.values():
        files = {path.name for path in variant.directory.iterdir()} - {"build"}
        assert files == {"variant.toml", "Dockerfile"}, variant.name

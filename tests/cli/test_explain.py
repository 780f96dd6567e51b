"""Every code that the harness prints is explained."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import gates
from harness.cli import explanations, main
from harness.conformance.suite import every_check
from harness.contract.errors import Exit, UsageError
from harness.contract.statuses import FailureCode
from harness.gates.server_faults import SERVER_CODES
from harness.report.page.glossary import GLOSSARY
from harness.variants import strict_toml

ROOT = Path(__file__).parents[2]
# Calls whose first argument, or whose keyword `code`, is a code; and pairs that become failures.
MAKERS = {"failure", "TrialFailed", "Problem", "_failure"}
# Functions that return a code and its text.
FINDERS = {"fault_of", "_late_failure", "judged"}


def printed() -> Iterator[tuple[str, str]]:
    """`(code, where)` of every literal in the sources that becomes a code."""
    for path in sorted((ROOT / "harness").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call):
                literals = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                literals += node.args[:1] if name in MAKERS else []
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                literals = list(assigned(node))
            elif isinstance(node, ast.FunctionDef) and node.name in FINDERS:
                literals = [
                    inner.value.elts[0]
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Tuple)
                ]
            else:
                continue
            for literal in literals:
                if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                    yield literal.value, where


def assigned(node: ast.Assign | ast.AnnAssign) -> Iterator[ast.expr]:
    """The code in `….failure = (code, text)`, also behind an `or`."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = {getattr(target, "attr", getattr(target, "id", "")) for target in targets}
    if "failure" in names and node.value is not None:
        for inner in ast.walk(node.value):
            if isinstance(inner, ast.Tuple) and len(inner.elts) == 2:
                yield inner.elts[0]


def explained() -> set[str]:
    return {one.code for one in explanations.explanations()}


def test_every_code_of_a_failure_is_explained_and_none_is_spelled_out_in_the_sources() -> None:
    found = dict(printed())

    assert set(FailureCode) <= explained()
    # That the search finds what there is. Files of variants have a table of codes of their own.
    assert "C101" in found
    assert {code: where for code, where in found.items() if code not in strict_toml.CODES} == {}


def test_every_gate_check_problem_and_exit_code_is_explained() -> None:
    codes = {gate.code for gate in gates.GATES} | {check.id for check in every_check()}
    codes |= SERVER_CODES | strict_toml.CODES.keys() | {str(code.value) for code in Exit}

    assert codes - explained() == set()


def test_no_outcome_is_explained_that_nobody_prints() -> None:
    paths = set((ROOT / "harness").rglob("*.py")) - {Path(explanations.__file__)}
    sources = "".join(path.read_text("utf-8") for path in paths)

    assert [code for code in explanations.OUTCOMES if f'"{code}"' not in sources] == []


@pytest.mark.parametrize("term", [term for term, _ in GLOSSARY])
def test_every_word_of_the_glossary_is_explained(term: str) -> None:
    words = re.findall(r"[^,()]+", term)

    assert [word for word in words if not explanations.explain(word.strip())] == []


@pytest.mark.parametrize("one", list(explanations.explanations()), ids=lambda one: one.code)
def test_an_explanation_says_something(one: explanations.Explanation) -> None:
    assert one.title
    assert len(one.text) > len("It went wrong.")
    assert one.text.rstrip().endswith((".", ")", "?"))


def test_the_command_explains_in_text_and_json_and_suggests() -> None:
    told = CliRunner().invoke(main.cli, ["explain", "t5"], standalone_mode=False)
    data = CliRunner().invoke(main.cli, ["explain", "corrupt", "--json"], standalone_mode=False)
    listed = CliRunner().invoke(main.cli, ["explain"], standalone_mode=False)
    wrong = CliRunner().invoke(main.cli, ["explain", "noncoforming"], standalone_mode=False)

    term = CliRunner().invoke(main.cli, ["explain", "closed", "loop"], standalone_mode=False)
    assert term.output.startswith("closed loop (term): Each active connection sends")
    assert "T5 (conformance, close): half-close" in told.output
    kinds = [one["kind"] for one in json.loads(data.output)["codes"]]
    assert kinds == ["gate of a cell", "end of a trial or a cell"]
    assert len(listed.output.splitlines()) == len(list(explanations.explanations()))
    assert isinstance(wrong.exception, UsageError)
    assert "did you mean `nonconforming`" in wrong.exception.message

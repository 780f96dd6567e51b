"""A server must be right before it is measured: what the gate lets through, and what it tells."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import few_checks
import pytest
from command import ROOT, C10k, wait_for
from faulty_servers import CRASHES_AT_START
from one_cell import cpus_of

BAD = ROOT / "tests/bad_servers"
# One bug that a quick check names and that a short campaign would not notice.
BUG = "ignores_backlog"
# A check starts a server that crashes at once a single time in each run.
STARTS = 2
FEW_CHECKS = (few_checks.__file__,)


def add(c10k: C10k, name: str, program: str) -> None:
    """A variant that runs a server of the suite's own tests."""
    c10k.add_server(
        name, f"import runpy, sys\nsys.path.insert(0, {str(BAD)!r})\n"
        f"runpy.run_path({str(BAD / program)!r}, run_name='__main__')\n",
        "counters = true",
    )  # fmt: skip


@pytest.mark.slow
def test_a_server_that_fails_a_check_is_not_measured_and_the_failure_is_explained(
    c10k: C10k,
) -> None:
    add(c10k, "wrong", f"{BUG}.py")
    add(c10k, "right", "right.py")

    done = c10k.run(c10k.profile(conformance="quick"))
    first = done.directory

    assert done.code == 4, done.err + done.out
    assert {cell["variant"] for cell in done.cells} == {"right"}
    outcomes = {outcome["variant"]: outcome for outcome in done.outcomes}
    assert outcomes["wrong"]["code"] == "nonconforming"
    assert "T19 backlog" in outcomes["wrong"]["text"]
    told = {entry["name"]: entry["conformance"] for entry in done.head()["variants"]}
    assert told["right"]["failures"] == []
    assert told["right"]["passed"] == told["right"]["applicable"] > 20
    assert told["wrong"]["passed"] == told["wrong"]["applicable"] - 1
    (failure,) = told["wrong"]["failures"]
    assert failure["id"] == "T19"
    page = (first / "report.html").read_text()
    assert failure["explanation"].split("(")[0].replace("'", "&#39;") in page
    assert f"{told['wrong']['passed']}/{told['wrong']['applicable']}" in page

    # What passed is remembered; what failed may have been mended, and is tried again.
    c10k.program = FEW_CHECKS
    again = c10k.run(c10k.profile(conformance="quick"), "--include-nonconforming")

    assert again.code == 0, again.err + again.out
    assert "checking wrong" in again.out
    assert "checking right" not in again.out
    (last,) = {head.parent for head in c10k.reports.glob("*/campaign.json")} - {first}
    assert '"cached": true' in (last / "campaign.json").read_text()
    assert '"variant": "wrong"' in (last / "trials.jsonl").read_text()


def test_a_check_that_was_late_beside_others_is_not_decided(c10k: C10k, hog: Any) -> None:
    """`listens_late` fails because of a sleep, which looks like a lack of CPU time."""
    add(c10k, "late", "listens_late.py")
    checked = ("check", "late", "--servers-dir", c10k.servers, "--backend", "process", "--quick")
    hog(cpus_of(c10k, "server"))
    c10k.program = FEW_CHECKS

    done = c10k(*checked)

    assert done.code == 5, done.err + done.out
    assert "checking it once more" in done.out
    assert re.search(r"undecided .*not decided: other processes used \d+ % of the server", done.out)


def test_a_server_that_does_not_build_is_built_once_however_often_it_is_to_be_checked(
    c10k: C10k,
) -> None:
    directory = c10k.add_server("broken", "")
    path = directory / "variant.toml"
    path.write_text(path.read_text() + 'build = ["false"]\n')

    done = c10k(
        *("check", "broken", "--servers-dir", c10k.servers, "--backend", "process"),
        *("--quick", "--times", "20"),
    )

    assert done.code == 4, done.err + done.out
    assert "broken  0 of 1 runs passed: build-failed (1)\n" in done.out
    assert done.out.endswith("do not conform: broken\n")


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["lines", "json"])
def test_runs_of_a_check_that_is_interrupted_are_told_all_the_same(
    c10k: C10k, tmp_path: Path, more: list[str]
) -> None:
    starts = tmp_path / "starts"
    counted = f"open({str(starts)!r}, 'a').write('x')\n"
    c10k.add_server("crashes", counted + CRASHES_AT_START)
    checked = ("check", "crashes", "--servers-dir", c10k.servers, "--backend", "process")
    process = c10k.start(*checked, "--quick", "--times", "500", *more)
    # Then at least one run is over
    wait_for(lambda: starts.is_file() and starts.stat().st_size >= STARTS)
    process.send_signal(signal.SIGINT)

    done = c10k.finish(process)

    assert done.code == 130, done.err + done.out
    if not more:
        assert re.search(r"crashes  0 of [1-9]\d* runs passed: ", done.out)
        return
    told = json.loads(done.out)
    assert told["complete"] is False
    assert [run["run"] for run in told["servers"]] == list(range(1, len(told["servers"]) + 1))
    failures = [run["failure"] for run in told["servers"]]
    assert {failure["code"] for failure in failures} == {"not-ready"}
    said = "it exited with 1 before it was ready: cannot read /etc/mine.conf: no such file"
    assert {failure["text"] for failure in failures} == {said}

"""What a server needs of its host, and what it tells of its runtime."""

from __future__ import annotations

import pytest
from command import C10k
from faulty_servers import echo

TELLS = """
import sys
if sys.argv[1:] == ["--version"]:
    print("Mine 1.2.3")
    sys.exit(0)
"""
REFUSES = """
import sys
if sys.argv[1:] == ["--version"]:
    sys.exit("no idea")
"""


def test_a_server_whose_runtime_is_not_installed_is_told_by_its_package(c10k: C10k) -> None:
    directory = c10k.add_server("faulty", echo())
    file = directory / "variant.toml"
    file.write_text(f'{file.read_text()}[process.requires]\nno-such-program = "nowhere"\n')
    c10k.add_server("mine", echo())

    done = c10k.run(c10k.profile())

    assert done.code == 4, done.err + done.out
    (failed,) = (outcome for outcome in done.outcomes if outcome["outcome"] == "failed")
    assert failed["text"] == "faulty: not installed here: nowhere. apt-get install nowhere"
    assert {cell["variant"] for cell in done.cells} == {"mine"}


def test_what_a_server_tells_of_its_runtime_is_recorded_and_reported(c10k: C10k) -> None:
    c10k.add_server("mine", TELLS + echo(), "runtime = true")
    c10k.add_server("other", echo())

    done = c10k.run(c10k.profile())

    assert done.code == 0, done.err + done.out
    runtimes = {entry["name"]: entry["runtime"] for entry in done.head()["variants"]}
    assert runtimes == {"mine": "Mine 1.2.3", "other": None}
    assert "Python (Mine 1.2.3)" in (done.directory / "report.html").read_text()


@pytest.mark.parametrize("program", [REFUSES, "import time\n"], ids=["refuses", "silent"])
def test_a_server_that_declares_a_runtime_and_tells_none_is_not_run(
    c10k: C10k, program: str
) -> None:
    c10k.add_server("mine", program, "runtime = true")

    done = c10k.run(c10k.profile())

    assert done.code == 4, done.err + done.out
    assert {outcome["code"] for outcome in done.outcomes} == {"build-failed"}
    assert not (done.directory / "trials.jsonl").exists()
    assert "print its runtime" in done.outcomes[0]["text"]

"""The command line: bad input, output for programs, exit codes that no campaign is needed for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.campaign import trial_ends
from harness.cli import main
from harness.contract.errors import Exit, HostNotFit, UsageError
from harness.host import lock

ROOT = Path(__file__).parents[2]


def c10k(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--servers", "pol"], "did you mean `poll`"),
        (["run", "--profile", "smok"], "did you mean `smoke`"),
        (["run", "--profle", "smoke"], "--profile"),
        (["run", "--backend", "podman"], "docker"),
        (["run", "--seed", "minus one"], "seed"),
        (["run", "--servers-dir", "nowhere"], "nowhere: no such directory"),
        (["run", "--resume", "nothing"], "no campaign `nothing`"),
        (["report", "nothing"], "no campaign `nothing`"),
        (["fly"], "fly"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments: list[str], words: str) -> None:
    done = c10k(*arguments)

    assert done.returncode == Exit.USAGE
    assert words in done.stderr
    assert done.stderr.splitlines()[-1] == "exit 2: usage, profile or variant file"
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_no_docker_engine_is_exit_code_3_with_the_way_out(tmp_path: Path) -> None:
    done = c10k(
        "run",
        *("--backend", "docker", "--reports", str(tmp_path)),
        DOCKER_HOST=f"unix://{tmp_path}/no.sock",
    )

    assert done.returncode == Exit.HOST_NOT_FIT
    assert "no.sock" in done.stderr
    assert "--backend process" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("exit 3: host not fit")


def test_a_second_campaign_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with lock.held("c10k run of the test"):
        done = c10k("run", "--backend", "process", "--profile", "smoke", "--reports", str(tmp_path))

    assert done.returncode == Exit.HOST_NOT_FIT
    assert "c10k run of the test" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("what", hint="do this"), Exit.USAGE),
        (HostNotFit("what", hint="do this"), Exit.HOST_NOT_FIT),
        (ZeroDivisionError("what"), Exit.BUG),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
    ],
)
def test_every_error_becomes_its_exit_code(
    error: BaseException, code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert main._exit_code(fail) == code
    if isinstance(error, UsageError):
        assert "what" in (told := capsys.readouterr().err)
        assert "do this" in told


def test_the_trials_that_failed_name_their_servers_and_what_ends_no_campaign_does_not() -> None:
    def told(trial: str, variant: str, outcome: str, code: str) -> dict[str, str]:
        return {"trial": trial, "variant": variant, "outcome": outcome, "code": code}

    outcomes = [
        told("1-poll", "poll", "failed", "not-ready"),
        told("1-poll", "poll", "done", ""),
        told("1-select.again", "select.again", "failed", "nonconforming"),
        told("1-io-uring", "io-uring", "failed", "not-available"),
    ]

    assert trial_ends.failed(outcomes) == {"select": "nonconforming"}
    assert trial_ends.exit_code(outcomes) == Exit.SERVER_FAULT
    assert trial_ends.exit_code(outcomes[:2]) == Exit.OK


def test_servers_lists_what_is_there_for_people_and_for_programs() -> None:
    text = c10k("servers")
    data = json.loads(c10k("servers", "--json").stdout)

    names = [entry["name"] for entry in data["servers"]]
    assert names == sorted(path.parent.name for path in ROOT.glob("servers/*/variant.toml"))
    listed, _, groups = text.stdout.partition("\n\n")
    assert [line.split()[0] for line in listed.splitlines()] == names
    told = {group["name"]: group["servers"] for group in data["groups"]}
    assert [line.split()[0] for line in groups.splitlines()[1:]] == list(told)
    assert sorted(name for members in told.values() for name in members) == names
    assert {entry["name"]: entry["group"] for entry in data["servers"]} == {
        name: group for group, members in told.items() for name in members
    }


SLOW = ("pandas", "vl_convert", "locust", "docker", "rich", "scipy")


@pytest.mark.parametrize(
    ("argument", "unwanted"),
    [
        ("servers", SLOW),
        ("--help", (*SLOW, "pydantic", "harness.report.draw", "harness.cli.commands")),
    ],
)
def test_listing_does_not_wait_for_what_it_does_not_need(
    argument: str, unwanted: tuple[str, ...]
) -> None:
    program = (
        f"import sys; sys.argv[1:] = ['{argument}']\n"
        "from harness.cli import main\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        f"print(sorted({set(unwanted)} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_dry_run_prints_the_plan_and_touches_nothing(tmp_path: Path) -> None:
    arguments = ["run", "--dry-run", "--seed", "7", "--reports", str(tmp_path / "reports")]
    first = c10k(*arguments, "--json")
    text = c10k(*arguments)

    plan = json.loads(first.stdout)
    assert plan["seed"] == 7
    assert json.loads(c10k(*arguments, "--json").stdout) == plan
    assert {trial["variant"] for trial in plan["trials"]} == set(plan["profile"]["servers"])
    assert len(plan["trials"]) == 8 * len(plan["profile"]["servers"])
    cells = sum(len(step["cells"]) for trial in plan["trials"] for step in trial["steps"])
    assert f"{len(plan['trials'])} trials, {cells} cells" in text.stdout
    header, *matrix = text.stdout.split("\n\n")[1].splitlines()
    assert header.split()[-3:] == ["100", "1,000", "10,000"]
    idle = next(row for row in matrix if row.startswith("idle"))
    assert idle.split()[-3:] == ["8", "3", "8"]
    assert not (tmp_path / "reports").exists()


def test_environment_variables_stand_for_flags_and_flags_win() -> None:
    by_variable = c10k("run", "--dry-run", "--json", C10K_PROFILE="smoke", C10K_SERVERS="poll")
    by_flag = c10k("run", "--dry-run", "--json", "--profile", "quick", C10K_PROFILE="smoke")
    empty = c10k("run", "--dry-run", "--json", C10K_SERVERS="", C10K_SEED="")

    assert [trial["id"] for trial in json.loads(by_variable.stdout)["trials"]] == ["1-poll"]
    assert json.loads(by_flag.stdout)["profile"]["name"] == "quick"
    assert empty.returncode == 0, empty.stderr


def test_help_shows_examples_and_the_exit_codes() -> None:
    shown = CliRunner().invoke(main.cli, ["--help"]).output

    assert "c10k run --profile smoke" in shown
    for code in Exit:
        assert str(code.value) in shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_groups_the_commands_and_cuts_no_summary(width: int) -> None:
    shown = CliRunner().invoke(main.cli, ["--help"], terminal_width=width).output
    words = " ".join(shown.split())

    assert [title for title in main.SECTIONS if f"{title}:\n" in shown] == list(main.SECTIONS)
    assert [text for text in main.COMMANDS.values() if text not in words] == []
    assert "..." not in shown.replace("[ARGS]...", "")


def test_version_is_the_packages() -> None:
    assert c10k("--version").stdout == f"c10k {version('c10k')}\n"


@pytest.mark.parametrize("command", ["doctor --backend process", "servers", "report kept"])
def test_a_current_directory_that_is_gone_is_named(tmp_path: Path, command: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m harness.cli {command}"
    done = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == Exit.USAGE, done.stderr
    assert "the current directory was removed" in done.stderr
    assert "Traceback" not in done.stderr

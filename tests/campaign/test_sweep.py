"""A sweep kills what a killed campaign under its own lock left, and nothing else."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from command import ROOT, C10k, marked_processes, wait_for
from faulty_servers import echo

from harness.backends.process import ProcessBackend
from harness.backends.roster import TOKEN_VARIABLE, Roster
from harness.host import server_processes
from harness.host.lock import LOCK_VARIABLE

WAIT_S = 20.0
CLEAN = ("clean", "--backend", "process")
# What users have set for purposes of their own
THEIRS = {"C10K_CAMPAIGN": "x", TOKEN_VARIABLE: "mine"}

# Leaves its session, and its parent ends: a daemon.
DAEMON = """
import os
first = os.fork()
if first == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvpe("sleep", ["sleep", {seconds!r}], {environment})
    os._exit(0)
os.waitpid(first, 0)
"""
ENVIRONMENTS = ["os.environ", '{"PATH": os.environ["PATH"]}']


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mine.lock"
    monkeypatch.setenv(LOCK_VARIABLE, str(path))
    return path


@contextmanager
def running(*command: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends with the block."""
    command = command or ("sleep", "300")
    with subprocess.Popen(command, env={**os.environ, **variables}) as process:
        try:
            yield process
        finally:
            process.kill()


def is_alive(pid: int) -> bool:
    stat = server_processes.processes().get(pid)
    return stat is not None and stat.state not in "ZX"


def daemons(seconds: str) -> list[int]:
    """The PIDs of processes that sleep for so long, by which a test knows its own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(path.parent.name))
    return found


@pytest.fixture
def seconds() -> str:
    """A length of sleep that no other process has."""
    return f"300.{secrets.randbelow(10**12):012}"


def start_campaign(c10k: C10k, seconds: str, environment: str = ENVIRONMENTS[0]) -> Any:
    """A campaign whose server has a daemon; it runs."""
    program = DAEMON.replace("{seconds!r}", repr(seconds)).replace("{environment}", environment)
    c10k.add_server("mine", program + echo())
    process = c10k.start(
        *("run", "--backend", "process", "--servers-dir", c10k.servers),
        *("--profile", c10k.profile(window_s=60)),
    )
    wait_for(lambda: daemons(seconds))
    return process


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_daemons_of_a_server_end_with_a_harness_that_is_killed(
    c10k: C10k, lock: Path, seconds: str, environment: str
) -> None:
    process = start_campaign(c10k, seconds, environment)

    process.kill()
    process.wait(WAIT_S)

    wait_for(lambda: not daemons(seconds) and not marked_processes())
    assert (done := c10k(*CLEAN)).code == 0, done.err
    assert list(lock.parent.glob("*.started*")) == []
    assert "found nothing to remove" in c10k(*CLEAN).out


def test_the_control_groups_of_a_killed_campaign_are_removed(c10k: C10k, seconds: str) -> None:
    process = start_campaign(c10k, seconds)
    groups = [directory for entry in Roster().entries() for directory in entry.groups]
    if not groups:
        pytest.skip("no control group can be made here")
    process.kill()
    process.wait(WAIT_S)
    wait_for(lambda: not daemons(seconds))
    assert all(directory.is_dir() for directory in groups)

    assert c10k(*CLEAN).code == 0

    assert not any(directory.exists() for directory in groups)


def test_a_load_and_a_server_that_outlived_their_harness_are_swept() -> None:
    with running("setsid", "sleep", "300") as load, running("setsid", "sleep", "300") as server:
        wait_for(
            lambda: all(
                server_processes.processes()[one.pid].session == one.pid for one in (load, server)
            )
        )
        roster = Roster()
        token = roster.begin()
        for one in (load, server):
            roster.add_process(token, one.pid)

        swept = ProcessBackend().sweep()

        assert sorted(swept) == sorted(f"process {one.pid}" for one in (load, server))
        assert load.wait(WAIT_S) == server.wait(WAIT_S) == -signal.SIGKILL


def test_a_server_that_becomes_a_daemon_does_not_outlive_its_trial(
    c10k: C10k, lock: Path, seconds: str
) -> None:
    program = DAEMON.replace("{seconds!r}", repr(seconds)).replace("{environment}", "os.environ")
    c10k.add_server("mine", program + echo())

    done = c10k.run(c10k.profile())

    assert done.code == 0, done.err + done.out
    assert daemons(seconds) == []
    assert marked_processes() == []
    assert list(lock.parent.glob("*.started*")) == []


@pytest.mark.parametrize("command", ["clean", "run"])
def test_a_user_who_set_our_variables_keeps_the_shell_and_its_jobs(
    c10k: C10k, command: str
) -> None:
    c10k.add_server("mine", echo())
    arguments = list(CLEAN)
    if command == "run":
        arguments = ["run", "--backend", "process", "--profile", str(c10k.profile())]
        arguments += ["--servers-dir", str(c10k.servers), "--reports", str(c10k.reports)]
    run = shlex.join([sys.executable, "-m", "harness.cli", *arguments])

    token = Roster().begin()
    with (
        running("sh", "-c", "sleep 300", **THEIRS) as job,
        running(**{TOKEN_VARIABLE: token}) as left,
    ):
        done = subprocess.run(
            ["sh", "-c", f'sleep 300 & {run}; echo "ended: $?"; kill $!'],
            cwd=ROOT,
            env={**os.environ, **THEIRS},
            capture_output=True,
            text=True,
            timeout=120,
        )

        assert done.returncode == 0, done.stderr  # `kill` found the job
        assert "ended: 0" in done.stdout
        assert job.poll() is None
        assert left.wait(WAIT_S) == -signal.SIGKILL


def test_a_sweep_spares_the_processes_that_it_runs_under(c10k: C10k) -> None:
    token = Roster().begin()
    run = shlex.join([sys.executable, "-m", "harness.cli", *CLEAN])

    with running(**{TOKEN_VARIABLE: token}) as left:
        done = subprocess.run(
            ["sh", "-c", f"{run}; echo survived"],
            cwd=ROOT,
            env={**os.environ, TOKEN_VARIABLE: token, "C10K_REPORTS": str(c10k.reports)},
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert done.stdout.splitlines()[-1] == "survived", done.stderr
        assert f"process {left.pid}" in done.stdout
        assert left.wait(WAIT_S) == -signal.SIGKILL


def test_what_belongs_to_another_lock_is_not_swept_up(tmp_path: Path) -> None:
    own, other = Roster().begin(), Roster(tmp_path / "other.lock").begin()

    with running(**{TOKEN_VARIABLE: own}) as ours, running(**{TOKEN_VARIABLE: other}) as theirs:
        assert ProcessBackend().sweep() == [f"process {ours.pid}"]
        assert ours.wait(WAIT_S) == -signal.SIGKILL
        assert theirs.poll() is None

"""The fork server: each load process is a fresh one of its own, and none outlives the harness."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from harness.backends.load_forks import ForkServer, LoadProcess
from harness.contract.errors import HostNotFit
from harness.host import isolation

WAIT_S = 10.0
TELLER = """
import json, os, signal, sys
print(json.dumps({
    "name": __name__,
    "pid": os.getpid(),
    "session": os.getsid(0),
    "network": os.readlink("/proc/self/ns/net"),
    "token": os.environ.get("TOLD"),
    "variables": len(os.environ),
    "has_locust": "locust" in sys.modules,
    "descriptors": sorted(map(int, os.listdir("/proc/self/fd"))),
}), flush=True)
print("to stderr", file=sys.stderr, flush=True)
for line in sys.stdin:
    print("heard " + line.strip(), flush=True)
if os.environ["TOLD"] == "raises":
    raise ValueError("a fault of the module")
signal.pause()
"""


@pytest.fixture
def server(tmp_path: Path) -> ForkServer:
    (tmp_path / "teller.py").write_text(TELLER)
    return ForkServer(("env", f"PYTHONPATH={tmp_path}"))


@pytest.fixture
def log() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


def started(server: ForkServer, log: IO[bytes], told: str = "1", **how: bool) -> LoadProcess:
    return server.fork(
        "teller", {"TOLD": told}, log.fileno(), has_network=how.get("has_network", False)
    )


def said(process: LoadProcess) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def test_a_module_runs_as_python_m_would_run_it_with_only_what_it_was_given(
    server: ForkServer, log: IO[bytes]
) -> None:
    process = started(server, log)
    told = said(process)
    process.write(b"a line\n")

    assert (told["name"], told["token"], told["variables"]) == ("__main__", "1", 1)
    assert told["pid"] == told["session"] == process.pid
    assert process.stdout.readline() == b"heard a line\n"
    # The last one is that of the listing itself
    assert told["descriptors"][:3] == [0, 1, 2]
    assert len(told["descriptors"]) == 4
    process.stop(WAIT_S)
    process.close()
    log.seek(0)
    assert b"to stderr" in log.read()


def test_each_process_is_another_in_a_network_of_its_own(
    server: ForkServer, log: IO[bytes]
) -> None:
    if os.geteuid() != 0 or isolation.found().namespaces is None:
        pytest.skip("network namespaces of root are refused here")
    both = [started(server, log, told, has_network=True) for told in "12"]
    told = [said(process) for process in both]

    here = str(Path("/proc/self/ns/net").readlink())
    assert len({here, *(one["network"] for one in told)}) == 3
    assert [one["token"] for one in told] == ["1", "2"]
    for process in both:
        process.stop(WAIT_S)
        process.close()


def test_the_load_has_its_imports_when_it_starts(log: IO[bytes]) -> None:
    server = ForkServer(())

    process = server.fork("harness.load", {"C10K_TRIAL": "{}"}, log.fileno(), has_network=False)

    assert b"load-error" in process.stdout.readline()
    process.close()
    children = Path(f"/proc/{server.pid}/maps").read_text()
    assert "gevent" in children


def test_what_a_module_raises_is_in_its_log(server: ForkServer, log: IO[bytes]) -> None:
    process = started(server, log, "raises")
    said(process)
    process.close()  # its stdin ends

    assert process.stdout.read() == b""
    log.seek(0)
    assert b"ValueError: a fault of the module" in log.read()


def test_a_process_that_ended_leaves_no_zombie(server: ForkServer, log: IO[bytes]) -> None:
    process = started(server, log)
    said(process)

    process.stop(WAIT_S)

    deadline_s = time.monotonic() + WAIT_S
    while Path(f"/proc/{process.pid}").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    process.stop(0)  # of one that is gone: nothing happens
    process.close()


def test_its_processes_end_with_the_fork_server_and_the_next_request_says_so(
    server: ForkServer, log: IO[bytes]
) -> None:
    process = started(server, log)
    said(process)
    handle = os.pidfd_open(process.pid)

    os.kill(server.pid, signal.SIGKILL)

    assert select.select([handle], [], [], WAIT_S)[0]
    os.close(handle)
    process.close()
    with pytest.raises(HostNotFit, match="fork server"):
        started(server, log)


def test_a_module_in_the_current_directory_is_not_taken_for_one_of_pythons(
    tmp_path: Path, log: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("select", "socket", "locust", "harness"):
        (tmp_path / f"{name}.py").write_text(f"open('{tmp_path}/executed', 'a').write('{name}')\n")
    monkeypatch.chdir(tmp_path)
    server = ForkServer(())

    process = server.fork("harness.load", {"C10K_TRIAL": "{}"}, log.fileno(), has_network=False)

    assert b"load-error" in process.stdout.readline()
    assert not (tmp_path / "executed").exists()


def test_no_python_that_the_harness_starts_looks_into_the_current_directory() -> None:
    """`-P` leaves it out of the path, as `-I` does; without them `-m` puts it first."""
    sources = [path.read_text() for path in Path("harness").rglob("*.py")]
    started_by = re.compile(r'(?:(?<!command_of\()sys\.executable|\["python"|, python), (.*)')
    started = [words for text in sources for words in started_by.findall(text)]

    assert len(started) >= 6
    assert [words for words in started if not words.startswith(('"-P", ', '"-I", '))] == []


def test_the_fork_server_ends_with_its_harness(tmp_path: Path) -> None:
    (tmp_path / "teller.py").write_text(TELLER)
    harness = (
        "import os, signal, sys, tempfile\n"
        "from harness.backends.load_forks import ForkServer\n"
        "server = ForkServer(())\n"
        "process = server.fork('teller', {'TOLD': '1'}, tempfile.TemporaryFile().fileno(), "
        "has_network=False)\n"
        "process.stdout.readline()\n"
        "print(server.pid, process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", harness],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
    ) as killed:
        assert killed.stdout is not None
        pids = [int(word) for word in killed.stdout.readline().split()]
    assert len(pids) == 2
    deadline_s = time.monotonic() + WAIT_S
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline_s, pids
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_how_a_process_ended_is_known_without_being_its_parent(
    server: ForkServer, log: IO[bytes], number: signal.Signals
) -> None:
    both = [started(server, log), started(server, log)]
    for process in both:
        said(process)

    os.kill(both[0].pid, number)
    both[1].close()  # its stdin ends, so it goes on to its pause

    assert both[0].exit_code() == -number
    both[0].close()


def test_a_process_that_ended_with_its_fork_server_ended_as_that_did(
    server: ForkServer, log: IO[bytes]
) -> None:
    both = [started(server, log), started(server, log)]
    for process in both:
        said(process)

    os.kill(server.pid, signal.SIGKILL)

    assert [process.exit_code() for process in both] == [-signal.SIGKILL] * 2
    for process in both:
        process.close()

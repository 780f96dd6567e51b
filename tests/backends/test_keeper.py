"""The keeper of a server: what it forked is neither lost to the accounts nor left behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from serving import until

from harness.backends.kept_server import KeptServer
from harness.backends.roster import Roster
from harness.backends.trial_processes import Recorded
from harness.host import procfs, server_processes
from harness.host.bounded_output import KEPT_BYTES
from harness.host.cpu_accounting import TICK_NS
from harness.host.fair_wait import Wait
from harness.host.isolation import pid_namespace_command

WITHIN_S = 10.0
# A user who reaches this Python as root does
ORDINARY = ("setpriv", "--reuid=65534", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
Start = Callable[..., KeptServer]


@pytest.fixture(params=["namespace", "subreaper"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts a Python program as a server is started, in a PID namespace and without one."""
    prefix = pid_namespace_command() if request.param == "namespace" else ()
    if request.param == "namespace" and not prefix:
        pytest.skip("PID namespaces are refused here")
    recorded = Recorded(Roster(tmp_path / "lock"))
    started: list[KeptServer] = []

    def one(program: str, *command: str, under: Sequence[str] = ()) -> KeptServer:
        command = command or (sys.executable, "-c", program)
        server = KeptServer(
            recorded,
            (*prefix, *under),
            command,
            group=recorded.group(f"test-{len(started)}"),
            directory=tmp_path,
            variables={},
        )
        started.append(server)
        return server

    yield one
    for server in started:
        server.end()
    recorded.end()


def said(server: KeptServer) -> str:
    return server.log.text


def kept(server: KeptServer) -> frozenset[int]:
    """All processes from the one that was started down, those that ended left out."""
    seen = server_processes.processes()
    below = server_processes.descendants(seen, [server.process.pid])
    return frozenset(pid for pid in below if pid in seen and seen[pid].state not in "ZX")


@pytest.mark.parametrize(("program", "code"), [("exit(3)", 3), ("import os; os.abort()", -6)])
def test_the_exit_code_is_the_servers(start: Start, program: str, code: int) -> None:
    server = start(program)

    assert server.wait(WITHIN_S)
    assert server.exit_code == code


# Writes an exit code of its own wherever its keeper may write one.
FORGES = """
import ctypes, os, time
parent = os.getppid()
libc = ctypes.CDLL(None, use_errno=True)
handle = os.pidfd_open(parent)
found = []
for number in range(64):
    try:
        found.append(os.open(f"/proc/{parent}/fd/{number}", os.O_WRONLY))
    except OSError:
        pass
    if (taken := libc.syscall(438, handle, number, 0)) >= 0 and os.geteuid():  # pidfd_getfd(2)
        found.append(taken)
for descriptor in found:
    try:
        os.write(descriptor, b"0\\n")
    except OSError:
        pass
time.sleep(0.2)
os._exit(3)
"""


@pytest.mark.parametrize("user", ["same", "other"])
def test_a_server_forges_no_exit_code(start: Start, user: str) -> None:
    """Root may take any descriptor of any process; an ordinary user may try."""
    if user == "other" and os.geteuid() != 0:
        pytest.skip("needs root: it becomes an ordinary user")
    server = start(FORGES, under=ORDINARY if user == "other" else ())

    assert server.wait(WITHIN_S)
    assert server.exit_code == 3


def test_a_command_that_is_not_there_is_told_as_a_shell_tells_it(start: Start) -> None:
    server = start("", "/no/such/server")

    assert server.wait(WITHIN_S)
    assert server.exit_code == 127
    assert "/no/such/server: No such file or directory" in said(server)


def test_sigterm_reaches_the_server_and_sigkill_one_that_ignores_it(start: Start) -> None:
    polite = start("import signal; signal.pause()")
    stubborn = start(
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('up', file=sys.stderr, flush=True); [signal.pause() for _ in iter(int, 1)]"
    )
    assert until(lambda: "up" in said(stubborn), WITHIN_S)

    assert polite.stop(Wait(WITHIN_S)) == -signal.SIGTERM
    assert stubborn.stop(Wait(0.3)) is None
    assert stubborn.exit_code == -signal.SIGKILL


def test_a_server_starts_with_no_signal_blocked_or_ignored_by_the_keeper(start: Start) -> None:
    server = start(
        "", "sh", "-c", "grep -E 'Sig(Ign|Blk)|Shd' /proc/$$/status | tr '\\n' ' ' >&2; sleep 60"
    )
    assert until(lambda: "SigIgn" in said(server), WITHIN_S)

    fields = said(server).split()
    assert int(fields[fields.index("SigBlk:") + 1], 16) == 0
    # CPython ignores these; what this process inherited is not the keeper's to change
    of_python = sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ))
    ignored_here = procfs.ignored_signals(Path("/proc/self/status").read_text())
    assert int(fields[fields.index("SigIgn:") + 1], 16) == ignored_here & ~of_python


ORPHAN = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        end = time.process_time() + {cpu_s}
        while time.process_time() < end: pass
        {then}
    os._exit(0)
os.wait()
print("forked", file=sys.stderr, flush=True)
signal.pause()
"""


def test_an_orphan_ends_with_its_keeper_and_not_with_its_server(start: Start) -> None:
    server = start(ORPHAN.format(cpu_s=0, then="time.sleep(600)"))
    assert until(lambda: "forked" in said(server), WITHIN_S)
    assert server.stop(Wait(WITHIN_S)) == -signal.SIGTERM
    left = kept(server)
    assert len(left) >= 2  # the keeper and the orphan

    server.end()

    assert until(lambda: not any(pid in server_processes.processes() for pid in left), WITHIN_S)


def test_the_cpu_time_of_an_orphan_that_ended_is_its_keepers(start: Start) -> None:
    server = start(ORPHAN.format(cpu_s=0.3, then="os._exit(0)"))
    assert until(lambda: "forked" in said(server), WITHIN_S)
    seen = server_processes.processes()
    (main,) = [
        pid
        for pid in kept(server)
        if b"process_time" in Path(f"/proc/{pid}/cmdline").read_bytes()
        and b"keeper.py" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        and seen[pid].session == pid
        and seen[seen[pid].parent].session != pid
        and pid != server.process.pid
    ][:1]
    keeper = seen[main].parent

    assert until(
        lambda: server_processes.processes()[keeper].collected_ticks * TICK_NS >= 0.29e9, WITHIN_S
    )


def test_a_control_group_counts_the_server_and_is_gone_after_it(start: Start) -> None:
    server = start(ORPHAN.format(cpu_s=0.3, then="os._exit(0)"))
    group = server.group
    if group is None:
        pytest.skip("no control group can be made here")

    assert until(lambda: group.cpu_ns() >= 0.29e9, WITHIN_S)
    server.end()

    assert not group.directory.exists()


def test_a_server_that_fills_its_log_fills_no_disk(start: Start) -> None:
    server = start("import os\nfor _ in range(1600): os.write(2, b'x' * 65535 + b'\\n')")

    assert server.wait(WITHIN_S)

    assert server.log.amount.size_bytes == 1600 << 16
    assert len(server.log.text) == KEPT_BYTES

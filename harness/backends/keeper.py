"""`python keeper.py CHANNEL GROUP COMMAND...`: keep one server, and everything that it forks.

The process backend starts every server under a keeper. The keeper inherits the server's orphans
and waits for them. So the kernel adds the CPU time of each to the keeper's (`cutime` in proc(5)),
and no process that the server forked outlives the keeper.

It is the first process of the server's PID namespace where there is one, and a subreaper
(PR_SET_CHILD_SUBREAPER in prctl(2)) elsewhere. It ends only when its harness orders it, so that the
checks can find a worker that a server leaves behind.

CHANNEL: descriptor of a socket. The harness writes orders: `T` sends SIGTERM to the server, `K`
SIGKILL. When the harness closes it, the keeper ends every process. The keeper writes the server's
exit code, negative for a signal, in one line. The server has the keeper's user and must not write
there: open(2) of /proc/PID/fd refuses sockets, and PR_SET_DUMPABLE blocks ptrace(2) and
pidfd_getfd(2).
GROUP: `cgroup.procs` of the control group that the server joins; empty for none.

It imports only a little of the standard library, because it starts with every server.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
INIT = 1
EXIT_CANNOT_START = 127  # a shell's exit code for a command that it cannot find


def main(channel: int, group: str, command: list[str]) -> None:
    """Start the server and keep it until CHANNEL ends."""
    os.set_inheritable(channel, False)
    _prctl(PR_SET_DUMPABLE, 0)
    is_init = os.getpid() == INIT
    if not is_init:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        # When the harness dies, CHANNEL ends. The kernel must not kill the keeper before it has
        # ended every process that it kept
        _prctl(PR_SET_PDEATHSIG, 0)
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    server = os.fork()
    if server == 0:
        _become(group, command, with_keeper=not is_init)
    alive = True
    while True:
        readable = select.select([channel, woken], [], [])[0]
        if woken in readable:
            os.read(woken, 4096)
            alive = _reap(server, channel) and alive
        if channel in readable:
            orders = _orders(channel)
            if not orders:
                break
            for order in orders.decode():
                if alive:
                    os.kill(server, signal.SIGTERM if order == "T" else signal.SIGKILL)
    _end_all(is_init=is_init)


def _orders(channel: int) -> bytes:
    try:
        return os.read(channel, 64)
    except ConnectionResetError:  # the harness closed it with an exit code unread
        return b""


def _become(group: str, command: list[str], *, with_keeper: bool) -> None:
    """Join the control group and execute the server. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        # CPython ignores these two signals, and execve(2) would pass that on to the server
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        if with_keeper:  # in a PID namespace the kernel does this
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if group:
            with open(group, "wb", buffering=0) as processes:  # noqa: PTH123 (no pathlib here)
                processes.write(b"0")
        os.execvp(command[0], command)  # noqa: S606 (the server, found on PATH)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(EXIT_CANNOT_START)


def _reap(server: int, channel: int) -> bool:
    """Wait for every ended process; return whether the server itself still runs."""
    goes_on = True
    while True:
        try:
            pid, result = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return goes_on
        if pid == 0:
            return goes_on
        if pid == server:
            goes_on = False
            with contextlib.suppress(ConnectionError):  # the harness has died
                os.write(channel, b"%d\n" % os.waitstatus_to_exitcode(result))


def _end_all(*, is_init: bool) -> None:
    """Send SIGKILL to every process left. Orphans of a killed process become the keeper's."""
    while True:
        try:
            if is_init:
                os.kill(-1, signal.SIGKILL)  # all other processes of the namespace
            else:
                for child in _children():
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except (ChildProcessError, ProcessLookupError):
            return


def _children() -> list[int]:
    own = str(os.getpid())
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 (no pathlib here)
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                members = file.read().rpartition(b")")[2].split()
        except (OSError, ValueError):
            continue
        if name.isdigit() and members[1].decode() == own and members[0] != b"Z":
            found.append(int(name))
    return found


def _prctl(option: int, value: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])

"""`python -m harness.load.forkserver DESCRIPTOR`: start load processes without their imports.

Locust takes half a second of CPU time to import, and each trial has a load process of its own.
This process imports it once. Then it forks for each request that it receives. The child has its own
session, environment, descriptors and network namespace, and runs a module as `python -m` does.

Rule 1: this process starts no thread and no event loop, which a fork would copy.
Rule 2: it ends when the other end of its socket is closed, and the kernel kills its children then.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

MESSAGE_BYTES_MAX = 1 << 18
# Of the child: stdin, stdout, stderr. Of this process: where the child's exit code is written
DESCRIPTORS = 4
# What takes long to import: Locust, which a module imports only after its first event, since a
# server starts meanwhile, and the models of what it is told.
IMPORTS = {
    "harness.load": ("harness.load.conductor",),
    "harness.load.selftest": ("harness.contract.selftest_spec",),
    "harness.conformance": ("harness.contract.suite_spec",),
}
# Locust replaces some of these by its event loop's own.
FORK, WAITPID, SET_HANDLER = os.fork, os.waitpid, signal.signal
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CLONE_NEWNET = 0x40000000  # linux/sched.h

# Of each child that runs: where its exit code is written, negative for a signal.
_statuses: dict[int, int] = {}


def main(descriptor: int) -> NoReturn:
    """Serve requests until the harness closes its end."""
    SET_HANDLER(signal.SIGCHLD, _reap)
    control = socket.socket(fileno=descriptor)
    while True:
        message, given, _, _ = socket.recv_fds(control, MESSAGE_BYTES_MAX, DESCRIPTORS)
        if not message:
            sys.exit(0)
        request = json.loads(message)
        for name in IMPORTS.get(request["module"], ()):
            importlib.import_module(name)
        # Until its pidfd is open nothing may wait for the child: its PID would be free
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        parent = os.getpid()
        try:
            pid = FORK()
        except OSError as error:  # no more processes: the next request may find one
            answer, handles = f"fork: {error.strerror}", []
        else:
            if pid == 0:
                control.close()
                _become(request, given, parent)
            answer, handles = str(pid), [os.pidfd_open(pid)]
            _statuses[pid] = given.pop()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for one in given:
            os.close(one)
        try:
            socket.send_fds(control, [answer.encode()], handles)
        except OSError:  # the harness is gone
            sys.exit(0)
        for one in handles:
            os.close(one)


def _reap(*_: Any) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := WAITPID(-1, os.WNOHANG))[0]:
            status = _statuses.pop(ended[0])
            with contextlib.suppress(OSError):  # the harness asks no more
                os.write(status, b"%d" % os.waitstatus_to_exitcode(ended[1]))
            os.close(status)


def _become(request: dict[str, Any], given: list[int], parent: int) -> NoReturn:
    """Be the process that was asked for; return never."""
    try:
        os.setsid()
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before the kernel was told
            os._exit(1)
        for one in (given.pop(), *_statuses.values()):
            os.close(one)
        for number, one in enumerate(given):
            os.dup2(one, number)
            os.close(one)
        SET_HANDLER(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.environ.clear()
        os.environ.update(request["environment"])
        if request["has_network"] and libc.unshare(_CLONE_NEWNET):
            error = os.strerror(ctypes.get_errno())
            print(f"cannot make a network namespace: {error}", file=sys.stderr)
            os._exit(1)
        sys.argv = [request["module"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        traceback.print_exc()
    finally:  # the loop of the server is not the child's
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))

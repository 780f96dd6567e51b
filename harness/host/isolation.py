"""Find how this user can isolate the trials of the process backend, by trying what a trial does.

A user may be allowed to make a namespace and not to configure it. So each way is tried completely:
make the network namespace, bring its loopback up, join it, start a process in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from harness.host import namespace

TRIED_S = 10.0
TOOLS = ("unshare", "nsenter", "taskset", "prlimit", "setpriv")
USER = ("unshare", "--user", "--map-current-user", "--keep-caps")


@dataclass(frozen=True, slots=True)
class Namespaces:
    """How this user makes a network namespace.

    `user` is the command that makes a user namespace first; empty for root.
    """

    user: tuple[str, ...]

    @property
    def make(self) -> tuple[str, ...]:
        """The command prefix that starts a process in a new network namespace."""
        return (*(self.user or ("unshare",)), "--net")

    def join(self, pid: int) -> tuple[str, ...]:
        """The command prefix that starts a process in the network namespace of `pid`."""
        user = ("--user", "--preserve-credentials") if self.user else ()
        return ("nsenter", "--target", str(pid), *user, "--net")


@dataclass(frozen=True, slots=True)
class Isolation:
    """What this user can isolate for a trial.

    Attributes:
        namespaces: how to make and join a network namespace; None where that is refused.
        unshare_pids: how to give a server a PID namespace with its own /proc; empty where that is
            refused. Without it a server can see the load, and has the same user.
    """

    namespaces: Namespaces | None
    unshare_pids: tuple[str, ...]


def found() -> Isolation:
    """Try each way of isolation, and return the first that works."""
    ways = [Namespaces(USER)]
    if os.geteuid() == 0:
        ways.insert(0, Namespaces(()))
    for way in ways:
        with subprocess.Popen(
            [*way.make, sys.executable, "-P", "-m", namespace.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as first:
            assert first.stdout is not None  # noqa: S101 (for the type checker)
            is_up = first.stdout.readline() == namespace.IS_UP
            if is_up and _succeeds(way.join(first.pid)):
                return Isolation(way, pid_namespace_command(way.join(first.pid)))
    return Isolation(None, pid_namespace_command())


def pid_namespace_command(within: Sequence[str] = ()) -> tuple[str, ...]:
    """How to give a server a PID namespace with its own /proc; empty where that is refused.

    An ordinary user needs a user namespace for it; the server does not keep its capabilities.
    `within` is the command prefix that starts a process where the server will be.
    """
    unshare: tuple[str, ...] = ("unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
    if os.geteuid() != 0:
        user = ("--user", "--map-current-user", "--keep-caps")
        drop = ("setpriv", "--inh-caps=-all", "--ambient-caps=-all")
        unshare = (*unshare[:1], *user, *unshare[1:], *drop)
    return unshare if _succeeds((*within, *unshare)) else ()


def _succeeds(prefix: Sequence[str]) -> bool:
    done = subprocess.run([*prefix, "true"], capture_output=True, timeout=TRIED_S, check=False)
    return done.returncode == 0


def missing_tools() -> list[str]:
    """List the `TOOLS` that are not installed; trials need them to start."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]

"""How this user isolates the trials of the process backend: found by doing what a trial does.

A capability that makes a namespace need not be one that may configure it. So each way is tried to
its end: make the network namespace, bring its loopback up, join it, start a process in there.
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

    `user` is what a process needs around it to make one, where it is not root's.
    """

    user: tuple[str, ...]

    @property
    def make(self) -> tuple[str, ...]:
        """The command that makes one for another."""
        return (*(self.user or ("unshare",)), "--net")

    def join(self, pid: int) -> tuple[str, ...]:
        """The command that starts another in that of a process."""
        user = ("--user", "--preserve-credentials") if self.user else ()
        return ("nsenter", "--target", str(pid), *user, "--net")


@dataclass(frozen=True, slots=True)
class Isolation:
    """What a trial gets of its own here.

    Attributes:
        namespaces: how to make and to join a network namespace; None where that is refused.
        unshare_pids: how a server gets a PID namespace, with a /proc of its own; empty where that
            is refused. Without it a server can see the load, and has the same user.
    """

    namespaces: Namespaces | None
    unshare_pids: tuple[str, ...]


def found() -> Isolation:
    """What this user may isolate, by trying it."""
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
    """How a server gets a PID namespace of its own, with a /proc; empty where that is refused.

    An ordinary user needs a user namespace for it, whose capabilities are not the server's.
    `within` is the command that starts it where the server will be.
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
    """Which of `TOOLS`, that trials are started with, are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]

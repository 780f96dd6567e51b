"""The servers in Python, for the tests that those in C++ pass as well.

They are started by their first line, as one who reads them does. A test module of theirs takes the
tests from the others' modules and has fixtures of its own in the place of theirs.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from serving import BUILD_S, SERVERS, Flavour


def file_of(variant: str) -> dict[str, Any]:
    """The variant.toml of a server."""
    return tomllib.loads((SERVERS / variant / "variant.toml").read_text())


@dataclass(frozen=True, slots=True)
class PythonServer(Flavour):
    """A server that is run as it is."""

    sanitizer: str = ""

    @property
    def connections_max(self) -> int | None:
        """The ceiling that it declares, None without one."""
        limits: dict[str, Any] = file_of(self.variant).get("limits", {})
        return limits.get("connections_max")

    def binary(self) -> Path:
        """What is started."""
        return SERVERS / self.variant / "server.py"


class Twin(Flavour):
    """A server in C++, of which nothing else is built than what its variant.toml says."""

    def __init__(self, variant: str) -> None:
        super().__init__(variant, "")

    def binary(self) -> Path:
        """The built program; skips where there is no compiler."""
        _build(self.variant)
        return SERVERS / "build" / self.variant


@functools.cache
def _build(variant: str) -> None:
    for tool in ("make", "g++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    command = file_of(variant)["process"]["build"]
    subprocess.run(command, cwd=SERVERS / variant, check=True, timeout=BUILD_S)


# With its twin in C++, which has the same wait mechanism and the same walls
TWINS = {
    "python-epoll-et": "epoll-et",
    "python-epoll-lt": "epoll-lt",
    "python-poll": "poll",
    "python-select": "select-fdset",
    "python-thread-per-connection": "thread-per-connection",
}
THREADS = PythonServer("python-thread-per-connection")
LOOPS = [PythonServer(name) for name in TWINS if name != THREADS.variant]
ASYNCIO = PythonServer("python-asyncio")  # its system's Python has no uvloop, as a rule

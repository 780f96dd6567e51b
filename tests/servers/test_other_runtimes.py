"""The servers of other runtimes: what the checks beside a server do not see of them.

Each is skipped where its runtime is not installed, and the reason names the package.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from discovering import discover
from serving import SERVERS, free_port, receive, until

from harness.variants.variant_files import Variant

READY_S = 30.0
PATIENCE_S = 10.0
STOP_S = 10.0
BUILD_S = 300.0
# A version of two or three numbers, whatever is written around it.
VERSION = re.compile(r"\b[vo]?\d+\.\d+(\.\d+)?")

SHIPPED = discover(SERVERS)
OTHERS = [each for each in SHIPPED if each.file.runtime and not each.file.counters]


@functools.cache
def built(name: str) -> tuple[str, ...]:
    """Build a server and return the command that starts it; skips without its runtime."""
    (variant,) = (each for each in OTHERS if each.name == name)
    process = variant.file.process
    assert process is not None
    missing = " ".join(process.missing_packages())
    if missing:
        pytest.skip(f"not installed: {missing}")
    if process.build:
        done = subprocess.run(
            process.build, cwd=variant.directory, capture_output=True, text=True, timeout=BUILD_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return process.command


@contextmanager
def running(variant: Variant, port: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The server, listening on a port of 127.0.0.1."""
    with subprocess.Popen(
        built(variant.name),
        cwd=variant.directory,
        env={**os.environ, "LISTEN": f"tcp://127.0.0.1:{port}", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert until(lambda: answers(port), READY_S), process.poll()
            yield process
        finally:
            process.kill()


def answers(port: int) -> bool:
    try:
        peer = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    except ConnectionRefusedError:
        return False
    with peer:
        peer.sendall(b"?")
        return receive(peer, 1) == b"?"


def names(variants: list[Variant]) -> list[str]:
    return [variant.name for variant in variants]


@pytest.mark.parametrize("variant", OTHERS, ids=names(OTHERS))
def test_it_tells_its_runtime_and_the_version_in_one_line(variant: Variant) -> None:
    command = [*built(variant.name), "--version"]

    done = subprocess.run(
        command, cwd=variant.directory, capture_output=True, text=True, timeout=READY_S
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert VERSION.search(done.stdout), done.stdout


@pytest.mark.parametrize("variant", OTHERS, ids=names(OTHERS))
def test_it_serves_and_stops_without_a_word(variant: Variant) -> None:
    """Neither a connection, nor a reset, nor the end is worth a line in its log."""
    port = free_port()
    with running(variant, port) as server:
        peer = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        peer.sendall(b"unread")
        peer.close()  # with an echo on its way: the server gets a reset
        assert answers(port)

        server.terminate()
        out, err = server.communicate(timeout=STOP_S)

    assert server.returncode == 0
    assert (out, err) == ("", "")


@pytest.mark.parametrize("variant", OTHERS, ids=names(OTHERS))
@pytest.mark.parametrize("backlog", ["0", "65536", "many", ""])
def test_a_backlog_that_is_none_is_refused_with_a_word(variant: Variant, backlog: str) -> None:
    done = subprocess.run(
        built(variant.name),
        cwd=variant.directory,
        env={**os.environ, "LISTEN": f"tcp://127.0.0.1:{free_port()}", "BACKLOG": backlog},
        capture_output=True,
        text=True,
        timeout=READY_S,
    )

    assert done.returncode == 2
    assert "BACKLOG" in done.stderr
    assert len(done.stderr.splitlines()) == 1

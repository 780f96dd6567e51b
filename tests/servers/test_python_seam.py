"""Servers in Python differ from each other in the mechanism, from their twins in the language."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import SERVERS, Server, echo, pattern, run_to_end
from serving_python import ASYNCIO, LOOPS, THREADS, TWINS, PythonServer, Twin, file_of

MECHANISM_LINES_MAX = 150
DESCRIPTION = re.compile(
    r"^(title|architecture|family|counters|summary|connections_max|beyond|reason|build|command) "
    r"= .*\n",
    re.M,
)
VARIANTS = sorted(path.parent.name for path in SERVERS.glob("python-*/variant.toml"))
BAD_LISTENS = [
    "",
    "localhost:7000",
    "udp://127.0.0.1:7000",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:",
    "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:65536",
    "tcp://127.0.0.1:+7000",
    "tcp://127.0.0.1:7_000",
    "tcp://127.0.0.1:\u0667\u0660",
    "tcp://localhost:7000",
    "tcp://::1:7000",
    "tcp://[127.0.0.1]:7000",
    "tcp://[::1:7000",
    "unix",
    "unix://",
    "unix://relative",
    "unix:///" + "x" * 107,
    "unix:///" + "\u00e9" * 54,
    "unix:///no/such/directory/echo.sock",
    "tcp://192.0.2.1:7000",  # TEST-NET-1
]
BAD_BACKLOGS = ["", "0", "-1", "65536", "many", "12 ", " 12", "1_0"]


def without_its_name(variant: str, file: str) -> str:
    text = (SERVERS / variant / file).read_text()
    if file == "variant.toml":
        text = DESCRIPTION.sub("", text).replace("\n[limits]\n", "")
    return text.replace(variant, "NAME").replace(" python3-uvloop", "")


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_mechanism_differs_between_two_servers_in_python(variant: str) -> None:
    directory = SERVERS / variant
    files = {path.name for path in directory.iterdir()} - {"build.sh"}

    assert files - {"__pycache__"} == {"Dockerfile", "c10k.py", "server.py", "variant.toml"}
    for file in ("Dockerfile", "variant.toml", "c10k.py"):
        assert without_its_name(variant, file) == without_its_name("python-poll", file)
    assert len((directory / "server.py").read_text().splitlines()) <= MECHANISM_LINES_MAX


@pytest.mark.parametrize(("variant", "twin"), TWINS.items())
def test_a_twin_is_described_as_the_one_in_cpp(variant: str, twin: str) -> None:
    mine, other = file_of(variant), file_of(twin)

    for key in ("architecture", "workers", "counters", "status"):
        assert mine[key] == other[key]
    assert ("limits" in mine) == ("limits" in other)


@pytest.mark.parametrize("variant", [*TWINS, ASYNCIO.variant])
def test_it_tells_its_runtime_in_one_line(variant: str) -> None:
    """Nothing makes Python write at once in a container, and os._exit() drops what it holds."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "server.py", "--version"],
        cwd=SERVERS / variant,
        env=buffered,
        capture_output=True,
        text=True,
        timeout=30,
    )

    version = ".".join(map(str, sys.version_info[:3]))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"CPython {version}\n"


@pytest.mark.parametrize("server", [LOOPS[0], THREADS, ASYNCIO], ids=str)
def test_what_it_refuses_it_refuses_in_the_words_of_its_twin(server: PythonServer) -> None:
    twin = Twin(TWINS.get(server.variant, "epoll-lt"))
    cases = [{"LISTEN": value} for value in BAD_LISTENS]
    cases += [{"BACKLOG": value} for value in BAD_BACKLOGS]
    if server is not LOOPS[0]:  # what they share is asked once
        cases = [cases[0], cases[-1]]

    for case in cases:
        mine, other = run_to_end(server, **case), run_to_end(twin, **case)
        assert mine.exit_code == other.exit_code != 0
        assert mine.stderr == other.stderr.replace(twin.variant, server.variant, 1)
    mine, other = run_to_end(server, "--port=7000"), run_to_end(twin, "--port=7000")
    assert (mine.exit_code, other.exit_code) == (2, 2)
    assert mine.stderr == other.stderr.replace(twin.variant, server.variant, 1)


def test_asyncio_closes_what_it_holds_when_it_is_stopped(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(ASYNCIO, f"unix://{tmp_path}/echo.sock")
    peers = [server.connect() for _ in range(20)]
    assert all(echo(peer, pattern(50_000, seed)) for seed, peer in enumerate(peers))

    ended = server.stop()

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert all(peer.recv(1) == b"" for peer in peers)
    assert not (tmp_path / "echo.sock").exists()

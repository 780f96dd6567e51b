"""Campaigns whose engine or containers something outside the harness ends."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from command import C10k, wait_for

from harness.backends import container_ends, images
from harness.backends.base import LABEL
from harness.backends.confinement import LAUNCHED
from harness.campaign import own_container as compose
from harness.contract.errors import Interrupted

pytestmark = [pytest.mark.docker, pytest.mark.slow]
# The first build installs all dependencies from the network.
BUILD_TIMEOUT_S = 900
ENGINE = "/var/run/docker.sock"
ALLOCATES = "x = bytearray(256 << 20); print(sum(x))"


@pytest.fixture(autouse=True, scope="module")
def image(engine: docker.DockerClient) -> Iterator[str]:
    """The harness's image of this tree, built once for all tests here."""
    os.environ.pop("C10K_HARNESS_IMAGE", None)
    os.environ["C10K_HARNESS_IMAGE"] = images.harness_image(engine, BUILD_TIMEOUT_S)
    yield os.environ["C10K_HARNESS_IMAGE"]
    del os.environ["C10K_HARNESS_IMAGE"]


class Proxy:
    """A socket in front of the engine's, which can go away as a stopping engine's does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and break those that are open."""
        self.path.unlink(missing_ok=True)
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                real = socket.socket(socket.AF_UNIX)
                real.connect(ENGINE)
                self._open += [client, real]
                for pair in ((client, real), (real, client)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def started(c10k: C10k) -> Any:
    """A campaign of one server that measures."""
    profile = c10k.profile(window_s=2.0, trials=2)
    process = c10k.start(
        *("run", "--backend", "docker", "--profile", profile, "--seed", "7"),
        *("--servers", "epoll-lt"),
    )
    c10k.await_cell(process)
    return process


def kill(engine: docker.DockerClient, c10k: C10k, which: str) -> None:
    """`docker kill` of the campaign's load or server."""
    (head,) = c10k.reports.glob("*/campaign.json")
    ours: dict[str, Any] = {"label": f"{LABEL}={head.parent.name}"}

    def found() -> list[Any]:
        running = engine.containers.list(filters=ours)
        return [one for one in running if str(one.name).endswith(f"-{which}")]

    wait_for(found)[0].kill()


def test_an_engine_that_stops_ends_the_campaign_in_a_sentence_and_it_can_go_on(
    c10k: C10k, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path / "docker.sock")
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{proxy.path}")
        process = started(c10k)
        proxy.stop()
        done = c10k.finish(process)

    assert done.code == 3, done.err
    assert done.err.count("no longer answers") == 1
    assert "Traceback" not in done.err
    assert "bug in c10k" not in done.err
    assert f"c10k run --resume {done.directory.name}" in done.err
    assert done.head()["state"] == "interrupted"
    assert (done.directory / "report.html").is_file()
    kept = done.cells
    assert kept

    resumed = c10k("run", "--resume", done.directory.name)

    assert resumed.code == 0, resumed.err + resumed.out
    assert resumed.cells[: len(kept)] == kept
    assert {outcome["outcome"] for outcome in resumed.outcomes} == {"done"}


def test_a_load_that_is_killed_from_outside_interrupts_the_campaign(
    c10k: C10k, engine: docker.DockerClient
) -> None:
    process = started(c10k)
    kill(engine, c10k, "load")
    done = c10k.finish(process)

    assert done.code == 130, done.err
    assert "-load was ended: exit 137, SIGKILL from outside the harness" in done.err
    assert done.head()["state"] == "interrupted"


def test_a_server_that_is_killed_from_outside_is_named_with_its_exit_code(
    c10k: C10k, engine: docker.DockerClient
) -> None:
    process = started(c10k)
    kill(engine, c10k, "server")
    done = c10k.finish(process)

    assert done.code == 4, done.err
    failed = [one for one in done.outcomes if one["outcome"] == "failed"]
    assert [one["code"] for one in failed] == ["server-died"]
    assert "exit 137, SIGKILL from outside the harness" in failed[0]["text"]


def test_lack_of_memory_is_told_from_a_kill(engine: docker.DockerClient, image: str) -> None:
    hungry = engine.containers.run(
        image,
        entrypoint=["python", "-c", ALLOCATES],
        detach=True,
        network_mode="none",
        mem_limit="64m",
        memswap_limit="64m",
    )
    try:
        how = container_ends.killed(hungry, {container_ends.KILLED})
    finally:
        hungry.remove(force=True)

    assert how == "exit 137, the kernel killed it for lack of memory (OOM)"


def test_a_container_that_is_removed_as_it_ends_still_tells_its_exit_code(
    engine: docker.DockerClient, image: str
) -> None:
    waits = {"entrypoint": ["python", "-c", "import sys; sys.exit(len(input()))"]}
    options: dict[str, Any] = {**waits, "stdin_open": True, "network_mode": "none"}
    campaign, gone = (engine.containers.create(image, **options) for _ in range(2))
    for one in (campaign, gone):
        one.start()
    gone.remove(force=True)

    ending = compose.Ending(campaign)
    time.sleep(1)  # a campaign takes longer
    stdin: Any = campaign.attach_socket(params={"stdin": 1, "stream": 1})
    getattr(stdin, "_sock", stdin).sendall(b"seven..\n")
    code = ending.code()
    campaign.remove(force=True)

    assert code == 7
    with pytest.raises(Interrupted, match="was removed from outside"):
        compose.Ending(gone).code()


def test_a_sweep_takes_launched_campaigns_only_once_their_launcher_is_gone(
    engine: docker.DockerClient, image: str
) -> None:
    launcher = engine.containers.run(image, entrypoint=["sleep", "600"], detach=True)
    made = [launcher]
    try:
        for owner in (str(launcher.id), "0" * 64):
            label = {LAUNCHED: owner}
            made.append(engine.containers.create(image, entrypoint=["true"], labels=label))
        mine, orphan = made[1:]
        mine.start()
        mine.wait()
        before = {one.id for one in container_ends.launched(engine)}
        launcher.remove(force=True)
        after = {one.id for one in container_ends.launched(engine)}
    finally:
        for one in made:
            container_ends.remove(one)

    assert orphan.id in before
    assert mine.id not in before
    assert {mine.id, orphan.id} <= after


# Its first process ends with code 0, as a program does that puts itself into the background.
BECOMES_A_DAEMON = """
import os, signal, sys, time
if os.fork():
    os._exit(0)
os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.execvp("sleep", ["sleep", "{seconds}"])
"""


def sleeping(seconds: str) -> list[str]:
    """Processes of this host, those in containers too, that sleep so long."""
    wanted = b"\0".join([b"sleep", seconds.encode(), b""])
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == wanted:
                found.append(path.parent.name)
    return found


def test_a_server_that_becomes_a_daemon_ends_with_its_trial(
    c10k: C10k, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = "86413"
    c10k.add_server("daemonised", BECOMES_A_DAEMON.format(seconds=seconds))
    arguments = ("--backend", "docker", "--profile", c10k.profile(ready_s=20))

    # Streams of the engine are closed in order: else Python 3.13, or 3.11 in this mode, complains
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    done = c10k("run", *arguments, "--servers-dir", c10k.servers)

    assert "Exception ignored" not in done.err
    assert done.code == 4, done.err
    assert {one["text"] for one in done.outcomes} == {"it exited with 0 before it was ready"}
    assert sleeping(seconds) == []

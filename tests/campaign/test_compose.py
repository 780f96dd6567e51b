"""`docker compose` as a person types it, in clones that share a project."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from command import PROFILE, ROOT, USUAL, wait_for

from harness.backends.confinement import LAUNCHED

pytestmark = [pytest.mark.docker, pytest.mark.slow]
# Another project than that of a person's own clone on this machine
PROJECT = "c10k-test"
# The first build installs all dependencies from the network.
BUILD_TIMEOUT_S = 900
TIMEOUT_S = 180
OWNER = 12345
UP = ("up", "--exit-code-from", "harness")


@dataclass
class Clone:
    """A copy of the tree."""

    directory: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def reports(self) -> Path:
        return self.directory / "reports"

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        fixed = {"DOCKER_BUILDKIT": "0", "COMPOSE_BAKE": "false", "COMPOSE_PROJECT_NAME": PROJECT}
        process = subprocess.Popen(
            ["env", "--default-signal=INT", "docker", "compose", "--ansi", "never", *arguments],
            cwd=self.directory,
            env={**os.environ, **fixed, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def __call__(
        self, *arguments: str, timeout_s: float = TIMEOUT_S, **variables: str
    ) -> tuple[int, str]:
        process = self.start(*arguments, **variables)
        out, _ = process.communicate(timeout=timeout_s)
        return process.returncode, out

    def harness(self, *arguments: str) -> tuple[int, str]:
        return self("run", "--rm", "harness", *arguments)

    def up(self, **settings: object) -> subprocess.Popen[str]:
        """`docker compose up` with a profile of the clone's own, once it measures."""
        (self.directory / "mine.toml").write_text(PROFILE.format(**{**USUAL, **settings}))
        process = self.start("up", C10K_PROFILE="mine.toml", C10K_SERVERS="epoll-lt")
        wait_for(lambda: list(self.reports.glob("*/trials.jsonl")) or process.poll(), TIMEOUT_S)
        assert process.poll() is None, process.communicate()[0]
        return process

    def state(self) -> str:
        (head,) = self.reports.glob("*/campaign.json")
        return str(json.loads(head.read_text())["state"])

    def last_lines(self, count: int) -> list[str]:
        out = self("logs", "--no-log-prefix", "--no-color", "harness")[1]
        return [line.strip() for line in out.splitlines() if line.strip()][-count:]


def clone(directory: Path) -> Clone:
    """What a clone of this tree holds, with reports and servers that are not root's."""
    directory.mkdir()
    listed = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others"]
    names = subprocess.run(
        [*listed, "--exclude-standard"], cwd=ROOT, capture_output=True, check=True, timeout=60
    ).stdout
    copy = ["xargs", "--null", "cp", "--no-dereference", "--parents", "--target-directory"]
    subprocess.run([*copy, directory], cwd=ROOT, input=names, check=True, timeout=60)
    for name in ("reports", "servers"):
        os.chown(directory / name, OWNER, OWNER)
    return Clone(directory)


@pytest.fixture(autouse=True, scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The image, so that no test waits for it."""
    tree = clone(tmp_path_factory.mktemp("built") / "c10k")
    code, out = tree("build", timeout_s=BUILD_TIMEOUT_S)
    assert code == 0, out


@pytest.fixture
def clones(tmp_path: Path) -> Iterator[tuple[Clone, Clone]]:
    """Two clones with one name. All that they started is gone after the test."""
    paths = [tmp_path / one for one in ("a", "b")]
    for path in paths:
        path.mkdir()
    both = clone(paths[0] / "c10k"), clone(paths[1] / "c10k")
    yield both
    both[0]("down", "--timeout", "60")
    for process in (*both[0].started, *both[1].started):
        if process.poll() is None:
            process.kill()
        process.wait(30)
    for container in launched():
        container.remove(force=True)


def launched() -> list[Any]:
    client = docker.from_env()
    try:
        return list(client.containers.list(all=True, filters={"label": LAUNCHED}))
    finally:
        client.close()


def test_a_second_up_is_refused_and_the_campaign_goes_on(clones: tuple[Clone, Clone]) -> None:
    first, other = clones
    running = first.up(window_s=2.0, trials=6)

    code, out = other(*UP)
    again, told = first(*UP, C10K_PROFILE="mine.toml", C10K_SERVERS="epoll-lt")

    assert (code, again) == (3, 3), out + told
    assert "another campaign is running on this host" in out
    assert first.state() == "running"
    shown, _ = running.communicate(timeout=TIMEOUT_S)
    assert "the campaign goes on" in shown
    (campaign,) = launched()
    assert f"docker logs --follow {campaign.name}" in shown
    wait_for(lambda: first.state() != "running", TIMEOUT_S)
    assert first.state() == "done"
    assert list(other.reports.glob("*/campaign.json")) == []
    wait_for(lambda: launched()[0].status == "exited")
    code, out = first.harness("clean")
    assert code == 0, out
    assert f"container {campaign.name}" in out
    assert launched() == []


def test_after_ctrl_c_the_log_ends_with_the_report_and_the_meaning(
    clones: tuple[Clone, Clone],
) -> None:
    """Compose shows no output of a container that it stops."""
    running = clones[0].up(window_s=2.0, trials=6)

    running.send_signal(signal.SIGINT)
    shown, _ = running.communicate(timeout=TIMEOUT_S)

    told, meaning = clones[0].last_lines(2)
    report = told.removeprefix("report: ")
    assert meaning == "exit 130: interrupted, partial results saved"
    assert (clones[0].directory / report).is_file()
    assert f"its report will be {report}" in shown
    assert clones[0].state() == "interrupted"
    assert launched() == []


def test_other_commands_have_the_paths_of_the_clone(clones: tuple[Clone, Clone]) -> None:
    tree, _ = clones
    (tree.directory / "mine.toml").write_text(PROFILE.format(**USUAL))

    made = tree.harness("new", "mine", "--no-check")
    checked = tree.harness("check", "mine", "--quick")
    run = ("run", "--profile", "mine.toml", "--servers", "mine,epoll-lt")
    planned = tree.harness(*run, "--dry-run")

    assert (made[0], checked[0], planned[0]) == (0, 0, 0), f"{made} {checked} {planned}"
    assert "servers/mine" in made[1]
    new = tree.directory / "servers/mine"
    assert {path.stat().st_uid for path in (new, *new.rglob("*"))} == {OWNER}
    assert "profile mine.toml" in planned[1]


def test_a_missing_socket_is_named_and_not_made(clones: tuple[Clone, Clone]) -> None:
    missing = clones[0].directory / "nothing.sock"

    code, out = clones[0](*UP, DOCKER_SOCKET=str(missing))

    assert code != 0
    assert f"bind source path does not exist: {missing}" in out
    assert not missing.exists()


def test_a_lock_that_cannot_be_opened_is_no_lock(clones: tuple[Clone, Clone]) -> None:
    (clones[0].directory / "docker-compose.override.yml").write_text(
        "services: {harness: {volumes: ['/run/lock:/run/lock:ro']}}\n"
    )

    code, out = clones[0].harness("check", "epoll-lt", "--quick")

    assert code == 3, out
    assert "/run/lock/c10k.lock: the campaign lock cannot be opened: Read-only" in out


def test_a_socket_that_refuses_the_user_says_whom_and_what_to_do(
    clones: tuple[Clone, Clone],
) -> None:
    """Root of a container is such a user where the engine remaps users."""
    code, out = clones[0]("run", "--rm", "--user", str(OWNER), "harness", "check", "epoll-lt")

    assert code == 3, out
    assert f"refuses user {OWNER}: Permission denied" in out
    assert "userns_mode: host" in out


def test_the_proxies_of_docker_s_configuration_reach_the_builds_of_servers(
    clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    tree, proxy = clones[0], "http://127.0.0.1:9"
    plugins = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins"
    if plugins.is_dir():
        (tmp_path / "cli-plugins").symlink_to(plugins)
    (tmp_path / "config.json").write_text(
        json.dumps({"proxies": {"default": {"httpProxy": proxy}}})
    )
    code, out = tree.harness("new", "mine", "--no-check")
    assert code == 0, out
    (tree.directory / "servers/mine/Dockerfile").write_text(
        f'ARG BASE\nFROM ${{BASE}}\nRUN test "$http_proxy" = {proxy}\nENTRYPOINT ["false"]\n'
    )
    (tree.directory / "mine.toml").write_text(PROFILE.format(**USUAL))
    # The harness's own image is there, and nothing is to be fetched through this proxy
    (tree.directory / "docker-compose.override.yml").write_text(
        "services: {harness: {pull_policy: never}}\n"
    )

    run = ("run", "--rm", "harness", "run", "--profile", "mine.toml", "--servers", "mine")
    code, out = tree(*run, DOCKER_CONFIG=str(tmp_path))

    assert code == 4, out
    assert "does not build" not in out
    assert "it exited with 1 before it was ready" in out

"""Campaigns in containers of a real engine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from command import ROOT, C10k
from discovering import discover
from faulty_servers import CRASHES_AT_START, echo

from harness.backends import container_ends, images
from harness.backends.base import LABEL, TrialContext
from harness.backends.confinement import LOCK_LABEL, SERVER_UID
from harness.backends.docker import DockerBackend
from harness.backends.process import ProcessBackend
from harness.contract.errors import HostNotFit, Interrupted, ServerFault
from harness.host import cpus, lock
from harness.host.bounded_output import KEPT_BYTES
from harness.host.fair_wait import Wait
from harness.plan import limits, trial_plan
from harness.plan.profiles import profile as profiles
from harness.variants import groups

pytestmark = pytest.mark.docker
SHIPPED = "epoll-lt,thread-per-connection"


# The first build installs all dependencies from the network.
BUILD_TIMEOUT_S = 900


@pytest.fixture(autouse=True, scope="module")
def built(engine: docker.DockerClient) -> Iterator[None]:
    """The harness's image of this tree, built once for all tests here."""
    os.environ.pop("C10K_HARNESS_IMAGE", None)
    os.environ["C10K_HARNESS_IMAGE"] = images.harness_image(engine, BUILD_TIMEOUT_S)
    yield
    del os.environ["C10K_HARNESS_IMAGE"]


def left_behind(engine: docker.DockerClient) -> list[str]:
    """Of campaigns under our lock: another may use the engine at the time."""
    ours: dict[str, Any] = {"label": [LABEL, f"{LOCK_LABEL}={lock.default_path()}"]}
    found = engine.containers.list(all=True, filters=ours)
    volumes = engine.volumes.list(filters=ours)
    return [str(thing.name) for thing in found] + [str(one.name) for one in volumes]


def arguments(c10k: C10k, **settings: object) -> tuple[str, ...]:
    profile = c10k.profile(**settings)
    return ("run", "--backend", "docker", "--profile", str(profile), "--seed", "7")


def test_containers_are_measured_confined_and_removed(
    c10k: C10k, engine: docker.DockerClient
) -> None:
    done = c10k(*arguments(c10k), "--servers", SHIPPED)

    assert done.code == 0, done.err + done.out
    assert len(done.cells) == 2 * 2
    for cell in done.cells:
        assert cell["connections_established_min"] == 50
        assert cell["corrupt_bytes"] == 0
        applied = cell["limits"]["applied"]
        assert applied["uid"] == SERVER_UID
        assert applied["pid1"] is False
        assert applied["cpus"] == cell["limits"]["asked"]["cpus"]
        assert applied["sysctls"]["net.core.somaxconn"] == str(limits.BACKLOG)
    assert {outcome["reconciled"] for outcome in done.outcomes} == {True}
    assert {outcome["exit_code"] for outcome in done.outcomes} == {0}
    traffic = [cell for cell in done.cells if cell["scenario"] == "idle"]
    # Version 1 of the control groups charges no sockets by default: then the estimate stands.
    version = str(done.head()["environment"]["backend_cgroup_version"])
    expected = {"1": "slab-half", "2": "cgroup-v2"}[version]
    assert {cell["server"]["memory_kernel_source"] for cell in traffic} == {expected}
    assert left_behind(engine) == []


@pytest.mark.slow
def test_containers_side_by_side_take_turns_and_are_removed(
    c10k: C10k, engine: docker.DockerClient
) -> None:
    profile = c10k.profile(window_s=2.0)
    text = profile.read_text().replace("ranked = false", "ranked = false\nside_by_side = true")
    profile.write_text(text + "turns = 5\n")

    done = c10k(
        *("run", "--backend", "docker", "--profile", profile, "--seed", "7"),
        *("--servers", SHIPPED),
    )

    assert done.code == 0, done.err + done.out
    assert [cell["cell"] for cell in done.cells] == [0, 0, 1, 1]
    for cell in done.cells[2:]:
        assert (cell["turns"], cell["failure"]) == (5, None)
        assert cell["window_s"] == pytest.approx(2.0, rel=0.1)
        assert cell["server"]["counters"]["bytes_in"] >= 64 * cell["echoes"]
    assert {outcome["reconciled"] for outcome in done.outcomes} == {True}
    assert left_behind(engine) == []


def test_a_directory_with_a_dockerfile_is_the_whole_registration(c10k: C10k) -> None:
    c10k.add_server("mine", echo())

    done = c10k(*arguments(c10k), "--servers-dir", c10k.servers)

    assert done.code == 0, done.err + done.out
    assert {cell["variant"] for cell in done.cells} == {"mine"}


def test_what_does_not_build_or_start_is_told_and_the_others_are_measured(c10k: C10k) -> None:
    c10k.add_server("mine", echo())
    c10k.add_server("crashes", CRASHES_AT_START)
    broken = c10k.add_server("broken", echo())
    (broken / "Dockerfile").write_text(
        "ARG BASE\nFROM ${BASE}\nRUN echo server.c:3: expected a semicolon && exit 2\n"
    )

    # A start may take its time: that nobody waits for what has ended must not be a matter of it
    done = c10k(*arguments(c10k, ready_s=60), "--servers-dir", c10k.servers)

    assert done.code == 4
    outcomes = {outcome["variant"]: outcome for outcome in done.outcomes}
    assert outcomes["broken"]["code"] == "build-failed"
    assert "expected a semicolon" in outcomes["broken"]["log_tail"]
    assert outcomes["crashes"]["text"].startswith("it exited with 1 before it was ready: ")
    assert "mine.conf: no such file" in outcomes["crashes"]["log_tail"]
    assert outcomes["mine"]["outcome"] == "done"


@pytest.mark.slow
@pytest.mark.timing
def test_a_server_that_nobody_here_wrote_fails_in_a_container_what_its_table_says(
    c10k: C10k,
) -> None:
    name, directory = "asyncio-streams", ROOT / "tests/foreign_servers"
    expected = tomllib.loads((directory / "expected.toml").read_text())[name]

    done = c10k(
        *("check", name, "--quick", "--json"),
        *("--backend", "docker", "--servers-dir", directory, "--reports", c10k.reports),
    )

    assert done.code == 4, done.err + done.out
    document = json.loads(done.out)
    assert document["complete"] is True
    (told,) = document["servers"]
    assert told["failure"] is None
    failed = [check for check in told["checks"] if check["status"] == "fail"]
    fails = set(expected["fails"]) - expected.get("docker", {}).keys()
    assert {check["id"] for check in failed} == fails, failed


def test_a_signal_leaves_no_container(c10k: C10k, engine: docker.DockerClient) -> None:
    process = c10k.start(*arguments(c10k, window_s=2.0, trials=2), "--servers", SHIPPED)
    c10k.await_cell(process)
    process.send_signal(signal.SIGTERM)
    done = c10k.finish(process)

    assert done.code == 130, done.err
    assert (done.directory / "report.html").is_file()
    assert left_behind(engine) == []


@pytest.mark.slow
def test_what_a_sigkill_leaves_is_removed_by_the_next_start(
    c10k: C10k, engine: docker.DockerClient
) -> None:
    process = c10k.start(*arguments(c10k, window_s=2.0, trials=2), "--servers", SHIPPED)
    c10k.await_cell(process)
    process.kill()
    killed = c10k.finish(process)
    assert left_behind(engine) != []

    mended = c10k("clean", "--backend", "docker")

    assert mended.code == 0
    assert "container" in mended.out
    assert left_behind(engine) == []
    assert killed.head()["state"] == "interrupted"
    assert (killed.directory / "report.html").is_file()


# One line, as of a runtime: who it is, what it may, and what network it has.
TELLS_ITS_RIGHTS = """
import json, os, pathlib
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
rights = {name: status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
print(json.dumps(rights | {"uid": os.getuid(), "net": os.listdir("/sys/class/net")}))
"""


def asked_for_its_runtime(
    engine: docker.DockerClient, program: str, timeout_s: float = BUILD_TIMEOUT_S
) -> str:
    """What a server of this source tells, started as a variant's is."""
    (variant,) = groups.select(discover(Path("servers")), ["epoll-lt"])
    options = DockerBackend().alone("of-a-test") | {"entrypoint": ["python", "-c", program]}
    image = os.environ["C10K_HARNESS_IMAGE"]
    return images.runtime_of(engine, variant, image, timeout_s, **options)


def test_a_server_that_tells_its_runtime_has_no_more_rights_than_in_a_trial(
    engine: docker.DockerClient,
) -> None:
    told = json.loads(asked_for_its_runtime(engine, TELLS_ITS_RIGHTS))

    assert told == {
        **{"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"},
        **{"uid": SERVER_UID, "net": ["lo"]},
    }
    assert left_behind(engine) == []


def test_the_engine_keeps_a_bound_of_what_a_server_writes(engine: docker.DockerClient) -> None:
    options = DockerBackend().alone("of-a-test")
    image = os.environ["C10K_HARNESS_IMAGE"]
    program = "import os\nfor _ in range(1600): os.write(2, b'x' * 65535 + b'\\n')"
    container = engine.containers.run(image, entrypoint=["python", "-c", program], **options)
    try:
        container.wait(timeout=BUILD_TIMEOUT_S)
        kept_bytes = sum(map(len, container.logs(stream=True, follow=False)))
        ended = container_ends.stop(container, Wait(1.0), asks=False)
    finally:
        container.remove(force=True)

    assert 8 << 20 < kept_bytes < 40 << 20
    assert ended.wrote.size_bytes == kept_bytes
    assert len(ended.log) <= KEPT_BYTES


@pytest.mark.parametrize(
    ("program", "timeout_s", "reason"),
    [
        ("import time; time.sleep(600)", 2.0, "did not end within 2 s"),
        ("raise SystemExit('no idea')", BUILD_TIMEOUT_S, "ended with 1"),
        ("", BUILD_TIMEOUT_S, "it printed 0"),
    ],
)
def test_a_server_that_does_not_tell_its_runtime_is_refused_and_removed(
    engine: docker.DockerClient, program: str, timeout_s: float, reason: str
) -> None:
    with pytest.raises(ServerFault, match=reason):
        asked_for_its_runtime(engine, program, timeout_s)

    assert left_behind(engine) == []


def trial_of(backend: DockerBackend, name: str, nofile: int) -> TrialContext:
    """A trial of a shipped server, ready to be opened."""
    (variant,) = groups.select(discover(Path("servers")), ["epoll-lt"])
    profile = profiles.load("smoke")
    backend.prepare_load(BUILD_TIMEOUT_S)
    return TrialContext(
        campaign=name,
        trial=trial_plan.make(profile, ["epoll-lt"], 7)[0],
        prepared=backend.prepare(variant, 600),
        cpus=cpus.CpuSplit(server=(1,), load=(0,)),
        asked=dataclasses.replace(limits.Asked.for_connections(100), nofile=nofile),
        timeouts=profile.timeouts,
        workers=0,
    )


def test_a_campaign_of_processes_takes_no_container_for_what_it_left_behind(
    engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes in containers are visible on the host, and no roster has them."""
    monkeypatch.delenv(lock.LOCK_VARIABLE, raising=False)
    backend = DockerBackend()

    with lock.held("a test"), backend.open(trial_of(backend, "beside", 1024)) as opened:
        assert opened.next_event(60) is not None
        assert ProcessBackend().sweep() == []
        assert len(engine.containers.list(filters={"label": f"{LABEL}=beside"})) == 1


def test_a_name_that_is_taken_is_not_taken_away(engine: docker.DockerClient) -> None:
    backend = DockerBackend()
    context = trial_of(backend, "taken", 1024)
    name = f"c10k-taken-{context.name}-load"
    image = os.environ["C10K_HARNESS_IMAGE"]
    theirs = engine.containers.create(image, entrypoint=["sleep", "60"], name=name)
    try:
        with pytest.raises(HostNotFit, match="already in use"), backend.open(context):
            pass
        theirs.reload()
        assert theirs.status == "created"
    finally:
        theirs.remove(force=True)


def test_a_server_whose_container_somebody_removed_has_ended(engine: docker.DockerClient) -> None:
    backend = DockerBackend()
    context = trial_of(backend, "removed", 1024)

    with backend.open(context) as opened:
        assert opened.next_event(60) is not None
        opened.start_server()
        assert opened.ended() is None
        engine.containers.get(f"c10k-removed-{context.name}-server").remove(force=True)
        ended = opened.ended()

    assert ended is not None
    assert ended.exit_code is None
    assert left_behind(engine) == []


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_load_that_ends_before_its_server_starts_interrupts_and_blames_no_server(
    engine: docker.DockerClient, by: signal.Signals
) -> None:
    backend = DockerBackend()
    context = trial_of(backend, "loadless", 1024)

    with backend.open(context) as opened:
        assert opened.next_event(60) is not None
        load = engine.containers.get(f"c10k-loadless-{context.name}-load")
        load.kill(signal=by.name)
        load.wait()
        with pytest.raises(Interrupted, match=f"-load was ended: exit {128 + by}, {by.name} from"):
            opened.start_server()

    assert left_behind(engine) == []


def test_a_limit_that_the_engine_refuses_is_given_up_and_recorded(
    engine: docker.DockerClient,
) -> None:
    beyond = resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 1
    with contextlib.suppress(OSError, ValueError):  # "not allowed to raise maximum limit"
        resource.setrlimit(resource.RLIMIT_NOFILE, (beyond, beyond))
        pytest.skip("this host grants any number of open files to root")
    backend = DockerBackend()

    with backend.open(trial_of(backend, "clamp", beyond)) as opened:
        hello = opened.next_event(60)
        assert opened.clamps == [f"nofile: asked for {beyond:,}, refused by the engine"]

    assert hello is not None
    assert 0 < hello["limits"]["nofile"][1] < beyond
    assert left_behind(engine) == []

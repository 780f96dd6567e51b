"""The self-test of the generator and the x-ray of the servers, in containers of a real engine."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from command import C10k, Finished

from harness import host, selftest
from harness.analysis import analyse
from harness.analysis.results import Cell
from harness.backends import images
from harness.doctor.figures import PTRACE_SCOPE_MAX

pytestmark = [pytest.mark.docker, pytest.mark.slow]
BUILD_TIMEOUT_S = 900
ACTIVE = 100


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """One campaign for all tests here: it begins with the self-test and the x-rays."""
    with pytest.MonkeyPatch.context() as patch:
        client = docker.from_env(timeout=BUILD_TIMEOUT_S)
        patch.delenv("C10K_HARNESS_IMAGE", raising=False)
        patch.setenv("C10K_HARNESS_IMAGE", images.harness_image(client, BUILD_TIMEOUT_S))
        client.close()
        c10k = C10k(tmp_path_factory.mktemp("explaining"), [])
        profile = c10k.profile(connections=200, active=ACTIVE, selftest="true", xray="true")
        run = ("run", "--backend", "docker", "--profile", profile, "--seed", "7")
        process = c10k.start(*run, "--servers", "epoll-et,thread-per-connection")
        try:
            yield c10k.finish(process)
        finally:
            process.kill()
            process.wait(30)


def test_the_generator_is_proven_in_a_container_and_its_figures_are_kept(
    finished: Finished,
) -> None:
    assert finished.code == 0, finished.err + finished.out
    kept = finished.head()["selftest"]
    figures = kept["figures"]
    checks = {check["id"]: check for check in kept["checks"]}

    assert set(checks) == {check.id for check in selftest.CHECKS}
    assert set(figures) == {check.scene for check in selftest.CHECKS}
    # A busy host may fail a check of times, and none of these, which count
    assert checks["corrupt"]["verdict"] == checks["drop"]["verdict"] == "pass"
    corrupt, drop = figures["corrupt"], figures["drop"]
    assert corrupt["corrupt_bytes"] == corrupt["flipped_bytes"] > 0
    assert drop["failed"] == drop["dropped"] > 0
    assert drop["errors"] == {"eof": drop["dropped"]}
    assert figures["ceiling"]["echoes_per_s"] > 0


def calls_per_echo(finished: Finished) -> dict[str, Cell]:
    """The cell `idle` of each server, with its x-ray."""
    scope = int(host.sysctl("kernel.yama.ptrace_scope") or 0)
    if scope > PTRACE_SCOPE_MAX:
        pytest.skip(f"kernel.yama.ptrace_scope is {scope}: no container may attach to another")
    xrays = finished.lines("xray.jsonl")
    assert {line["variant"]: (line["tool"], line["reason"]) for line in xrays} == {
        "epoll-et": ("strace", None),
        "thread-per-connection": ("strace", None),
    }
    assert min(line["echoes"] for line in xrays) >= ACTIVE
    head = finished.head() | {"xray": xrays}
    cells = analyse(head, finished.cells, finished.outcomes).cells
    return {cell.variant: cell for cell in cells if cell.key.scenario == "idle"}


def test_a_thread_in_a_container_is_seen_to_receive_and_to_send_and_to_do_nothing_else(
    finished: Finished,
) -> None:
    cell = calls_per_echo(finished)["thread-per-connection"]

    assert cell.syscalls_per_echo == pytest.approx(2, rel=0.02)


def test_epoll_in_a_container_is_seen_to_receive_until_it_would_block_and_to_share_its_waits(
    finished: Finished,
) -> None:
    cell = calls_per_echo(finished)["epoll-et"]

    assert cell.events_per_wake_up is not None
    expected = 3 + 1 / cell.events_per_wake_up
    assert cell.syscalls_per_echo == pytest.approx(expected, rel=0.02)

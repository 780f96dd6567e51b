"""The self-test of the generator and the x-ray of the servers, in containers of a real engine."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from command import Finished, commands

from harness.analysis import echo_costs, xrays
from harness.backends import images
from harness.contract.errors import Exit
from harness.contract.stored_campaign import StoredXray
from harness.contract.stored_cell import StoredCell
from harness.doctor.accuracy import PTRACE_SCOPE_MAX
from harness.gates import generator_fitness
from harness.host import survey

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
        with commands(tmp_path_factory.mktemp("explaining")) as c10k:
            profile = c10k.profile(connections=200, active=ACTIVE, selftest="true", xray="true")
            run = ("run", "--backend", "docker", "--profile", profile, "--seed", "7")
            yield c10k(*run, "--servers", "epoll-et,thread-per-connection")


def test_the_generator_is_proven_in_a_container_and_its_figures_are_kept(
    finished: Finished,
) -> None:
    # A busy host voids cells, which is a result
    assert finished.code in (Exit.OK, Exit.GATE_FAILED), finished.err + finished.out
    kept = finished.head()["selftest"]
    attempts = [*kept["earlier"], kept]
    for attempt in attempts:
        assert {check["id"] for check in attempt["checks"]} == {
            one.id for one in generator_fitness.CHECKS
        }
        assert set(attempt["figures"]) >= {one.scene for one in generator_fitness.CHECKS}
    # A busy host may fail a check of times and be given further attempts; it miscounts in none
    corrupt = [attempt["figures"]["corrupt"] for attempt in attempts]
    drop = [attempt["figures"]["drop"] for attempt in attempts]
    for seen in corrupt:
        assert seen["corrupt_bytes"] == seen["lost"] == seen["flipped_bytes"]
    for seen in drop:
        assert seen["failed"] == seen["dropped"] == seen["errors"].get("eof", 0)
    assert max(seen["flipped_bytes"] for seen in corrupt) > 0
    assert max(seen["dropped"] for seen in drop) > 0


def test_compiler_and_flags_of_a_server_in_an_image_are_in_the_data(finished: Finished) -> None:
    builds = {entry["name"]: entry["build"] for entry in finished.head()["variants"]}

    assert set(builds) == {"epoll-et", "thread-per-connection"}
    for text in builds.values():
        assert text.startswith("GNU C++20")
        assert "-O2" in text


def calls_per_echo(
    finished: Finished, variant: str
) -> tuple[float, float, dict[str, float | None]]:
    """Calls of an x-ray that move data, those that wait, and the columns of the cell `idle`.

    That cell may be void on a busy host: how many calls it takes does not depend on time.
    """
    scope = int(survey.sysctl("kernel.yama.ptrace_scope") or 0)
    if scope > PTRACE_SCOPE_MAX:
        pytest.skip(f"kernel.yama.ptrace_scope is {scope}: no container may attach to another")
    (line,) = (one for one in finished.lines("xray.jsonl") if one["variant"] == variant)
    assert (line["tool"], line["reason"]) == ("strace", None)
    assert line["echoes"] >= ACTIVE
    (cell,) = (
        one for one in finished.cells if (one["variant"], one["scenario"]) == (variant, "idle")
    )
    return *xrays.calls_per_echo(StoredXray.of(line)), echo_costs.columns(StoredCell.of(cell))


def test_a_thread_in_a_container_is_seen_to_receive_and_to_send_and_to_do_nothing_else(
    finished: Finished,
) -> None:
    moving, waiting, _ = calls_per_echo(finished, "thread-per-connection")

    assert waiting == 0
    assert moving == pytest.approx(2, rel=0.02)


def test_epoll_in_a_container_is_seen_to_receive_until_it_would_block_and_to_share_its_waits(
    finished: Finished,
) -> None:
    moving, _, columns = calls_per_echo(finished, "epoll-et")
    waits, events = columns["waits_per_echo"], columns["events_per_wake_up"]

    assert waits is not None
    assert events is not None
    assert moving + waits == pytest.approx(3 + 1 / events, rel=0.02)

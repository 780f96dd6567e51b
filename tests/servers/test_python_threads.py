"""A thread per connection in Python: what it shares with the one in C++, and its own traps."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from serving import SERVERS, Flavour, Server, echo, pattern, receive, served, until
from serving_python import THREADS, PythonServer
from test_echo_of_servers import (  # noqa: F401 (collected here too, with the fixtures below)
    test_a_peer_that_does_not_read_delays_nobody_and_loses_nothing,
    test_a_socket_that_takes_little_at_a_time_loses_nothing,
    test_all_that_was_sent_comes_back_after_a_half_close,
    test_closing_and_connecting_at_once_mixes_no_streams,
    test_every_size_around_the_buffer_comes_back_exactly,
    test_resets_in_any_state_hurt_nobody_else,
    test_signals_that_mean_nothing_to_a_server_disturb_nothing,
)
from test_limits_of_servers import (  # noqa: F401
    test_a_server_holds_what_it_declares_and_refuses_the_rest_cleanly,
    test_connections_beyond_the_open_files_wait_and_are_served_later,
    test_connections_that_come_all_at_once_are_all_served,
)
from test_start_and_stop_of_servers import (  # noqa: F401
    test_a_second_server_on_the_port_is_told_so,
    test_a_storm_of_sigusr1_disturbs_neither_echo_nor_accept,
    test_it_stops_in_time_with_output_that_nobody_takes,
    test_it_stops_while_it_waits_for_a_descriptor,
    test_the_port_is_free_again_at_once,
    test_the_socket_file_goes_with_the_server,
)

CROWD = 3000
SLEEPS_MAX = 50  # 5 here: woken by data, and for the lock after each of two calls
PATIENCE_S = 60.0
IDLE_SHARE_MAX = 0.2  # of one CPU
IDLE_THREADS = 2  # one waits for signals, one accepts
USER, THREADS_MAX = 54_321, 30  # nobody else's processes count


@pytest.fixture
def flavour() -> Flavour:
    return THREADS


@pytest.fixture
def asks_limits() -> Flavour:
    return THREADS


def test_a_crowd_that_wakes_at_once_is_served_and_then_rests(server: Server) -> None:
    """Whoever waits for the interpreter's lock sleeps until it is free, and asks nobody for it."""
    peers = [server.connect() for _ in range(CROWD)]
    assert len(served(peers, PATIENCE_S)) == CROWD
    before = sleeps(server)
    server.interrupt("SIGSTOP")
    for peer in peers:
        peer.sendall(b"all at once")
    server.interrupt("SIGCONT")

    for peer in peers:
        peer.settimeout(PATIENCE_S)
        assert receive(peer, 11) == b"all at once"
    assert sleeps(server) - before < SLEEPS_MAX * CROWD
    for peer in peers[1:]:
        peer.close()

    assert until(lambda: server.threads() == IDLE_THREADS + 1, PATIENCE_S)
    assert until(lambda: server.cpu_share() < IDLE_SHARE_MAX)
    assert echo(peers[0], pattern(5000))
    counters = server.stop_well()
    assert counters["accepted"] == 1 + CROWD
    assert counters["closed"] == CROWD
    assert (counters["waits"], counters["events"]) == (0, 0)


def sleeps(server: Server) -> int:
    """How often its threads have given the processor up."""
    texts = [path.read_text() for path in Path(f"/proc/{server.pid}/task").glob("*/status")]
    found = [re.search(r"^voluntary_ctxt_switches:\t(\d+)$", text, re.M) for text in texts]
    return sum(int(match[1]) for match in found if match)


@pytest.fixture
def few_threads() -> Iterator[Flavour]:
    """The server as a user of its own, who may have only so many threads."""
    if os.geteuid() != 0:
        pytest.skip("only root starts a process as another user")
    with tempfile.TemporaryDirectory(prefix="c10k-") as directory:
        copy = Path(directory) / THREADS.variant  # the repository may be closed to that user
        shutil.copytree(THREADS.binary().parent, copy)
        shutil.copytree(SERVERS / "common/python", Path(directory, "common/python"))
        starter = copy / "start"
        starter.write_text(
            f"#!/bin/sh\nexec setpriv --reuid={USER} --regid={USER} --clear-groups "
            f'prlimit --nproc={THREADS_MAX} "{copy}/server.py" "$@"\n'
        )
        for path in (Path(directory), starter):
            path.chmod(0o755)
        yield Copy(THREADS.variant, starter=starter)


@dataclass(frozen=True, slots=True)
class Copy(PythonServer):
    """A server that is started by something else."""

    starter: Path = Path()

    def binary(self) -> Path:
        """What is started."""
        return self.starter


def test_a_connection_that_gets_no_thread_is_closed_and_the_others_go_on(
    start: Callable[..., Server], few_threads: Flavour
) -> None:
    server = start(few_threads)
    assert until(lambda: server.threads() == IDLE_THREADS)  # the one that found it ready has ended
    room = THREADS_MAX - IDLE_THREADS
    peers = [server.connect() for _ in range(2 * room)]

    answered = [is_echoed(peer) for peer in peers]

    assert answered == [True] * room + [False] * room
    assert all(echo(peer, pattern(5000)) for peer in peers[:room])
    assert server.cpu_share() < IDLE_SHARE_MAX
    peers[0].close()
    assert until(lambda: is_echoed(server.connect()))
    server.stop_well()


def is_echoed(connection: socket.socket) -> bool:
    """False: it was ended without a byte."""
    try:
        return echo(connection, b"?")
    except ConnectionError:
        return False

"""The event loops in Python do what those in C++ do: the same tests, and the same words."""

from __future__ import annotations

import pytest
from serving import Flavour
from serving_python import LOOPS
from test_echo_of_servers import (  # noqa: F401 (collected here too, with the fixtures below)
    test_a_peer_that_does_not_read_delays_nobody_and_loses_nothing,
    test_a_socket_that_takes_little_at_a_time_loses_nothing,
    test_all_that_was_sent_comes_back_after_a_half_close,
    test_an_idle_connection_costs_less_than_a_kilobyte_of_user_memory,
    test_an_ipv6_address_leaves_the_port_to_ipv4,
    test_closing_and_connecting_at_once_mixes_no_streams,
    test_every_size_around_the_buffer_comes_back_exactly,
    test_memory_for_peers_that_do_not_read_is_one_buffer_each,
    test_resets_in_any_state_hurt_nobody_else,
    test_who_has_sent_megabytes_takes_turns_with_the_others,
)
from test_limits_of_servers import (  # noqa: F401
    test_a_refused_connection_leaves_room_for_a_later_one,
    test_a_server_holds_what_it_declares_and_refuses_the_rest_cleanly,
    test_connections_beyond_the_open_files_wait_and_are_served_later,
    test_connections_that_come_all_at_once_are_all_served,
    test_the_backlog_is_what_was_asked_for,
    test_the_soft_limit_of_open_files_is_raised_to_the_hard_one,
)
from test_start_and_stop_of_servers import (  # noqa: F401
    test_a_path_that_is_in_use_is_left_alone,
    test_a_second_server_on_the_port_is_told_so,
    test_a_server_too_busy_to_answer_keeps_its_path,
    test_a_socket_file_that_a_dead_server_left_is_replaced,
    test_a_storm_of_sigusr1_disturbs_neither_echo_nor_accept,
    test_a_wait_reports_more_than_one_event_when_there_are_more,
    test_it_stops_in_time_with_output_that_nobody_takes,
    test_it_stops_while_it_waits_for_a_descriptor,
    test_sigusr1_tells_the_counters_at_any_time_and_the_server_goes_on,
    test_the_counters_are_the_clients_figures,
    test_the_port_is_free_again_at_once,
    test_the_socket_file_goes_with_the_server,
)

FIRST, *MORE = LOOPS


@pytest.fixture(
    params=[FIRST, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE)], ids=str
)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    chosen: Flavour = request.param
    return chosen


@pytest.fixture
def plain(flavour: Flavour) -> Flavour:
    return flavour


@pytest.fixture
def asks_limits(flavour: Flavour) -> Flavour:
    return flavour


@pytest.fixture
def event_loop(flavour: Flavour) -> Flavour:
    return flavour


@pytest.fixture(params=[each for each in LOOPS if each.connections_max], ids=str)
def capped(request: pytest.FixtureRequest) -> Flavour:
    chosen: Flavour = request.param
    return chosen

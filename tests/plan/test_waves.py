"""Waves: how the servers of a block are divided where the host does not hold all at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness import doctor
from harness.campaign import anchoring, launch
from harness.campaign.campaign_run import Request
from harness.campaign.progress import Json
from harness.cli.commands.run import run
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import UsageError
from harness.doctor import UNLIMITED, Facts, room
from harness.host import survey
from harness.plan import trial_plan, waves
from harness.plan.profiles import profile as profiles
from harness.plan.waves import Amount, Server, Waves
from harness.store.campaign_store import Campaign

ROOT = Path(__file__).parents[2]
PLENTY = Amount(*[UNLIMITED] * 4)
NAMES = ("asio", "epoll-et", "epoll-lt", "poll", "select", "uring")
KINDS = ("memory_bytes", "files", "watches", "threads")


def server(name: str, group: str = "@classic", **needs: int) -> Server:
    """One that needs 1 of each kind but threads, or what is given."""
    return Server(name, group, Amount(**{"memory_bytes": 1, "files": 1, "watches": 1, **needs}))


SIX = [server(name) for name in NAMES]


def sizes(found: Waves | None) -> list[int]:
    """Servers of each wave, the anchor included."""
    assert found is not None
    return [len(found.of(number)) for number in range(1, len(found.members) + 1)]


def test_servers_that_fit_at_once_have_no_waves() -> None:
    assert waves.decide(SIX, PLENTY) is None
    assert waves.decide(SIX, Amount(6, 6, 6, 0)) is None
    assert waves.decide(SIX, PLENTY, per_wave=6) is None
    assert waves.decide(SIX[:2], Amount(), per_wave=2) is None  # two are the fewest to compare


@pytest.mark.parametrize("kind", KINDS)
def test_servers_that_do_not_fit_have_as_few_waves_as_fit_with_the_anchor_in_each(
    kind: str,
) -> None:
    servers = [server(name, threads=1) for name in NAMES]

    found = waves.decide(servers, replace(PLENTY, **{kind: 4}))

    assert found is not None
    assert found.anchor == "epoll-lt"
    assert sizes(found) == [4, 3]
    assert all(found.of(number)[0] == "epoll-lt" for number in (1, 2))
    assert sorted(sum(found.members, ())) == sorted(set(NAMES) - {"epoll-lt"})
    assert found.because == (waves.WORDS[kind],)


def test_a_bound_makes_waves_on_a_host_that_holds_all() -> None:
    assert sizes(waves.decide(SIX, PLENTY, per_wave=3)) == [3, 3, 2]
    assert sizes(waves.decide(SIX, PLENTY, per_wave=2)) == [2] * 5
    assert sizes(waves.decide(SIX, Amount(3, 9, 9, 9), per_wave=5)) == [3, 3, 2]  # both hold


def test_servers_with_a_thread_per_connection_are_spread_over_the_waves() -> None:
    """Two waves by memory, and the threads of two such servers in each."""
    threaded = [server(f"threads-{number}", threads=10_200) for number in range(4)]

    found = waves.decide([*threaded, *SIX], Amount(7, 99, 99, 21_000))

    assert found is not None
    assert sizes(found) == [6, 5]
    for names in found.members:
        assert sum(name.startswith("threads") for name in names) == 2


def test_a_server_that_does_not_fit_beside_the_anchor_takes_no_place_from_the_others() -> None:
    """The doctor says what it lacks; the other servers are planned as before."""
    large = server("java", "@runtimes", threads=50_000)

    found = waves.decide([large, *SIX], Amount(4, 99, 99, 20_000))

    assert sizes(found) == [4, 4]


def test_servers_of_one_group_follow_each_other_those_of_the_anchor_first() -> None:
    mixed = [server("asio", "@a"), server("p-1", "@p"), server("libuv", "@a"), server("p-2", "@p")]

    found = waves.decide([*mixed, server("epoll-lt"), server("poll")], PLENTY, per_wave=4)

    assert found is not None
    assert found.members == (("poll", "asio", "libuv"), ("p-1", "p-2"))


def test_the_anchor_is_epoll_lt_or_else_the_first_that_is_sure_to_pass() -> None:
    ceiling = replace(server("prefork"), has_ceiling=True)
    trial = replace(server("trial"), is_experimental=True)
    threads = replace(server("threads"), is_threaded=True)
    other, second = server("uring"), replace(server("aa.again"), is_again=True)

    assert waves.anchor_of([ceiling, other, server("epoll-lt")]) == "epoll-lt"
    assert waves.anchor_of([second, ceiling, threads, other, server("zig")]) == "uring"
    assert waves.anchor_of([ceiling, threads]) == "threads"
    assert waves.anchor_of([ceiling, trial]) == "trial"
    assert waves.anchor_of([ceiling]) == "prefork"
    assert waves.anchor_of(SIX, able={"poll", "select"}) == "poll"
    assert waves.anchor_of(SIX, able=()) is None


amounts = st.builds(Amount, *[st.integers(0, 40)] * 4)


@given(
    st.lists(amounts, min_size=3, max_size=12), amounts, st.one_of(st.none(), st.integers(2, 13))
)
def test_each_wave_fits_and_has_about_as_many_servers_as_the_others(
    needs: list[Amount], has: Amount, per_wave: int | None
) -> None:
    servers = [Server(f"s-{number}", "@a", one) for number, one in enumerate(needs)]
    of = {one.name: one.needs for one in servers}

    found = waves.decide(servers, has, per_wave)

    if found is None:
        assert per_wave is None or len(servers) <= per_wave
        return
    assert sorted([found.anchor, *sum(found.members, ())]) == sorted(of)
    assert max(sizes(found)) - min(sizes(found)) <= 1
    assert per_wave is None or max(sizes(found)) <= per_wave
    # What the anchor and any other server need is granted: no wave can be smaller
    for names in found.members:
        has = has.at_least(of[found.anchor])
        for name in of:
            has = has.at_least(of[found.anchor].plus(of[name]) if name != found.anchor else has)
        total = of[found.anchor]
        for name in names:
            total = total.plus(of[name])
        assert not total.beyond(has)


TWO = Waves("epoll-lt", (("poll", "select"), ("uring", "asio")), ("memory",))
VARIANTS = ("poll", "select", "epoll-lt", "uring", "asio")


def test_each_block_has_its_waves_one_after_another_and_the_anchor_in_each() -> None:
    profile = profiles.load("quick")

    made = trial_plan.make(profile, VARIANTS, 7, waves=TWO)

    assert len({trial.id for trial in made}) == len(made) == 8 * 6
    groups = trial_plan.together(made, side_by_side=True)
    assert len(groups) == 16
    for group in groups:
        (place,) = {(trial.block, trial.wave) for trial in group}
        assert sorted(trial.variant for trial in group) == sorted(TWO.of(place[1]))
    assert [group[0].block for group in groups] == [block for block in range(1, 9) for _ in "ab"]
    assert {tuple(g[0].wave for g in groups[i : i + 2]) for i in range(0, 16, 2)} == {
        (1, 2),
        (2, 1),
    }
    assert made[0].id == f"1.{made[0].wave}-{made[0].variant}"
    assert made[0].planned().wave == made[0].wave
    more = trial_plan.make(profile, VARIANTS, 7, 12, waves=TWO)
    assert more[: len(made)] == made


def test_a_plan_without_waves_is_what_it_was() -> None:
    """A campaign that was begun without waves is resumed by the names of its trials."""
    made = trial_plan.make(profiles.load("quick"), ["poll", "select", "epoll-lt"], 7)

    assert [trial.id for trial in made[:6]] == [
        *("1-epoll-lt", "1-poll", "1-select"),
        *("2-select", "2-epoll-lt", "2-poll"),
    ]
    assert {trial.wave for trial in made} == {0}


def requested(servers: str = "all", profile: str = "quick", **options: object) -> Request:
    return launch.request_of(
        profile=profile,
        servers=servers.split(","),
        servers_dir=ROOT / "servers",
        seed=1,
        workers=0,
        reports=Path("reports"),
        argv=(),
        **options,  # type: ignore[arg-type]
    )


SMALL = Facts(
    isolated=True,
    memory_available_bytes=7 << 30,
    fs_file_max=300_000,
    files_open=2_000,
    kernel_pid_max=32_768,
    kernel_threads_max=60_000,
    tasks=500,
    nproc=25_000,
    nproc_exempt=False,
    tasks_of_user=400,
    fs_epoll_max_user_watches=500_000,
)


def test_what_is_planned_for_a_host_of_8_gb_passes_its_doctor_and_all_at_once_does_not() -> None:
    names = ("memory", "file-max", "watches", "pid-max", "nproc")
    whole, apart = requested(), requested(room=room.of_host(SMALL, "process"))

    asked = [launch.asked_of_host(one, "process") for one in (whole, apart)]

    assert apart.waves is not None
    assert [one.servers for one in asked] == [29, apart.waves.largest]
    assert len(doctor.examine(SMALL, asked[0], names).of("error")) == 3
    assert not doctor.examine(SMALL, asked[1], names).of("error")
    assert not doctor.examine(SMALL, asked[1], names).of("warning")
    assert apart.waves is not None
    assert apart.waves.because == ("memory", "open files", "epoll watches", "threads")
    assert 2 <= len(apart.waves.members) <= 4


def test_a_plan_for_more_room_has_the_blocks_that_it_would_have_had_at_once() -> None:
    of_host = room.of_host(SMALL, "process")
    tight, roomy = replace(of_host, files=45_000), of_host
    options: dict[str, Any] = {"servers": "@classic", "budget_s": 360.0}

    narrow = requested(**options, room=tight)
    wide = requested(**options, room=roomy)

    assert narrow.profile.trials < wide.profile.trials
    assert launch.planned(narrow, roomy) == wide
    assert launch.planned(wide, tight) == narrow


def test_budget_and_estimate_reckon_with_the_trials_of_the_anchor() -> None:
    whole, apart = requested("@classic"), requested("@classic", servers_per_wave=3)

    assert len(apart.trials) == 8 * (6 + 2)
    anchor_s = sum(
        trial_plan.estimate_s([trial])
        for trial in apart.trials
        if trial.variant == "epoll-lt" and trial.wave != 1
    )
    difference_s = launch.estimate_s(apart) - launch.estimate_s(whole)
    assert difference_s == pytest.approx(anchor_s)
    fewer = requested("@classic", servers_per_wave=3, budget_s=600)
    more = requested("@classic", budget_s=600)
    assert fewer.profile.blocks_max < more.profile.blocks_max


def test_a_dry_run_shows_the_waves_and_what_bounds_them() -> None:
    asked = ["--servers", "epoll-lt,poll,select,asio", "--servers-per-wave", "3", "--dry-run"]
    asked += ["--servers-dir", str(ROOT / "servers")]

    told = CliRunner().invoke(run, asked)
    data = CliRunner().invoke(run, [*asked, "--json"])

    assert told.output.splitlines()[3:6] == [
        "2 waves of at most 3 servers, paired through epoll-lt; bounded by servers_per_wave",
        "wave 1: poll, select",
        "wave 2: asio",
    ]
    assert json.loads(data.output)["waves"] == {
        "anchor": "epoll-lt",
        "members": [["poll", "select"], ["asio"]],
        "because": ["servers_per_wave"],
    }


def test_the_second_run_of_a_server_has_a_place_of_its_own() -> None:
    made = requested("epoll-lt,poll,select", "standard", servers_per_wave=3)

    assert made.waves is not None
    assert sorted(sum(made.waves.members, ())) == ["epoll-lt.again", "poll", "select"]
    assert {trial.variant for trial in made.trials if trial.block == 1} == {
        *("epoll-lt", "epoll-lt.again", "poll", "select")
    }


def test_a_profile_states_its_bound_and_one_server_at_a_time_has_no_waves(tmp_path: Path) -> None:
    text = (profiles.DIRECTORY / "quick.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(f"servers_per_wave = 4\n{text}")

    made = requested("@classic", str(path))

    assert made.waves is not None
    assert (made.waves.largest, made.waves.because) == (4, (waves.BOUND,))
    with pytest.raises(UsageError, match="one server up at a time"):
        requested("@classic", "smoke", servers_per_wave=4)
    path.write_text(f"servers_per_wave = 1\n{text}")
    with pytest.raises(UsageError, match="servers_per_wave"):
        profiles.load(str(path))
    path.write_text(f"servers_per_wave = 4\n{text.replace('side_by_side = true', '')}")
    with pytest.raises(UsageError, match="needs `side_by_side = true`"):
        profiles.load(str(path))


def test_the_room_of_this_host_is_read_and_an_unknown_limit_binds_nothing() -> None:
    assert room.of_host(Facts(), "process") == PLENTY
    found = room.of_host(survey.limits(), "process")
    assert all(getattr(found, kind) > 0 for kind in KINDS)
    capped = replace(SMALL, cgroup_memory_left_bytes=2 << 30, pids_left=900)
    assert room.of_host(capped, "process").memory_bytes < 2 << 30
    assert room.of_host(capped, "process").threads == 900
    assert room.of_host(capped, "docker").threads == 32_768 - 500


def test_an_anchor_that_does_not_run_is_replaced_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = requested("epoll-lt,poll,select,thread-per-connection", servers_per_wave=2)
    assert request.waves is not None
    head = {"schema": 1, "waves": request.waves.kept().as_json(), "plan": []}
    campaign = Campaign.create(tmp_path, "one", CampaignHead.of(head))
    able = {"poll", "select", "thread-per-connection"}

    assert anchoring.changed(campaign, request, Json(), {*able, "epoll-lt"}, lambda: PLENTY) is None
    assert anchoring.changed(campaign, request, Json(), (), lambda: PLENTY) is None
    found = anchoring.changed(campaign, request, Json(), able, lambda: PLENTY)

    assert found is not None
    assert found.waves == Waves.of_kept(campaign.head().waves)
    assert found.waves == Waves(
        "poll", (("epoll-lt",), ("select",), ("thread-per-connection",)), (waves.BOUND,)
    )
    planned = [trial.id for trial in campaign.head().plan]
    assert planned == [trial.id for trial in found.trials]
    assert sum("-epoll-lt" in name for name in planned) == 8
    assert (
        "epoll-lt does not run here: the waves are paired through poll" in capsys.readouterr().err
    )
    campaign.append_cell({"cell": 0, "block": 0, "trial": "0-poll"})
    assert anchoring.changed(campaign, found, Json(), {"select"}, lambda: PLENTY) is not None
    campaign.append_cell({"cell": 0, "block": 1, "trial": "1.1-poll"})
    assert anchoring.changed(campaign, found, Json(), {"select"}, lambda: PLENTY) is None


def test_a_next_anchor_that_needs_more_divides_the_servers_again_where_they_do_not_fit() -> None:
    small = [server(name, threads=1) for name in ("epoll-lt", "asio", "epoll-et", "select")]
    large = server("poll", threads=3)
    planned = Waves("epoll-lt", (("asio", "select"), ("epoll-et", "poll")))
    able = {"asio", "epoll-et", "poll", "select"}
    first = [small[0], large, *small[1:]]  # by rule 2 the next anchor

    roomy = waves.paired_anew(planned, first, replace(PLENTY, threads=5), able)
    tight = waves.paired_anew(planned, first, replace(PLENTY, threads=4), able)

    assert roomy == planned.with_anchor("poll")
    assert tight is not None
    assert tight.anchor == "poll"
    needs = {one.name: one.needs.threads for one in first if one.name in able}
    totals = [
        sum(needs.get(name, 0) for name in tight.of(wave + 1)) for wave in range(len(tight.members))
    ]
    assert max(totals) <= 4
    assert sorted(name for names in tight.members for name in names) == [
        *("asio", "epoll-et", "epoll-lt", "select")
    ]
    assert waves.paired_anew(planned, first, PLENTY, ()) is None


def test_waves_are_kept_as_json_and_a_campaign_without_them_has_none() -> None:
    document = json.loads(json.dumps({"waves": TWO.kept().as_json()}))
    assert Waves.of_kept(CampaignHead.of(document).waves) == TWO
    assert Waves.of_kept(CampaignHead.of({}).waves) is None
    assert Waves.of_kept(CampaignHead.of({"waves": None}).waves) is None

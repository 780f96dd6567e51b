"""Campaigns without Docker: what is measured, how failures end, what is left behind."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from command import C10k, marked_processes, wait_for
from faulty_servers import COUNTS_ODDLY, HOLDS_30, echo
from one_cell import tripped

SHIPPED = "epoll-lt,thread-per-connection"


def test_a_campaign_measures_every_variant_and_ends_with_the_path_of_its_report(
    c10k: C10k,
) -> None:
    done = c10k.run(c10k.profile(trials=2), "--servers", SHIPPED)

    assert done.code == 0, done.err + done.out
    assert done.out.splitlines()[-1].endswith("/report.html")
    assert Path(done.out.splitlines()[-1]).is_file()
    assert (done.reports / "index.html").is_file()
    assert done.head()["state"] == "done"
    assert len(done.cells) == 2 * 2 * 2
    for cell in done.cells:
        assert cell["status"] == "valid" or cell["reasons"], cell
        assert cell["connections_established_min"] == cell["connections_requested"] == 50
        assert cell["corrupt_bytes"] == cell["lost"] == 0
        assert cell["limits"]["applied"]["nofile"][1] >= cell["limits"]["asked"]["nofile"]
    assert {outcome["reconciled"] for outcome in done.outcomes} == {True}
    assert {outcome["exit_code"] for outcome in done.outcomes} == {0}
    assert marked_processes() == []


@pytest.mark.parametrize("spin", [True, False])
def test_a_directory_with_any_echo_server_is_measured_with_no_other_edit(
    c10k: C10k, spin: bool
) -> None:
    c10k.add_server("mine", echo())

    done = c10k.run(c10k.profile(spin=str(spin).lower()))

    assert done.code == 0, done.err + done.out
    assert {cell["variant"] for cell in done.cells} == {"mine"}
    may_spin = spin and len(os.sched_getaffinity(0)) > 1
    assert [cell["generator"]["spin"] for cell in done.cells] == [None, may_spin]
    assert "mine" in (done.directory / "report.html").read_text()


def test_a_reader_that_leaves_ends_neither_the_campaign_nor_its_report(c10k: C10k) -> None:
    c10k.add_server("mine", COUNTS_ODDLY)
    process = c10k.start(
        *("run", "--backend", "process", "--servers-dir", c10k.servers),
        *("--profile", c10k.profile()),
    )
    process.stdout.readline()
    process.stdout.close()
    process.wait(60)

    (head,) = c10k.reports.glob("*/campaign.json")
    assert process.returncode == 0, process.stderr.read()
    assert '"state": "done"' in head.read_text()
    assert (head.parent / "report.html").is_file()


def test_output_that_nothing_takes_ends_no_campaign(c10k: C10k) -> None:
    c10k.add_server("mine", echo())
    nowhere = ("env", "PYTHONIOENCODING=ascii", "sh", "-c", 'exec "$@" >/dev/full 2>&-', "sh")

    done = c10k.run(c10k.profile(), under=nowhere)

    assert (done.code, done.out, done.err) == (0, "", "")
    assert done.head()["state"] == "done"
    assert len(done.cells) == 2
    assert (done.directory / "report.html").is_file()


def test_a_terminal_that_is_closed_ends_a_campaign_tidily(c10k: C10k) -> None:
    c10k.add_server("mine", echo())
    arguments = ("run", "--backend", "process", "--servers-dir", c10k.servers)
    terminal, theirs = os.openpty()
    process = c10k.start(
        *(*arguments, "--profile", c10k.profile(trials=3, window_s=1.5)),
        under=("setsid", "--ctty"),
        terminal=theirs,
    )
    os.close(theirs)
    c10k.await_cell(process)
    os.close(terminal)
    process.wait(60)

    (head,) = c10k.reports.glob("*/campaign.json")
    assert process.returncode == 130
    assert '"state": "interrupted"' in head.read_text()
    assert (head.parent / "report.html").is_file()
    assert (head.parent / "trials.jsonl").read_text()
    assert marked_processes() == []


def test_a_damaged_campaign_does_not_stop_the_next_one(c10k: C10k) -> None:
    damaged = c10k.reports / "damaged" / "campaign.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    c10k.add_server("mine", echo())

    done = c10k(
        *("run", "--backend", "process", "--servers-dir", c10k.servers),
        *("--profile", c10k.profile()),
    )

    assert done.code == 0, done.err + done.out
    assert damaged.read_text() == "{"


def test_a_build_that_never_ends_is_given_up_with_all_that_it_started(c10k: C10k) -> None:
    slow = c10k.add_server("slow", echo())
    file = slow / "variant.toml"
    build = 'build = ["sh", "-c", "echo compiling; sleep 4321 & sleep 4321"]\n'
    file.write_text(file.read_text().replace("[process]\n", "[process]\n" + build))
    profile = c10k.profile()
    text = profile.read_text().replace("[timeouts]\n", "[timeouts]\nbuild_s = 1\n")
    profile.write_text(text)

    done = c10k.run(profile)

    assert done.code == 4, done.err + done.out
    assert "took longer than 1 s" in done.outcomes[0]["text"]
    assert "compiling" in done.outcomes[0]["log_tail"]
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert b"sleep\x004321\x00" not in commands


def test_a_variant_that_does_not_build_is_told_with_its_log(c10k: C10k) -> None:
    c10k.add_server("mine", echo())
    broken = c10k.add_server("broken", echo())
    file = broken / "variant.toml"
    build = 'build = ["sh", "-c", "echo server.c:3: expected a semicolon; exit 2"]\n'
    file.write_text(file.read_text().replace("[process]\n", "[process]\n" + build))

    done = c10k.run(c10k.profile(trials=2))

    assert done.code == 4
    failed = [outcome for outcome in done.outcomes if outcome["variant"] == "broken"]
    assert [outcome["code"] for outcome in failed] == ["build-failed"] * 2
    assert "expected a semicolon" in failed[0]["log_tail"]
    told = done.out.splitlines()
    above = next(line for line in told if line.endswith("The last lines of its output:"))
    assert told[told.index(above) + 1] == "  server.c:3: expected a semicolon"
    assert told.count("  server.c:3: expected a semicolon") == 1


def test_a_declared_ceiling_is_a_result(c10k: C10k) -> None:
    limits = '[limits]\nconnections_max = 30\nbeyond = "refuse"\nreason = "a table of 30"\n'
    c10k.add_server("capped", HOLDS_30, limits)

    done = c10k.run(c10k.profile())

    assert done.code == 0, done.err + done.out
    assert {cell["status"] for cell in done.cells} == {"capped"}
    assert all("holds 30 of 50" in tripped(cell, "capped") for cell in done.cells)
    assert "a table of 30" in (done.directory / "report.html").read_text()


def test_a_window_too_short_for_a_figure_voids_the_ranked_cell(c10k: C10k) -> None:
    profile = c10k.profile(trials=3, window_s=0.02, connections="10000")
    text = profile.read_text().replace("ranked = false", "ranked = true")
    profile.write_text(text.replace("active = 10", "active = 100"))

    done = c10k.run(profile, "--servers", "epoll-lt", "--verbose")

    assert done.code == 5, done.err + done.out
    assert "server CPU time" in done.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_partial_report_and_no_process(c10k: C10k, number: int) -> None:
    profile = c10k.profile(trials=3, window_s=1.5)
    process = c10k.start("run", "--backend", "process", "--profile", profile, "--servers", SHIPPED)
    c10k.await_cell(process)
    process.send_signal(number)
    done = c10k.finish(process)

    assert done.code == 130, done.err
    assert "stopping" in done.err
    assert done.head()["state"] == "interrupted"
    assert (done.directory / "report.html").is_file()
    assert marked_processes() == []


def test_after_a_sigkill_nothing_runs_and_resume_measures_exactly_what_is_missing(
    c10k: C10k,
) -> None:
    profile = c10k.profile(trials=2, window_s=1.0)
    process = c10k.start(
        "run", "--backend", "process", "--profile", profile, "--servers", SHIPPED, "--seed", "7"
    )
    wait_for(lambda: list(c10k.reports.glob("*/outcomes.jsonl")))
    process.kill()
    killed = c10k.finish(process)
    wait_for(lambda: not marked_processes(), 60)
    ended = [outcome["trial"] for outcome in killed.outcomes]
    planned = [trial["id"] for trial in killed.head()["plan"]]

    mended = c10k("clean", "--backend", "process")
    assert mended.code == 0
    assert killed.head()["state"] == "interrupted"
    assert (killed.directory / "report.html").is_file()

    profile.unlink()  # the plan is in campaign.json
    done = c10k("run", "--resume", killed.directory.name)
    assert done.code == 0, done.err + done.out
    assert [outcome["trial"] for outcome in done.outcomes] == planned
    assert [outcome["trial"] for outcome in done.outcomes][: len(ended)] == ended
    assert done.head()["state"] == "done"

    again = c10k("run", "--resume", killed.directory.name)
    assert again.code == 0
    assert again.outcomes == done.outcomes


def test_resume_refuses_when_a_server_changed_and_not_when_its_build_wrote(c10k: C10k) -> None:
    directory = c10k.add_server("mine", echo())
    file = directory / "variant.toml"
    text = file.read_text().replace('"server.py"', '"target/built.py"')
    file.write_text(
        text + 'build = ["sh", "-c", "mkdir -p target; cp server.py target/built.py"]\n'
    )
    done = c10k.run(c10k.profile())
    assert done.head()["variants"][0]["outputs"] == ["target"]

    shutil.copy("/bin/true", directory / "server")  # as `gcc -o server` by hand
    again = c10k("run", "--resume", done.directory.name, "--servers-dir", c10k.servers)

    assert again.code == 0, again.err
    (directory / "server.py").write_text(echo() + "# changed\n")

    refused = c10k("run", "--resume", done.directory.name, "--servers-dir", c10k.servers)

    assert refused.code == 2
    assert "the sources of mine changed" in refused.err


def test_a_host_that_grants_too_few_files_is_refused_before_anything_is_measured(
    c10k: C10k,
) -> None:
    arguments = ("run", "--backend", "process", "--servers", "epoll-lt", "--profile")
    profile = c10k.profile(connections="500")

    done = c10k(*arguments, profile, under=("prlimit", "--nofile=300:300"))

    assert done.code == 3, done.err
    assert "RLIMIT_NOFILE" in done.err
    assert "--nofile=700:700" in done.err
    assert list(done.reports.glob("*/campaign.json")) == []


def test_what_the_doctor_says_is_kept_with_the_campaign_and_shown_in_its_report(c10k: C10k) -> None:
    done = c10k.run(c10k.profile(), "--servers", "epoll-lt")

    kept = done.head()["doctor"]
    assert kept["ready"] is True
    assert kept["connections"] == 50
    assert {"nofile", "cpus", "memory"} <= {found["check"] for found in kept["findings"]}
    page = (done.directory / "report.html").read_text()
    assert f"{kept['connections_max']:,} connections" in page


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it takes a capability away")
def test_root_that_may_make_a_network_but_not_configure_it_still_gets_one(c10k: C10k) -> None:
    c10k.add_server("mine", echo())
    less = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")

    done = c10k.run(c10k.profile(), under=less)

    assert done.code == 0, done.err + done.out
    assert done.head()["environment"]["backend_namespace"].startswith("unshare --user")
    assert done.cells[0]["limits"]["applied"]["sysctls"]["net.core.somaxconn"] == "16384"

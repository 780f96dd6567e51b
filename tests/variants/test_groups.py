"""Groups of servers: which server is in which, and what is said about one that does not exist."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from discovering import discover

from harness.cli.main import cli
from harness.contract.errors import UsageError
from harness.variants import groups, variant_files
from harness.variants.variant_files import VariantFile

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = discover(ROOT / "servers")
LEAST = 'title = "mine"\narchitecture = "epoll-lt"\nsummary = "One."\n'


def group_of(text: str) -> str:
    return groups.of(VariantFile.model_validate(tomllib.loads(LEAST + text))).name


def names(wanted: list[str], found: list[variant_files.Variant] = SHIPPED) -> list[str]:
    return [variant.name for variant in groups.select(found, wanted)]


def add(servers: Path, name: str, text: str) -> None:
    directory = servers / name
    directory.mkdir(parents=True)
    (directory / "variant.toml").write_text(LEAST + text)
    (directory / "Dockerfile").write_text("FROM scratch\n")


def test_the_groups_are_the_rows_of_the_table_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(@[a-z-]+)` \| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE)

    table = {group: sorted(re.findall(r"`([a-z-]+)`", cell)) for group, _, cell in rows}
    assert table == {
        name: sorted(one.name for one in found) for name, found in groups.members(SHIPPED).items()
    }
    titles = {group.name: group.title for group in groups.GROUPS}
    assert {group: title for group, title, _ in rows} == titles


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ('language = "C"', "@classic"),
        ('language = "C++"\nfamily = "mine"', "@classic"),
        ('language = "C"\nruntime = true', "@libraries"),
        ('language = "C"\nworkers = "cpus"', "@per-cpu"),
        (
            'language = "C"\n[limits]\nconnections_max = 5\nbeyond = "queue"\nreason = "x"',
            "@bounded",
        ),
        (
            'language = "C"\n[limits]\nconnections_max = 5\nbeyond = "refuse"\nreason = "x"',
            "@classic",
        ),
        ('language = "Python"', "@python"),
        ('language = "Python"\nfamily = "Trio"', "@python-loops"),
        ('language = "Perl"', "@runtimes"),
        ('language = "Zig"\nruntime = true\nworkers = "cpus"', "@runtimes"),
    ],
)
def test_a_server_of_a_users_own_has_a_group_by_its_keys(text: str, group: str) -> None:
    assert group_of(text) == group


def test_an_architecture_without_a_name_of_its_own_is_another_interface() -> None:
    file = VariantFile(title="x", architecture="kqueue", language="C", summary="One.")

    assert groups.of(file).name == "@interfaces"


def test_names_and_groups_mix_and_no_server_comes_twice() -> None:
    python = names(["@python"])

    assert set(python) > {"python-poll", "python-select"}
    assert names(["@python", "poll", "python-poll"]) == sorted([*python, "poll"])
    assert (
        names(["all", "poll"])
        == names(["all"])
        == names([])
        == names(list(groups.members(SHIPPED)))
    )


def test_an_unknown_group_names_the_nearest_and_all_that_are_known() -> None:
    with pytest.raises(UsageError) as error:
        groups.select(SHIPPED, ["@pyton", "poll"])

    assert error.value.message.startswith(
        "no group `@pyton`; did you mean `@python`? (known: all, "
    )
    assert all(name in error.value.message for name in groups.members(SHIPPED))
    with pytest.raises(UsageError, match=r"no group `@nothing` \(known: all, @libraries"):
        groups.select(SHIPPED, ["@nothing"])


def test_every_unknown_name_and_group_is_told_at_once() -> None:
    with pytest.raises(UsageError) as error:
        groups.select(SHIPPED, ["@nothing", "epol-lt"])

    assert "`@nothing`" in error.value.message
    assert "did you mean `epoll-lt`" in error.value.message


def test_a_group_leaves_out_disabled_servers_and_a_name_says_why(tmp_path: Path) -> None:
    add(tmp_path, "mine", 'language = "Perl"\n')
    add(tmp_path, "off", 'language = "Perl"\nstatus = "disabled"\nreason = "no runtime here"\n')
    add(tmp_path, "old", 'language = "C"\nstatus = "disabled"\nreason = "too old"\n')
    found = discover(tmp_path)

    assert names([], found) == names(["@runtimes"], found) == ["mine"]
    with pytest.raises(UsageError, match="no runtime here"):
        groups.select(found, ["off"])
    with pytest.raises(UsageError, match="no group `@classic`"):
        groups.select(found, ["@classic"])


@pytest.fixture
def with_a_broken_one(tmp_path: Path) -> Path:
    """Two servers in Perl, of which one has two mistakes in its file."""
    add(tmp_path, "mine", 'language = "Perl"\n')
    add(tmp_path, "torn", "language = 5\nwrokers = 1\n")
    return tmp_path


@pytest.mark.parametrize("wanted", [["mine"], ["@runtimes"]])
def test_a_broken_server_stops_no_run_that_does_not_name_it(
    with_a_broken_one: Path, wanted: list[str]
) -> None:
    found = variant_files.survey(with_a_broken_one)

    assert [one.name for one in groups.pick(found, wanted)] == ["mine"]
    told = groups.left_out(found, wanted)
    assert [line.split()[0] for line in told] == (["torn"] if wanted == ["@runtimes"] else [])


@pytest.mark.parametrize("wanted", [[], ["all"], ["mine", "torn"]])
def test_a_run_that_asks_for_a_broken_server_is_told_all_its_problems(
    with_a_broken_one: Path, wanted: list[str]
) -> None:
    found = variant_files.survey(with_a_broken_one)

    with pytest.raises(UsageError, match="`wrokers`") as error:
        groups.pick(found, wanted)

    assert "`language`" in error.value.message


@pytest.mark.parametrize("data", [[], ["--json"]])
def test_the_list_of_servers_has_the_right_ones_and_the_problems_of_the_broken(
    with_a_broken_one: Path, data: list[str]
) -> None:
    arguments = ["servers", "--servers-dir", str(with_a_broken_one), *data]
    shown = CliRunner().invoke(cli, arguments, standalone_mode=False)

    assert "mine" in shown.output
    assert isinstance(shown.exception, UsageError)
    assert "torn/variant.toml" in shown.exception.message
    if data:
        (broken,) = json.loads(shown.output)["broken"]
        assert broken["name"] == "torn"
        assert len(broken["problems"]) == 2


@pytest.mark.parametrize(
    ("command", "typed", "offered"),
    [
        ("run --servers", "@py", ["@python", "@python-loops"]),
        ("run --servers", "poll,@per", ["poll,@per-cpu"]),
        ("run --servers", "poll,po", []),
        ("check", "@bou", ["@bounded"]),
        ("check", "epoll-", ["epoll-et", "epoll-exclusive", "epoll-lt"]),
    ],
)
def test_completion_offers_servers_and_groups(
    command: str, typed: str, offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    shell = ShellComplete(cli, {}, "c10k", "_C10K_COMPLETE")

    found = shell.get_completions(command.split(), typed)

    assert isinstance(cli, click.Group)
    assert [item.value for item in found] == offered

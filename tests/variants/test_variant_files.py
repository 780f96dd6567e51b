"""variant.toml: what is accepted, and what is said about what is not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from discovering import discover

from harness.contract.errors import UsageError
from harness.variants import groups, scaffold, strict_toml, variant_files

GOOD = """
title = "mine"
architecture = "epoll-lt"
language = "C"
summary = "One thread."
"""


def add(servers: Path, name: str, text: str = GOOD, *, dockerfile: bool = True) -> Path:
    directory = servers / name
    directory.mkdir(parents=True)
    (directory / "variant.toml").write_text(text)
    if dockerfile:
        (directory / "Dockerfile").write_text("FROM scratch\n")
    return directory


def test_a_directory_is_the_whole_registration(tmp_path: Path) -> None:
    add(tmp_path, "mine")
    (tmp_path / "common").mkdir()

    found = discover(tmp_path)

    assert [variant.name for variant in found] == ["mine"]
    assert found[0].file.workers == 1
    assert found[0].context == tmp_path / "mine"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "wrokers = 2\n", ["unknown key `wrokers`", "did you mean `workers`"]),
        (GOOD + 'workers = "two"\n', ["`workers", "cpus"]),
        (GOOD + "workers = 0\n", ["workers", "expected 1 to 100,000"]),
        (GOOD + "counters = 1\n", ["`counters`", "bool", "got 1"]),
        (GOOD.replace('title = "mine"', ""), ["key `title` is missing"]),
        (GOOD + 'status = "disabled"\n', ["disabled", "reason"]),
        (GOOD + 'status = "broken"\n', ["`status`", "'stable'", "measured and ranked"]),
        (GOOD + 'status = "disable"\n', ["did you mean `disabled`", "never run"]),
        (GOOD + '[limits]\nconnections_max = 5\nbeyond = "explode"\nreason = "x"\n', ["beyond"]),
        (GOOD + "[limits]\nconection_max = 5\n", ["`limits.conection_max`", "connections_max"]),
        (GOOD + '[docker]\ncontext = "../nowhere"\n', ["docker.context", "no such directory"]),
        (GOOD + "[process]\ncommand = []\n", ["process.command"]),
        ("title = \n", ["not valid TOML"]),
        (GOOD.replace("mine", "a\\nb"), ["`title`: expected one line of text"]),
        (GOOD.replace("mine", "\\u001b[31m"), ["`title`: holds the control character U+001B"]),
        (GOOD.replace("mine", "m" * 101), ["`title`", "at most 100"]),
        (GOOD + "workers = 1000000000\n", ["expected 1 to 100,000"]),
        (
            GOOD + '[process]\ncommand = "a b"\n',
            ['`process.command`: expected a list, as ["a", "b"]; got \'a b\''],
        ),
        (GOOD + '[process]\ncommand = ["a\\u0000b"]\n', ["`process.command.0`", "U+0000"]),
        (GOOD + '[process]\ncommand = [""]\n', ["`process.command`", "an empty word"]),
        (GOOD + f'[docker]\ncontext = "{"a" * 5_000}"\n', ["no such directory"]),
    ],
)
def test_each_mistake_names_file_key_and_what_was_expected(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    add(tmp_path, "mine", text)

    with pytest.raises(UsageError) as raised:
        discover(tmp_path)

    assert "variant.toml" in raised.value.message
    for words in expected:
        assert words in raised.value.message


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    add(tmp_path, "one", GOOD + "a1 = 1\nb2 = 2\n")
    add(tmp_path, "two", dockerfile=False)

    with pytest.raises(UsageError) as raised:
        discover(tmp_path)

    for words in ("`a1`", "`b2`", "two/Dockerfile: C120 missing"):
        assert words in raised.value.message


def test_what_a_server_requires_and_this_host_lacks_is_told_by_its_package(tmp_path: Path) -> None:
    here = tmp_path / "here.h"
    here.touch()
    text = f"""{GOOD}[process]
command = ["./mine"]

[process.requires]
sh = "dash"
"{here}" = "here-dev"
no-such-program = "nowhere"
"{tmp_path}/gone.h" = "nowhere-dev"
"{tmp_path}/gone.so" = "nowhere-dev"
"""

    process = variant_files.read(add(tmp_path, "mine", text)).file.process

    assert process is not None
    assert process.missing_packages() == ("nowhere", "nowhere-dev")


@pytest.mark.parametrize("name", variant_files.RESERVED)
def test_a_reserved_word_is_no_name_for_a_server(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"`{name}` is no name for a server: it is reserved"):
        scaffold.render(name, "empty", tmp_path)
    add(tmp_path, name)
    with pytest.raises(UsageError, match="it is reserved"):
        discover(tmp_path)


def test_every_group_has_a_reserved_name() -> None:
    assert {group.name.removeprefix("@") for group in groups.GROUPS} < variant_files.RESERVED.keys()


@pytest.mark.parametrize("name", ["Mine", "9lives", "x", "has_underscore", "a" * 32])
def test_a_name_must_fit_everywhere_it_is_used(tmp_path: Path, name: str) -> None:
    add(tmp_path, name)

    with pytest.raises(UsageError, match="no name for a server"):
        discover(tmp_path)


def test_the_digest_follows_own_and_shared_sources_but_no_other_variant(tmp_path: Path) -> None:
    text = GOOD + '[docker]\ncontext = ".."\n'
    mine = add(tmp_path, "mine", text)
    other = add(tmp_path, "other", text)
    shared = tmp_path / "common"
    shared.mkdir()
    (shared / "echo.c").write_text("1")

    def digest() -> str:
        return variant_files.read(mine).digest()

    first = digest()
    (other / "server.c").write_text("changed")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "mine").write_text("binary")
    assert digest() == first
    (shared / "echo.c").write_text("2")
    second = digest()
    assert second != first
    (mine / "server.c").write_text("new")
    assert digest() != second


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("title = \n", ["C103"]),
        (GOOD + "wrokers = 2\n", ["C110"]),
        (GOOD.replace('title = "mine"', "titel = 3"), ["C111", "C110"]),
        (GOOD + 'workers = "two"\n', ["C112"]),
        (GOOD + 'status = "disabled"\n', ["C113"]),
        (GOOD + '[docker]\ncontext = "nowhere"\n', ["C121"]),
        (GOOD + '[docker]\ncontext = "/"\n', []),
        (GOOD + '[docker]\ncontext = "../.."\n', []),
        (GOOD + '[docker]\ncontext = "sub"\n', ["C122"]),
    ],
)
def test_every_problem_has_one_number(tmp_path: Path, text: str, codes: list[str]) -> None:
    (add(tmp_path, "mine", text) / "sub").mkdir()

    told = []
    try:
        discover(tmp_path)
    except strict_toml.FileProblems as error:
        told = [problem.code for problem in error.problems]

    assert sorted(told) == sorted(codes)


def test_what_is_wrong_with_name_files_and_keys_is_told_together(tmp_path: Path) -> None:
    add(tmp_path, "Mine", GOOD + "wrokers = 2\n", dockerfile=False)
    add(tmp_path, "other", "")
    (tmp_path / "other" / "variant.toml").write_bytes(b"\xff")

    with pytest.raises(strict_toml.FileProblems) as raised:
        discover(tmp_path)

    told = [(problem.code, problem.path.name) for problem in raised.value.problems]
    mine = [("C101", "Mine"), ("C120", "Dockerfile"), ("C110", "variant.toml")]
    assert told == [*mine, ("C102", "variant.toml")]
    assert "c10k explain C101" in raised.value.hint


def test_a_command_in_one_text_is_told_as_the_list_that_it_should_be(tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "Dockerfile").touch()
    (directory / "variant.toml").write_text(
        'title = "x"\narchitecture = "x"\nlanguage = "C"\nsummary = "x"\n'
        '[process]\ncommand = "python3 server.py"\n'
    )

    with pytest.raises(UsageError) as raised:
        discover(tmp_path)

    wanted = 'expected a list, as ["python3", "server.py"]; got \'python3 server.py\''
    assert wanted in raised.value.message


def test_a_source_whose_name_is_no_utf_8_is_part_of_a_server(tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"caf\xe9.c")
    source.write_text("one")
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "variant.toml").write_text(
        'title = "x"\narchitecture = "x"\nlanguage = "C"\nsummary = "x"\n'
    )
    mine = tmp_path.rename(tmp_path.with_name("mine"))
    before = variant_files.read(mine).digest()
    (mine / source.name).write_text("other")

    assert variant_files.read(mine).digest() != before


def test_the_schema_for_editors_is_the_one_that_is_used() -> None:
    """Made by: python -m harness.variants.variant_files > docs/variant.schema.json"""
    path = Path(__file__).parents[2] / "docs/variant.schema.json"

    assert path.read_text("utf-8") == variant_files.json_schema()


def test_the_shipped_variants_are_valid() -> None:
    found = discover(Path(__file__).parents[2] / "servers")

    names = {variant.name for variant in found}
    assert {"thread-per-connection", "select", "poll", "epoll-lt", "epoll-et"} <= names
    capped = {variant.name for variant in found if variant.file.limits}
    assert {"select-fdset", "python-select"} <= capped


@pytest.mark.parametrize("kind", ["a directory", "a named pipe"])
def test_a_dockerfile_that_is_no_file_is_called_what_it_is(tmp_path: Path, kind: str) -> None:
    add(tmp_path, "mine")
    dockerfile = tmp_path / "mine/Dockerfile"
    dockerfile.unlink()
    dockerfile.mkdir() if kind == "a directory" else os.mkfifo(dockerfile)

    with pytest.raises(UsageError, match=f"Dockerfile: C102 is {kind}, expected a regular file"):
        discover(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it becomes another user for a moment")
def test_a_dockerfile_that_this_user_may_not_read_is_named() -> None:
    with tempfile.TemporaryDirectory() as servers:
        add(Path(servers), "mine")
        Path(servers).chmod(0o755)
        (Path(servers) / "mine/Dockerfile").chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(UsageError, match="C102 cannot be read: Permission denied"):
                discover(Path(servers))
        finally:
            os.seteuid(0)
